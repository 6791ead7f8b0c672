"""What a decoupled policy is judged by: standing, squatting, walking, handing over, pushes, loads, a worse robot.

Throughout, each arm goes from random posture to random posture over 95 % of its range, its quickest joint at up to
3 rad/s, and the torso swings by 0.5 rad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.decoupled.bodies import Randomised
from teleopd.service.policy.train.decoupled.tracks import Track, min_jerk, steady, thrown
from teleopd.service.policy.train.decoupled.walker import HEIGHT, RATE_HZ, VX, WALKS, WZ, Walker
from teleopd.service.policy.train.decoupled.world import Float32, World, heading

COMMANDS = (
    (0.3, 0.0, 0.0), (0.6, 0.0, 0.0), (0.9, 0.0, 0.0), (-0.2, 0.0, 0.0), (-0.4, 0.0, 0.0), (0.0, 0.3, 0.0),
    (0.0, -0.3, 0.0), (0.0, 0.5, 0.0), (0.0, -0.5, 0.0), (0.0, 0.0, 0.5), (0.0, 0.0, -1.0), (0.4, 0.2, 0.4),
)  # fmt: skip
"""Forward, left [m/s], turn [rad/s]."""
SETTLED = 200
"""Ticks before velocities are judged."""
WITHIN = 0.15
LOWEST_M = 0.85
PUSH_TICKS = 10
LOOP_GAIN, LOOP_MOST = 0.5, 0.12
"""Outer loop of the march: velocity per metre from the place [1/s], and its bound [m/s]."""
SEED = 7000
SHOULD = {
    "stand 60 s": (9, 9), "squat": (9, 9), "walk": (47, 48), "walk, speed within 15 %": (48, 48),
    "march 60 s": (4, 4), "stand to walk": (29, 30), "walk to stand": (29, 30), "push 100 N": (48, 48),
    "push 200 N": (42, 48), "1 kg a hand": (24, 24), "2 kg a hand": (20, 24), "20 ms later": (22, 24),
    "sensor noise": (22, 24), "friction 0.4": (22, 24), "mass -5 %, +5 %": (22, 24), "gains -30 %, +30 %": (22, 24),
    "dropout": (25, 25),
}  # fmt: skip
"""Group -> how many of how many must stay up."""


class Trial(NamedTuple):
    """One run."""

    name: str
    group: str
    track: Track
    errors: Randomised = Randomised()
    push_n: tuple[float, float] = (0.0, 0.0)
    """Force x, y in the world for 0.2 s."""
    push_at: int = 0
    """[ticks]"""
    clock: int = 0
    holds_place: bool = False
    """With the outer loop on its place."""
    stands_after: int = 0
    """Ticks at the end at which it must not step any more (walk to stand)."""


class Outcome(NamedTuple):
    """What came of it."""

    trial: Trial
    fell_at_s: float | None
    drift_m: float
    """Largest distance from where it began."""
    height_error_m: float
    """Mean of the pelvis against the command; the stand pose's own height is nominal."""
    velocity: tuple[float, float, float]
    """Mean, in its own heading."""
    still: bool
    """Neither ankle lifted by more than 1 cm in the last `stands_after` ticks."""

    @property
    def good(self) -> bool:
        """Upright, and standing where that was asked."""
        return self.fell_at_s is None and self.still


def trials(walker: Walker) -> list[Trial]:
    """All of them."""
    found: list[Trial] = []
    for make in (_standing, _walking, _handing_over, _pushed, _changed, _dropped):
        found += make(walker)
    return found


def _track(walker: Walker, command: Array, seed: int, arms: bool = True) -> Track:
    rng = np.random.default_rng(SEED + seed)
    return Track(command, thrown(rng, walker, len(command), 3.0 if arms else 0.3, 0.5 if arms else 0.0))


def _standing(walker: Walker) -> Iterator[Trial]:
    stand = walker.model.stand_height_m
    for i in range(9):
        yield Trial(f"seed {i}", "stand 60 s", _track(walker, steady(None, stand, 3000), i))
    for i in range(9):
        command, t = steady(None, stand, 1000), np.arange(1000) / RATE_HZ
        share = min_jerk(np.clip((t - 2.0) / 2.5, 0, 1)) - min_jerk(np.clip((t - 8.0) / 2.5, 0, 1))
        share += min_jerk(np.clip((t - 12.0) / 2.0, 0, 1)) - min_jerk(np.clip((t - 16.0) / 2.0, 0, 1))
        command[:, HEIGHT] = stand + (LOWEST_M - stand) * share
        yield Trial(f"seed {i}", "squat", _track(walker, command, 20 + i))
    for i in range(4):
        command = steady((0.0, 0.0, 0.0), stand, 3000)
        yield Trial(f"seed {i}", "march 60 s", _track(walker, command, 40 + i), clock=10 * i, holds_place=True)


