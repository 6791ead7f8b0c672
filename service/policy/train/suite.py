"""What a network is judged by: the battery of policy.md 11.1, run for student and teacher alike in the light physics.

Key-body error is the project's: nine sites, root-relative, heading-aligned, against the reference of that tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card import Card
from teleopd.service.policy.train.bodies import SUBSTEPS, Randomised
from teleopd.service.policy.train.channels import (
    DT_S,
    JOINTS,
    LEGS,
    PITCH,
    RATE_HZ,
    ROLL,
    VX,
    VY,
    WZ,
    Clip,
    Float32,
    N,
    Z,
    quaternion,
    stand,
)
from teleopd.service.policy.train.motions import bvh_clip
from teleopd.service.policy.train.references import GAITS, closed_cycle, gait
from teleopd.service.policy.train.squats import squat_table
from teleopd.service.policy.train.world import Seen, World
from teleopd.service.telemetry.tracking import KeyBodyError, headings, wrapped

LEAD_TICKS = 50
"""Standing before, and the way into the first frame."""
HELD_OUT = (
    "bandai1_walk_normal_001.bvh", "bandai1_kick_normal_001.bvh", "bandai1_run_normal_001.bvh", "xsens_hh_stand.bvh",
    "soma_pickup_A508.bvh", "lafan1_fallAndGetUp1_subject1.bvh",
)  # fmt: skip
"""Clips that nothing was trained on; their terms allow measuring on them."""
HELD_OUT_S = 12.0
"""Longer clips are judged in pieces of this length."""
HELD_OUT_PIECES = 6
"""At most, of one clip: the rest of the LAFAN1 take lies on the floor."""
FLOOR_WORK = "lafan1_"
SEEDS = 7
COMPASS = 8
PUSH_S = 0.2
PUSH_AT_S = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One robot, one track."""

    group: str
    name: str
    track: Array
    judged_from: int
    """Tick from which error and motion count."""
    changes: tuple[tuple[str, object], ...] = ()
    """Fields of `Randomised` that differ from the nominal robot."""
    push_w: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """[N], for 0.2 s."""
    push_at_s: float = PUSH_AT_S
    shaken: int | None = None
    """Seed of a disturbed start and a noisy reference."""


class Outcome(NamedTuple):
    """What became of a trial."""

    trial: Trial
    fell_at_s: float | None
    key_body_mm: float
    """Median over the ticks it stood."""
    drift_m: float
    """Between begin and end of the judged part."""
    height_m: float
    """Of the pelvis at the end, mean of the last second."""
    velocity: tuple[float, float, float]
    """Mean forward, left [m/s] in its own heading, and turning [rad/s]."""


def trials(clips: Sequence[Clip], held_out: Sequence[Clip]) -> list[Trial]:
    """The battery; `clips` are the example clips and may hold more gaits' clips, `held_out` what was never seen."""
    examples = [clip for clip in clips if clip.name.startswith("0807_")]
    return [
        *(play("clips", clip) for clip in examples),
        *(play("clips +20 ms", clip, changes=(("delay", SUBSTEPS),)) for clip in examples),
        *(
            play("clips perturbed +20 ms", clip, changes=(("delay", SUBSTEPS),), shaken=seed)
            for clip in examples
            for seed in range(SEEDS)
        ),
        Trial("stand 60 s", "stand", np.tile(stand(), (round(60 * RATE_HZ), 1)), 100),
        *_pushes(100.0),
        *_pushes(150.0),
        _squat(),
        *_gaits(clips),
        *(play(_held_out_group(clip), clip) for clip in held_out),
        *(play(f"gains x{k}", clip, changes=(("kp", np.full(N, k)),)) for k in (0.7, 1.3) for clip in examples),
        *(play("friction 0.35", clip, changes=(("friction", 0.35),)) for clip in examples),
        *(play("torso +5 kg", clip, changes=(("torso_kg", 5.0),)) for clip in examples),
    ]


def held_out_clips(shared: Path) -> list[Clip]:
    """Clips for evaluation only, long ones in pieces."""
    found = []
    for name in HELD_OUT:
        clip = bvh_clip(shared / "bvh" / name)
        ticks = round(HELD_OUT_S * RATE_HZ)
        pieces = [clip.channels[at : at + ticks] for at in range(0, len(clip.channels), ticks)]
        usable = [piece for piece in pieces if len(piece) >= RATE_HZ / 2][:HELD_OUT_PIECES]
        found += [Clip(f"{clip.name} {i}", piece) for i, piece in enumerate(usable)]
    return found


def _held_out_group(clip: Clip) -> str:
    return "held out, runs and falls" if clip.name.startswith(FLOOR_WORK) else "held out"


