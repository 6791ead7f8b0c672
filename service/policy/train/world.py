"""A batch of randomised robots that track references: what is seen, what is done to them, when they have fallen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card import Card
from teleopd.service.policy.train.bodies import SUBSTEPS, Body, Randomised, reduced_model
from teleopd.service.policy.train.channels import (
    DT_S,
    JOINTS,
    PITCH,
    ROLL,
    VX,
    VY,
    WIDTH,
    WZ,
    Float32,
    N,
    quaternion,
    rotate,
)
from teleopd.service.policy.train.features import (
    ACTION_CLIP,
    ACTION_SCALE,
    ANKLES,
    DEFAULT,
    PROPRIOCEPTION,
    StudentView,
    TeacherView,
    proprioception,
)
from teleopd.service.policy.train.references import joint_rates

FALLEN_HEIGHT_M = 0.33
"""Of the pelvis. The deepest squat trained on goes to 0.42 m, and a robot that sinks a little below it still stands."""
FALLEN_UP = 0.5
"""Cosine of the pelvis's tilt."""
PUSH_CHANCE = 0.004
"""A tick."""
LONGEST_WHOLE = 3
"""Whole ticks that an answer may be late, besides a part of one."""
SENSOR_SCALE: Float32 = np.concatenate((
    np.full(3, 0.1 * 0.25), np.full(2, 0.02), np.full(N, 0.01), np.full(N, 0.5 * 0.05), np.zeros(N),
)).astype(np.float32)  # fmt: skip
"""Standard deviations of full sensor noise, scaled as observed: gyro 0.1 rad/s, tilt 0.02, q 0.01 rad, dq 0.5 rad/s."""


class Seen(NamedTuple):
    """What teacher and student see at a tick; valid until the next one."""

    student: Float32
    """(k, 600)"""
    teacher: Float32
    """(k, 1432)"""


class Measured:
    """What rewards need besides the state, at the last physics step's begin."""

    def __init__(self, count: int) -> None:
        sites = len(MODEL.key_sites)
        self.sites: Array = np.zeros((count, sites, 3))
        """Key sites in the world [m]."""
        self.wanted_sites: Array = np.zeros((count, sites, 3))
        """The reference's, from its pelvis, heading forward."""
        self.pelvis: Array = np.zeros((count, 3))
        self.soles: Array = np.zeros((count, len(MODEL.sole_sites), 3))
        self.torque: Array = np.zeros((count, N))
        """[N m]"""


