"""What fine-tuning meets and the teacher cannot do: other robots, harder pushes, lag, slow gaits, broken streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.gait_table import gait_table
from teleopd.service.policy.train.battery import EXAMPLES, interrupted
from teleopd.service.policy.train.bodies import SUBSTEPS, Randomised
from teleopd.service.policy.train.channels import DT_S, LEFT_ARM, RIGHT_ARM, Clip, N, mirrored
from teleopd.service.policy.train.own_gaits import walked
from teleopd.service.policy.train.references import TRACK_TICKS, ReferenceGenerator, smooth_noise
from teleopd.service.policy.train.stepping import walk
from teleopd.service.policy.train.suite import play
from teleopd.service.policy.train.world import World
from teleopd.service.telemetry.tracking import headings

Rng = np.random.Generator
NOMINAL_SHARE = 0.2
WALK_SHARE, CLIP_SHARE, DROPOUT_SHARE = 0.35, 0.2, 0.12
"""Of tracks: velocity gaits, whole example clips; of all but gaits: with a broken stream. The rest is random tracks."""
MODE_TRACKS, MODE_TICKS = 16, 600
"""Of the velocity mode's walk, made once: its legs are solved tick by tick. Half of the gaits are drawn from them."""
MODE_UNTAUGHT_M_S = 0.5
"""Sideways faster than this the teacher falls."""
LONGEST_HOLD = 25
LONGEST_DELAY = 10
"""Physics steps: 50 ms, a little more than what is asked of a policy before hardware."""
RAMP_M_S2 = 0.8
"""Of velocity commands; turn rates twice as fast [rad/s^2]."""
AXES: tuple[tuple[float, tuple[float, float, float], tuple[float, float]], ...] = (
    (0.28, (1.0, 0.0, 0.0), (0.1, 0.7)),
    (0.26, (-1.0, 0.0, 0.0), (0.1, 0.7)),
    (0.15, (0.0, 1.0, 0.0), (0.1, 0.65)),
    (0.15, (0.0, -1.0, 0.0), (0.1, 0.65)),
    (0.05, (0.0, 0.0, 1.0), (0.2, 1.0)),
    (0.05, (0.0, 0.0, -1.0), (0.2, 1.0)),
    (0.03, (1.0, 0.0, 1.0), (0.1, 0.6)),
    (0.03, (1.0, 0.0, -1.0), (0.1, 0.6)),
)
"""Share, direction and range of commanded velocities [m/s, m/s, rad/s]."""
SHOVE_N, SHOVE_S = (30.0, 230.0), (0.1, 0.4)
SHOVE_IMPULSE_N_S = 46.0
"""At most: 230 N for 0.2 s."""
SHOVE_CHANCE = 0.005
"""A tick of the shoved half of the robots."""
BACKWARD_SHARE = 0.35
UNTAUGHT_TICKS = 75
"""After a shove the teacher is not asked."""


class Drawn(NamedTuple):
    """A track, and for each of its ticks whether the teacher's answer is worth following."""

    track: Array
    taught: npt.NDArray[np.bool_]


def drawn_hard(rng: Rng, nbody: int) -> Randomised:
    """A robot of fine-tuning: a fifth nominal, the rest up to the battery's extremes and a little beyond."""
    if rng.random() < NOMINAL_SHARE:
        return Randomised.nominal(nbody)
    extreme = rng.random() < 0.5
    return Randomised(
        mass=rng.uniform(0.95, 1.05, nbody),
        torso_kg=rng.uniform(-2.0, 6.0 if extreme else 3.0),
        torso_com_m=rng.uniform(-0.03, 0.03, 3),
        friction=rng.uniform(0.3 if extreme else 0.5, 1.6),
        armature=rng.uniform(0.0, 2.0) if extreme else rng.uniform(0.8, 1.3),
        kp=(rng.uniform(0.65, 1.35) if extreme else rng.uniform(0.85, 1.15)) * rng.uniform(0.95, 1.05, N),
        kd=rng.uniform(0.75, 1.25),
        stiff_wrists=bool(rng.random() < 0.4),
        delay=int(rng.integers(0, LONGEST_DELAY + 1)) if extreme else int(rng.integers(0, SUBSTEPS + 1)),
        noise=float(rng.choice((0.0, 0.5, 1.0))),
    )


def teachable(errors: Randomised) -> bool:
    """The teacher is at home on this robot."""
    return (
        errors.delay <= SUBSTEPS and 0.85 <= float(errors.kp.mean()) <= 1.2 and 0.7 <= errors.armature <= 1.4
        and errors.torso_kg <= 3.0 and errors.friction >= 0.45
    )  # fmt: skip


class HardReferences:
    """Tracks of fine-tuning. Deterministic for a given generator of random numbers."""

    def __init__(self, base: ReferenceGenerator, clips: Sequence[Clip], mode_tracks: int = MODE_TRACKS) -> None:
        """`clips` named like the example clips are also tracked whole, as the battery does."""
        self._base = base
        rng = np.random.default_rng(0)
        self._walks = [mode_track(rng) for _ in range(mode_tracks)]
        self._examples = [play("", clip).track for clip in clips if clip.name.startswith(EXAMPLES)]

    def track(self, rng: Rng) -> Array:
        """One track of up to 20 s, for who asks the teacher anyway."""
        return self.draw(rng).track

    def draw(self, rng: Rng) -> Drawn:
        """One track of up to 20 s."""
        kind = rng.random()
        if kind < WALK_SHARE:
            if self._walks and rng.random() < 0.5:
                return dressed(rng, self._walks[int(rng.integers(len(self._walks)))])
            return dressed(rng, walk_track(rng))
        if kind < WALK_SHARE + CLIP_SHARE and self._examples:
            track = self._examples[int(rng.integers(len(self._examples)))]
            track = mirrored(track) if rng.random() < 0.3 else track
        else:
            track = self._base.track(rng)
        if rng.random() < DROPOUT_SHARE:
            return Drawn(broken(rng, track), np.zeros(len(track), dtype=np.bool_))
        return Drawn(track, np.ones(len(track), dtype=np.bool_))