def _walking(walker: Walker) -> Iterator[Trial]:
    for i in range(48):
        command = steady(COMMANDS[i % 12], walker.model.stand_height_m, 1000)
        yield Trial(f"{COMMANDS[i % 12]}", "walk", _track(walker, command, 100 + i), clock=10 * (i // 12))


def _handing_over(walker: Walker) -> Iterator[Trial]:
    stand = walker.model.stand_height_m
    for i in range(30):
        wanted = COMMANDS[i % 12]
        command = np.vstack((steady(None, stand, 100 + 3 * i), steady(wanted, stand, 300)))
        yield Trial(f"{wanted}", "stand to walk", _track(walker, command, 200 + i))
    for i in range(30):
        wanted = COMMANDS[i % 12]
        command = np.vstack((steady(wanted, stand, 250 + 3 * i), steady(None, stand, 500)))
        yield Trial(f"{wanted}", "walk to stand", _track(walker, command, 240 + i), stands_after=100)


def _pushed(walker: Walker) -> Iterator[Trial]:
    stand = walker.model.stand_height_m
    for newtons in (100.0, 200.0):
        for walks in (False, True):
            for i in range(24):
                angle = 2.0 * np.pi * (i % 8) / 8
                command = steady((0.5, 0.0, 0.0) if walks else None, stand, 500)
                yield Trial(
                    f"{'walking' if walks else 'standing'} {np.rad2deg(angle):.0f} deg", f"push {newtons:.0f} N",
                    _track(walker, command, 300 + i), push_n=(newtons * np.cos(angle), newtons * np.sin(angle)),
                    push_at=200 + 5 * (i // 8), clock=7 * i,
                )  # fmt: skip


def _changed(walker: Walker) -> Iterator[Trial]:
    stand = walker.model.stand_height_m
    changes = {
        "1 kg a hand": Randomised(loads_kg=(1.0, 1.0)), "2 kg a hand": Randomised(loads_kg=(2.0, 2.0)),
        "20 ms later": Randomised(delay=4), "sensor noise": Randomised(noise=1.0),
        "friction 0.4": Randomised(friction=0.4), "mass -5 %, +5 %": Randomised(mass=1.05),
        "gains -30 %, +30 %": Randomised(kp=1.3, kd=1.3),
    }  # fmt: skip
    lower = {"mass -5 %, +5 %": Randomised(mass=0.95), "gains -30 %, +30 %": Randomised(kp=0.7, kd=0.7)}
    for group, errors in changes.items():
        for i in range(24):
            command = steady(COMMANDS[i // 2] if i % 2 else None, stand, 1000)
            one = lower.get(group, errors) if i % 4 >= 2 else errors
            name = f"{COMMANDS[i // 2]}" if i % 2 else "standing"
            yield Trial(name, group, _track(walker, command, 400 + i), one, clock=3 * i)


def _dropped(walker: Walker) -> Iterator[Trial]:
    """The stream ends in the middle of a motion: 0.4 s held, then the stand reference, as the guard gives it."""
    stand = walker.model.stand_height_m
    for i in range(25):
        command = np.vstack((steady(COMMANDS[i % 12], stand, 150 + 7 * i), steady(None, stand, 400)))
        track = _track(walker, command, 500 + i)
        end = 170 + 7 * i
        home = walker.default[len(walker.legs) :]
        ease = min_jerk(np.clip((np.arange(len(command)) - end) / 50.0, 0, 1))[:, None]
        held = np.where(np.arange(len(command))[:, None] < end - 20, track.upper, track.upper[end - 20])
        yield Trial(f"{COMMANDS[i % 12]}", "dropout", Track(command, held + ease * (home - held)))


Actor = Callable[[Float32], Float32]
"""From observations (k, width) to raw actions (k, legs); keeps the world's `steps`."""
Network = Callable[[Float32, Float32], tuple[Float32, Float32]]
"""From observations and steps to raw actions and steps."""


def acting(network: Network) -> Callable[[World], Actor]:
    """A network as an actor of any world."""

    def actor_for(world: World) -> Actor:
        def act(seen: Float32) -> Float32:
            action, world.steps[:] = network(seen, world.steps)
            return action

        return act

    return actor_for


class Suite:
    """Runs trials in batches with the gains of a card."""

    def __init__(self, walker: Walker, kp: Array, kd: Array, threads: int) -> None:
        """`kp`, `kd`: gains in motor order."""
        self._walker, self._kp, self._kd, self._threads = walker, kp, kd, threads

    def run(
        self, todo: Sequence[Trial], actor_for: Callable[[World], Actor],
        told: Callable[[int, int], None] = lambda _done, _all: None, batch: int = 96,
    ) -> list[Outcome]:  # fmt: skip
        """Outcomes in order; `actor_for` makes the actor of a world that has just been filled."""
        order = sorted(range(len(todo)), key=lambda i: len(todo[i].track.command))
        found: dict[int, Outcome] = {}
        for at in range(0, len(order), batch):
            some = order[at : at + batch]
            for i, outcome in zip(some, self._batch([todo[j] for j in some], actor_for), strict=True):
                found[i] = outcome
            told(len(found), len(todo))
        return [found[i] for i in range(len(todo))]

    def _batch(self, some: Sequence[Trial], actor_for: Callable[[World], Actor]) -> list[Outcome]:
        world = World(self._walker, len(some), self._kp, self._kd, self._threads)
        k = len(some)
        for i, trial in enumerate(some):
            world.start(i, trial.track, trial.errors, clock=trial.clock)
        actor, rng = actor_for(world), np.random.default_rng(SEED)
        ticks = np.array([len(trial.track.command) for trial in some])
        begun, fell = world.qpos[:, :2].copy(), np.full(k, -1)
        drift, off, path, lifted = np.zeros(k), np.zeros(k), np.zeros((k, 3)), np.zeros(k)
        for t in range(int(ticks.max())):
            running = (fell < 0) & (t < ticks)
            world.active = running
            if not running.any():
                break
            for i, trial in enumerate(some):
                if trial.push_n != (0.0, 0.0) and t - trial.push_at in (0, PUSH_TICKS):
                    world.push(i, np.array([*trial.push_n, 0.0]) * (t == trial.push_at))
                if trial.holds_place:
                    _hold(world, i, begun[i])
            world.act(actor(world.observe(rng)))
            fell[world.fallen() & running] = t
            drift = np.maximum(drift, np.where(running, np.linalg.norm(world.qpos[:, :2] - begun, axis=1), 0.0))
            off += np.where(running, np.abs(world.qpos[:, 2] - world.command[:, HEIGHT]), 0.0)
            path += np.where((running & (t >= SETTLED))[:, None], _velocity(world), 0.0)
            height = world.rows[:, [8, 11]].max(axis=1) - self._walker.sole_m
            late = t >= ticks - np.array([trial.stands_after for trial in some])
            lifted = np.maximum(lifted, np.where(running & late, height, 0.0))
        world.close()
        made = []
        for i, trial in enumerate(some):
            v = path[i] / max(int(ticks[i]) - SETTLED, 1)
            made.append(Outcome(
                trial, None if fell[i] < 0 else float(fell[i]) / RATE_HZ, float(drift[i]), float(off[i] / ticks[i]),
                (float(v[0]), float(v[1]), float(v[2])), bool(trial.stands_after == 0 or lifted[i] < 0.01),
            ))  # fmt: skip
        return made


def _hold(world: World, i: int, place: Array) -> None:
    """Command robot `i` back to its place."""
    yaw = float(heading(world.qpos[i : i + 1, 3:7])[0])
    dx, dy = LOOP_GAIN * (place - world.qpos[i, :2])
    v = np.array((np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx, -LOOP_GAIN * yaw))
    world.command[i, VX : WZ + 1] = np.clip(v, -LOOP_MOST, LOOP_MOST)


def _velocity(world: World) -> Array:
    yaw = heading(world.qpos[:, 3:7])
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = world.qvel[:, 0], world.qvel[:, 1]
    return np.stack((c * x + s * y, c * y - s * x, world.qvel[:, 5]), axis=1)


def on_speed(outcome: Outcome) -> bool:
    """Upright, and every commanded component obtained within 15 %."""
    command = outcome.trial.track.command[-1]
    if outcome.fell_at_s is not None or command[WALKS] < 0.5:
        return False
    pairs = zip(outcome.velocity, command[VX : WZ + 1], strict=True)
    return all(abs(got - wanted) <= WITHIN * abs(wanted) for got, wanted in pairs if wanted)


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, object]]:
    """Group -> figures for JSON."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.trial.group, []).append(outcome)
    found: dict[str, dict[str, object]] = {}
    for group, members in groups.items():
        found[group] = {
            "upright": sum(o.good for o in members), "of": len(members),
            "drift_m": round(float(np.median([o.drift_m for o in members])), 3),
            "largest_drift_m": round(max(o.drift_m for o in members), 3),
            "height_error_m": round(float(np.mean([o.height_error_m for o in members])), 4),
            "lost": [
                f"{o.trial.name}: " + ("still stepping" if o.fell_at_s is None else f"fell at {o.fell_at_s:.1f} s")
                for o in members
                if not o.good
            ],
        }  # fmt: skip
    if "walk" in groups:
        walks = groups["walk"]
        found["walk, speed within 15 %"] = {"upright": sum(on_speed(o) for o in walks), "of": len(walks)}
        found["walk"]["commands"] = [
            {"commanded": o.trial.track.command[-1, :3].tolist(), "obtained": [round(v, 3) for v in o.velocity]}
            for o in walks
        ]
    return found


def markdown(by_actor: dict[str, dict[str, dict[str, object]]]) -> str:
    """A table of several actors side by side beside what is asked."""
    lines = ["| trials (upright of all) | asked | " + " | ".join(by_actor) + " |", "|---" * (len(by_actor) + 2) + "|"]
    first = next(iter(by_actor.values()))
    for group in (name for name in SHOULD if name in first):
        cells = []
        for figures in by_actor.values():
            f = figures[group]
            extra = ""
            if group in ("stand 60 s", "march 60 s"):
                extra = f", drift {f['drift_m']} m (largest {f['largest_drift_m']} m)"
            if group == "squat":
                extra = f", mean height error {f['height_error_m']} m"
            cells.append(f"{f['upright']}/{f['of']}{extra}")
        least, of = SHOULD[group]
        lines.append(f"| {group} | {least}/{of} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