def run(
    all_trials: Sequence[Trial], actor: Callable[[Seen], Float32], card: Card, threads: int,
    on_tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Outcome]:  # fmt: skip
    """Every trial at once; deterministic. `on_tick` is told ticks done and to do."""
    world = World(len(all_trials), card, threads)
    rng = np.random.default_rng(0)
    for i, trial in enumerate(all_trials):
        _begin(world, i, trial)
    steps = max(len(trial.track) for trial in all_trials)
    q, pos = np.full((steps, len(all_trials), N), np.nan), np.full((steps, len(all_trials), 7), np.nan)
    fell: list[float | None] = [None] * len(all_trials)
    firsts = [round(trial.push_at_s * RATE_HZ) for trial in all_trials]
    lasting = round(PUSH_S * RATE_HZ)
    for tick in range(steps):
        for i, trial in enumerate(all_trials):
            if tick - firsts[i] in (0, lasting):
                world.push(i, np.array(trial.push_w) if tick == firsts[i] else np.zeros(3))
        world.act(actor(world.see(rng)))
        q[tick, world.active], pos[tick, world.active] = world.qpos[world.active, 7:], world.qpos[world.active, :7]
        for i in np.flatnonzero(world.fallen() & world.active).tolist():
            fell[i] = (tick + 1) * DT_S
            world.active[i] = False
        world.active &= ~world.ended()
        on_tick(tick + 1, steps)
    world.close()
    error = KeyBodyError(MODEL)
    return [_outcome(t, fell[i], q[: len(t.track), i], pos[: len(t.track), i], error) for i, t in enumerate(all_trials)]


def _begin(world: World, i: int, trial: Trial) -> None:
    errors = Randomised.nominal(world.nbody, **dict(trial.changes))
    track, joints, velocity = trial.track, np.zeros(N), np.zeros(2)
    if trial.shaken is not None:
        rng = np.random.default_rng((trial.shaken, len(track)))
        joints, angle = rng.normal(0.0, 0.03, N), rng.uniform(0, 2 * np.pi)
        velocity = 0.15 * np.array([np.cos(angle), np.sin(angle)])
        track = track + rng.normal(0.0, 0.01, track.shape)
    world.start(i, track, errors, joint_noise=joints, velocity=velocity)


def _outcome(trial: Trial, fell: float | None, q: Array, pos: Array, error: KeyBodyError) -> Outcome:
    stood = len(q) if fell is None else round(fell * RATE_HZ)
    judged = slice(min(trial.judged_from, stood - 1), stood)
    track = trial.track[judged]
    wanted = quaternion(track[:, ROLL], track[:, PITCH], np.zeros(len(track)))
    distance = error.errors(track[:, JOINTS], wanted, q[judged], pos[judged, 3:7]).mean(axis=1)
    place, yaw = pos[judged, :2], headings(pos[judged, 3:7])
    step = np.diff(place, axis=0) / DT_S
    c, s = np.cos(yaw[:-1]), np.sin(yaw[:-1])
    forward, left = c * step[:, 0] + s * step[:, 1], c * step[:, 1] - s * step[:, 0]
    turning = np.array([wrapped(a) for a in np.diff(yaw)]) / DT_S
    mean = (float(v.mean()) if len(v) else 0.0 for v in (forward, left, turning))
    vx, vy, wz = mean
    return Outcome(
        trial, fell, 1e3 * float(np.median(distance)), float(np.linalg.norm(place[-1] - place[0])),
        float(pos[judged, 2][-round(RATE_HZ) :].mean()), (vx, vy, wz),
    )  # fmt: skip


def play(
    group: str, clip: Clip, *, changes: tuple[tuple[str, object], ...] = (), shaken: int | None = None
) -> Trial:
    """A clip after a second of standing and a second's way into its first frame."""
    ease = np.linspace(0.0, 1.0, LEAD_TICKS)[:, None]
    lead = stand() + ease * (clip.channels[0] - stand())
    track = np.vstack((np.tile(stand(), (LEAD_TICKS, 1)), lead, clip.channels))
    return Trial(group, clip.name, track, 2 * LEAD_TICKS, changes, shaken=shaken)


def _pushes(newtons: float) -> Iterator[Trial]:
    track = np.tile(stand(), (round(7 * RATE_HZ), 1))
    for i in range(COMPASS):
        angle = 2 * np.pi * i / COMPASS
        force = (newtons * float(np.cos(angle)), newtons * float(np.sin(angle)), 0.0)
        yield Trial(f"push {newtons:.0f} N", f"{np.rad2deg(angle):.0f} deg", track, 100, push_w=force)


def _squat() -> Trial:
    ticks = np.arange(round(8 * RATE_HZ))
    z = np.interp(ticks, (50, 150), (MODEL.stand_height_m, 0.55))
    track = np.tile(stand(), (len(ticks), 1))
    track[:, Z], track[:, LEGS] = z, squat_table()(z)
    return Trial("squat", "to 0.55 m", track, 100)


def _gaits(clips: Sequence[Clip]) -> Iterator[Trial]:
    by_name = {clip.name: clip.channels for clip in clips}
    for cut in GAITS:
        if cut.clip not in by_name:
            continue
        cycle = closed_cycle(by_name[cut.clip], cut.first, cut.ticks)
        for amplitude in (1.0, 0.5):
            track = gait(cycle, round(11 * RATE_HZ), amplitude, 1.0, 0.0)
            ease = np.clip((np.arange(len(track)) - 25) / 75.0, 0.0, 1.0)[:, None]
            track = stand() + ease * (track - stand())
            yield Trial("gait", f"{cut.clip} x{amplitude}", track, 150)


def commanded(trial: Trial) -> tuple[float, float, float]:
    """Mean velocity command of the judged part: forward, left [m/s], turning [rad/s]."""
    vx, vy, wz = trial.track[trial.judged_from :][:, [VX, VY, WZ]].mean(axis=0)
    return float(vx), float(vy), float(wz)