def walk_track(rng: Rng, ticks: int = TRACK_TICKS) -> Drawn:
    """Own gait templates at commanded velocities. The teacher goes back more slowly than told: not followed there."""
    commands = commanded_walk(rng, ticks)
    return Drawn(walk(commands), commands[:, 0] >= 0.0)


def mode_track(rng: Rng, ticks: int = MODE_TICKS) -> Drawn:
    """The velocity mode's walk, its shape a little different each time."""
    table = gait_table(MODEL)
    assert table is not None
    ranges = {"cycle_s": (0.92, 1.1), "lift_m": (0.8, 1.1), "sway_m": (0.7, 1.3), "drop_m": (0.9, 1.3)}
    shape = replace(table.shape, **{
        name: getattr(table.shape, name) * float(rng.uniform(*factors)) for name, factors in ranges.items()
    })  # fmt: skip
    commands = commanded_walk(rng, ticks)
    home = (commands[:, 0] >= 0.0) & (np.abs(commands[:, 1]) <= MODE_UNTAUGHT_M_S)
    return Drawn(walked(commands, shape), home)


def commanded_walk(rng: Rng, ticks: int) -> Array:
    """Velocity commands, each held for some seconds, through a stop to the next, (ticks, 3)."""
    commands = np.zeros((ticks, 3))
    shares = np.array([share for share, _, _ in AXES])
    at = int(rng.integers(10, 60))
    while at < ticks:
        _, way, (slowest, fastest) = AXES[rng.choice(len(AXES), p=shares / shares.sum())]
        speed = float(rng.choice(np.arange(slowest, fastest + 1e-9, 0.05)))
        length = int(rng.integers(200, 450))
        ramp = max(round(speed / RAMP_M_S2 / DT_S), 1)
        t = np.arange(min(length, ticks - at))
        level = np.clip(t / ramp, 0.0, 1.0) * np.clip((length - 1 - t) / ramp, 0.0, 1.0)
        commands[at : at + len(t)] = speed * level[:, None] * np.array(way)
        at += length + int(rng.integers(0, 50))
    return commands


def dressed(rng: Rng, drawn: Drawn) -> Drawn:
    """Some with arms that do something else, half of them mirrored."""
    track = drawn.track.copy()
    if rng.random() < 0.4:
        for arm in (LEFT_ARM, RIGHT_ARM):
            track[:, arm] += smooth_noise(rng, len(track), 7, 40.0) * 0.25
    return Drawn(mirrored(track) if rng.random() < 0.5 else track, drawn.taught)


def broken(rng: Rng, track: Array) -> Array:
    """A stream that shows old frames: half a second in every second, or spans of up to that at random."""
    if rng.random() < 0.5:
        return interrupted(track, int(rng.integers(10, LONGEST_HOLD + 1)))
    shown = np.arange(len(track))
    at = 0
    while at < len(track):
        at += int(rng.integers(20, 100))
        hold = int(rng.integers(3, LONGEST_HOLD + 1))
        shown[at : at + hold] = min(at, len(track) - 1)
        at += hold
    return np.asarray(track[shown])


class Shoves:
    """Pushes on the pelvis, from behind more often than not: that is what falls."""

    def __init__(self, count: int) -> None:
        self.force_w: Array = np.zeros((count, 3))
        self.since: npt.NDArray[np.intp] = np.full(count, UNTAUGHT_TICKS)
        """Ticks since the last shove began, at most `UNTAUGHT_TICKS`."""
        self._left: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._exposed: npt.NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)

    def reset(self, world: World, i: int, exposed: bool) -> None:
        """Robot `i` starts anew; only an exposed one is shoved."""
        self.force_w[i], self._left[i], self.since[i], self._exposed[i] = 0.0, 0, UNTAUGHT_TICKS, exposed
        world.push(i, self.force_w[i])

    def apply(self, world: World, rng: Rng) -> None:
        """The tick's beginnings and ends."""
        starts = (rng.random(world.count) < SHOVE_CHANCE) & self._exposed & (self._left == 0)
        ends = self._left == 1
        self._left = np.maximum(self._left - 1, 0)
        self.since = np.minimum(self.since + 1, UNTAUGHT_TICKS)
        for i in np.flatnonzero(ends):
            self.force_w[i] = 0.0
            world.push(int(i), self.force_w[i])
        for i in np.flatnonzero(starts):
            angle = rng.uniform(0, 2 * np.pi)
            if rng.random() < BACKWARD_SHARE:
                angle = float(headings(world.qpos[i : i + 1, 3:7])[0]) + np.pi + rng.normal(0.0, 0.5)
            newtons = rng.uniform(*SHOVE_N)
            lasts = min(rng.uniform(*SHOVE_S), SHOVE_IMPULSE_N_S / newtons)
            self.force_w[i] = newtons * np.cos(angle), newtons * np.sin(angle), 0.0
            self._left[i], self.since[i] = max(round(lasts / DT_S), 1), 0
            world.push(int(i), self.force_w[i])