class World:
    """`count` robots stepped together on `threads` threads. Deterministic for a given generator of random numbers."""

    def __init__(
        self, count: int, card: Card, threads: int, measure: bool = False, ahead: bool = False
    ) -> None:  # fmt: skip
        """`measure`: keep what rewards need at every tick. `ahead`: the teacher sees each robot as it will be when the
        answer of this tick reaches its motors, so that its answers fit a delay that it does not know of."""
        self.count = count
        self.measured = Measured(count) if measure else None
        base = reduced_model()
        self.nbody = int(base.nbody)
        self.bodies = [Body(base, card) for _ in range(count)]
        self.errors = [Randomised.nominal(self.nbody) for _ in range(count)]
        self._pool = ThreadPoolExecutor(threads)
        self._parts = np.array_split(np.arange(count), threads)
        self.qpos: Array = np.zeros((count, 7 + N))
        self.qvel: Array = np.zeros((count, 6 + N))
        self._ahead = ahead
        self.seen_qpos, self.seen_qvel = self.qpos, self.qvel
        """What the teacher saw of each robot at this tick."""
        if ahead:
            self.seen_qpos, self.seen_qvel = np.zeros_like(self.qpos), np.zeros_like(self.qvel)
        self.last_action: Float32 = np.zeros((count, N), dtype=np.float32)
        self.tracks: list[Array] = [np.zeros((1, WIDTH))] * count
        self.at: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._noise: Float32 = np.zeros(count, dtype=np.float32)
        self._pushed: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._student, self._teacher = StudentView(count), TeacherView(count)
        self._targets: Array = np.zeros((LONGEST_WHOLE + 1, count, N))
        self.active: npt.NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
        """Robots that `act` moves; the others rest."""

    def start(
        self, i: int, track: Array, errors: Randomised, *, at: int = 0, joint_noise: Array | float = 0.0,
        velocity: Array | float = 0.0, as_track: bool = False,
    ) -> None:  # fmt: skip
        """Robot `i` starts a track at tick `at`, standing or (`as_track`) in the posture and motion of that tick."""
        body, row = self.bodies[i], track[at]
        qpos, qvel = np.zeros(7 + N), np.zeros(6 + N)
        qpos[3], qpos[7:] = 1.0, DEFAULT
        if as_track:
            qpos[3:7] = quaternion(row[ROLL], row[PITCH], np.zeros(()))
            qpos[7:] = row[JOINTS]
            qvel[:3] = rotate(qpos[3:7], np.array([row[VX], row[VY], 0.0]))
            qvel[5] = row[WZ]
            qvel[6:] = np.clip(joint_rates(track[max(at - 1, 0) : at + 2])[min(at, 1)], -10.0, 10.0)
        qpos[7:] += joint_noise
        qvel[:2] += velocity
        body.become(errors)
        body.place(qpos, qvel)
        self.errors[i], self.tracks[i], self.at[i], self._noise[i] = errors, track, at, errors.noise
        self._pushed[i] = 0
        self.last_action[i] = 0.0
        self._targets[:, i] = qpos[7:]
        which = np.arange(self.count) == i
        self._student.reset(which)
        self._teacher.reset(which)
        self.qpos[i], self.qvel[i] = body.data.qpos, body.data.qvel

    def reference(self) -> Float32:
        """What each robot is to track at this tick, (k, 35)."""
        return np.stack([t[min(a, len(t) - 1)] for t, a in zip(self.tracks, self.at, strict=True)]).astype(np.float32)

    def see(self, rng: np.random.Generator) -> Seen:
        """Observations of this tick: the student's with sensor noise, the teacher's without. Call once a tick."""
        reference = self.reference()
        clean = taught = proprioception(self.qpos, self.qvel, self.last_action)
        if self._ahead:
            list(self._pool.map(self._foresee, self._parts))
            taught = proprioception(self.seen_qpos, self.seen_qvel, self.last_action)
        noise = rng.standard_normal((self.count, PROPRIOCEPTION), dtype=np.float32) * SENSOR_SCALE
        noisy = clean + noise * self._noise[:, None]
        noisy[:, 5 + N + ANKLES] = 0.0
        return Seen(self._student.observe(reference, noisy), self._teacher.observe(reference, taught))

    def act(self, action: Float32) -> None:
        """One tick with each robot's raw action (k, 29)."""
        self.last_action[:] = action
        self._targets[1:] = self._targets[:-1].copy()
        self._targets[0] = np.clip(action, -ACTION_CLIP, ACTION_CLIP) * ACTION_SCALE + DEFAULT
        list(self._pool.map(self._advance, self._parts))
        self.at += 1

    def _foresee(self, part: npt.NDArray[np.intp]) -> None:
        for i in part:
            whole, steps = self._lag(i)
            waiting = [self._targets[k, i] for k in range(whole - 1, -1, -1)]  # answers that have not arrived either
            self.seen_qpos[i], self.seen_qvel[i] = self.bodies[i].foresee(steps, waiting)

    def _lag(self, i: int) -> tuple[int, int]:
        """How late robot `i` gets its targets: whole ticks, and physics steps."""
        delay = self.errors[i].delay
        whole = max(delay - 1, 0) // SUBSTEPS
        return whole, delay - whole * SUBSTEPS

    def _advance(self, part: npt.NDArray[np.intp]) -> None:
        for i in part[self.active[part]]:
            body = self.bodies[i]
            whole, steps = self._lag(i)
            body.advance(self._targets[whole, i], steps)
            self.qpos[i], self.qvel[i] = body.data.qpos, body.data.qvel
            if self.measured is not None:
                self._measure(i, body, self.measured)

    def _measure(self, i: int, body: Body, m: Measured) -> None:
        track = self.tracks[i]
        row = track[min(self.at[i], len(track) - 1)]
        attitude = quaternion(row[ROLL], row[PITCH], np.zeros(()))
        m.wanted_sites[i] = body.key_sites_of(attitude, row[JOINTS])
        m.sites[i], m.pelvis[i], m.soles[i] = body.key_sites(), body.pelvis(), body.soles()
        m.torque[i] = body.data.actuator_force

    def push_at_random(self, rng: np.random.Generator) -> None:
        """Now and then a horizontal push of 20 to 130 N for 0.1 to 0.4 s."""
        starts = rng.random(self.count) < PUSH_CHANCE
        for i in np.flatnonzero(starts | (self._pushed == 1)):
            angle, newtons = rng.uniform(0, 2 * np.pi), rng.uniform(20.0, 130.0)
            force = np.array([np.cos(angle), np.sin(angle), 0.0]) * (newtons if starts[i] else 0.0)
            self.bodies[i].push(force)
            self._pushed[i] = round(rng.uniform(0.1, 0.4) / DT_S) + 1 if starts[i] else 1
        self._pushed = np.maximum(self._pushed - 1, 0)

    def push(self, i: int, force_w: Array) -> None:
        """A force on robot `i` until the next call, world frame [N], (3,)."""
        self.bodies[i].push(force_w)

    def fallen(self) -> npt.NDArray[np.bool_]:
        """Which robots lie, or have left the numbers, (k,)."""
        x, y = self.qpos[:, 4], self.qpos[:, 5]
        standing = (self.qpos[:, 2] > FALLEN_HEIGHT_M) & (1.0 - 2.0 * (x * x + y * y) > FALLEN_UP)
        sane = np.isfinite(self.qvel).all(axis=1) & (np.abs(self.qvel).max(axis=1) < 200.0)
        return np.asarray(~(standing & sane))

    def ended(self) -> npt.NDArray[np.bool_]:
        """Which robots are at the end of their track, (k,)."""
        return self.at >= np.array([len(t) for t in self.tracks])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


Actor = Callable[[Seen], Float32]
"""From what is seen to raw actions (k, 29)."""
