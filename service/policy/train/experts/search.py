"""`python -m teleopd.service.policy.train.experts.search`: random search of the standing controller's numbers.

Every candidate stands or squats with moving arms on a few robots; the next ones are drawn around the best so far, each
number in proportion to its size. What decides is how long they stay up, then drift, height and tilt.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.decoupled.bodies import Randomised
from teleopd.service.policy.train.decoupled.tracks import Track, min_jerk, steady, thrown
from teleopd.service.policy.train.decoupled.walker import HEIGHT, RATE_HZ, WALKERS, Walker
from teleopd.service.policy.train.decoupled.world import World
from teleopd.service.policy.train.experts.standing import GAINS, Gains, StandingExpert

TICKS = 600
LOWEST_M = 0.85
FALL_COST = 100.0
SPREAD = 0.35
"""Standard deviation of a candidate's factor on each number, in the first round; it shrinks by `SHRINKS` a round."""
SHRINKS = 0.85
SEED = 11


def cases(walker: Walker, rng: np.random.Generator) -> list[tuple[Track, Randomised]]:
    """What every candidate goes through."""
    stand = walker.model.stand_height_m
    squat, t = steady(None, stand, TICKS), np.arange(TICKS) / RATE_HZ
    squat[:, HEIGHT] = stand + (LOWEST_M - stand) * min_jerk(np.clip((t - 1.0) / 2.0, 0, 1))
    still = steady(None, stand, TICKS)
    return [
        (Track(squat, thrown(rng, walker, TICKS, 3.0, 0.5)), Randomised()),
        (Track(squat, thrown(rng, walker, TICKS, 3.0, 0.5)), Randomised(mass=1.03, loads_kg=(0.5, 0.5))),
        (Track(still, thrown(rng, walker, TICKS, 3.0, 0.5)), Randomised(loads_kg=(1.0, 1.0))),
        (Track(still, thrown(rng, walker, TICKS, 3.0, 0.5)), Randomised(loads_kg=(2.0, 2.0))),
        (Track(still, thrown(rng, walker, TICKS, 3.0, 0.5, together=True)), Randomised(delay=3, armature=3.0)),
    ]


def cost(walker: Walker, kp: Array, kd: Array, gains: Array, threads: int, rng: np.random.Generator) -> Array:
    """Of every row of `gains` (candidates, numbers), (candidates,)."""
    todo = cases(walker, rng)
    each, many = len(todo), len(gains)
    world = World(walker, each * many, kp, kd, threads)
    for i in range(each * many):
        world.start(i, todo[i % each][0], todo[i % each][1])
    expert = StandingExpert(world, Gains(*np.repeat(gains, each, axis=0).T))
    everyone = np.ones(world.count, dtype=np.bool_)
    expert.begin(everyone)
    total, up = np.zeros(world.count), everyone.copy()
    for _ in range(TICKS):
        world.active = up
        if not up.any():
            break
        b = world.balance()
        world.act(expert(world.command, b))
        up = up & ~world.fallen()
        high = np.abs(world.qpos[:, 2] - world.command[:, HEIGHT])
        place = np.linalg.norm(world.qpos[:, :2], axis=1)
        spin = np.abs(world.qvel[:, 3:6]).sum(axis=1)
        each_cost = 20.0 * high + 5.0 * place + 5.0 * np.abs(b.pitch) + 5.0 * np.abs(b.roll) + 0.3 * spin
        total += np.where(up, each_cost, FALL_COST) / TICKS
    world.close()
    return np.asarray(total.reshape(many, each).sum(axis=1))


def search(
    walker: Walker, kp: Array, kd: Array, rounds: int, candidates: int, threads: int,
    told: Callable[[int, float, Gains], None],
) -> Gains:  # fmt: skip
    """The best numbers found."""
    rng = np.random.default_rng(SEED)
    best = np.array([float(np.asarray(value)) for value in GAINS[walker.model.name]])
    spread = SPREAD
    for i in range(rounds):
        tried = best * (1.0 + spread * rng.standard_normal((candidates, len(best))))
        tried[0] = best
        costs = cost(walker, kp, kd, tried, threads, np.random.default_rng((SEED, i)))
        order = np.argsort(costs)
        keep = max(candidates // 6, 1)
        best = tried[order[:keep]].mean(axis=0)
        spread *= SHRINKS
        told(i, float(costs[order[0]]), Gains(*(float(v) for v in best)))
    return Gains(*(float(v) for v in best))


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", choices=sorted(WALKERS), default="unitree_h1")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    walker = WALKERS[args.robot]()
    search(
        walker, walker.model.kp_ready, walker.model.kd_ready, args.rounds, args.candidates, args.threads,
        lambda i, best, gains: print(f"round {i}: {best:.2f}  {gains}", flush=True),
    )  # fmt: skip


if __name__ == "__main__":
    main()
