"""A batch of randomised robots under commands: what is seen, what is done to them, when they have fallen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.policy.balance import WIDTH as BALANCE
from teleopd.service.policy.balance import Balance as OwnBalance
from teleopd.service.policy.train.bodies import SUBSTEPS
from teleopd.service.policy.train.decoupled.bodies import Body, Randomised, reduced_model
from teleopd.service.policy.train.decoupled.tracks import Track
from teleopd.service.policy.train.decoupled.walker import (
    ACTION_CLIP,
    ACTION_SCALE,
    CLOCK_S,
    COMMAND,
    DQ_SCALE,
    DT_S,
    GYRO_SCALE,
    LAGS,
    Walker,
)

Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
FALLEN_HEIGHT_M = 0.6
"""Of the pelvis: a quarter of a metre below the deepest squat."""
FALLEN_UP = 0.6
"""Cosine of the pelvis's tilt."""
LONGEST_TICKS = 2
"""An answer may be late by less than this."""
MEAN_S = 0.8
"""Time of the low-passed velocity: a gait cycle."""


class Balance(NamedTuple):
    """What experts know of the robots and a real robot does not, in each one's heading frame from mid-way between its
    ankles; (k, ...)."""

    com: Array
    """Centre of mass, z above the floor [m], (k, 3)."""
    com_velocity: Array
    """[m/s], (k, 3)."""
    foot: Array
    """Left ankle; the right one is opposite. z: heights of left and right above the floor [m] in `lifted`, (k, 2)."""
    lifted: Array
    """Ankle heights above where they are on flat soles [m], (k, 2)."""
    weight_n: Array
    velocity: Array
    """Of the pelvis, low-passed over a gait cycle: forward, left, turn, (k, 3)."""
    pitch: Array
    roll: Array
    gyro: Array
    """(k, 3)"""


class World:
    """`count` robots stepped together on `threads` threads. Deterministic for a given generator of random numbers."""

    def __init__(self, walker: Walker, count: int, kp: Array, kd: Array, threads: int) -> None:
        """`kp`, `kd`: gains in motor order."""
        self.walker, self.count = walker, count
        base = reduced_model(walker)
        self.bodies = [Body(base, walker, kp, kd) for _ in range(count)]
        n = walker.model.n
        self.nq, self._legs = n, len(walker.legs)
        self.errors = [Randomised()] * count
        self._pool = ThreadPoolExecutor(threads)
        self._parts = np.array_split(np.arange(count), threads)
        self.qpos, self.qvel = np.zeros((count, 7 + n)), np.zeros((count, 6 + n))
        self.rows = np.zeros((count, 12))
        self.last_action: Float32 = np.zeros((count, self._legs), dtype=np.float32)
        self._tracks: list[Track | None] = [None] * count
        self.command, self.upper = np.zeros((count, COMMAND)), np.zeros((count, n - self._legs))
        self.at: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self.clock: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        """Ticks of the gait's clock, which runs whether the robot walks or not."""
        self.steps: Float32 = np.zeros(count, dtype=np.float32)
        """1 where the robot steps, as whoever drives it decided last."""
        self._moving = np.zeros((count, 3))
        self._noise: Float32 = np.zeros(count, dtype=np.float32)
        self._pushed: npt.NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._targets = np.zeros((LONGEST_TICKS + 1, count, n))
        self._weight = np.zeros(count)
        self._past: Float32 = np.zeros((max(LAGS) + 1, count, walker.proprioception), dtype=np.float32)
        self._fresh: Bools = np.ones(count, dtype=np.bool_)
        self.active: Bools = np.ones(count, dtype=np.bool_)
        self._sensor = _sensor_scale(walker)
        self._own_model = OwnBalance(walker.model, walker.feet)
        self._default = walker.default
        limits = walker.model.limits
        self._lower, self._upper = limits.q_lower[walker.motor], limits.q_upper[walker.motor]

    def start(
        self, i: int, track: Track, errors: Randomised, *, at: int = 0, clock: int = 0, joint_noise: Array | float = 0.0
    ) -> None:
        """Robot `i` starts a track at tick `at`, standing with the arms where the track has them."""
        qpos, qvel = np.zeros(7 + self.nq), np.zeros(6 + self.nq)
        qpos[3], qpos[7:] = 1.0, self._default
        qpos[7 + self._legs :] = track.upper[at]
        qpos[7 : 7 + self._legs] += joint_noise
        body = self.bodies[i]
        body.become(errors)
        body.place(qpos, qvel)
        self.errors[i], self._tracks[i], self.at[i], self._noise[i] = errors, track, at, errors.noise
        self._weight[i], self._pushed[i], self.clock[i] = body.weight_n, 0, clock
        body.push(np.zeros(3))
        self.last_action[i], self._moving[i], self.steps[i] = 0.0, 0.0, 0.0
        self._targets[:, i] = qpos[7:]
        self._fresh[i] = True
        self.qpos[i], self.qvel[i], self.rows[i] = body.data.qpos, body.data.qvel, body.balance()
        self._wish(i, track)

    def _wish(self, i: int, track: Track) -> None:
        at = min(self.at[i], len(track.command) - 1)
        self.command[i], self.upper[i] = track.command[at], track.upper[at]

    def proprioception(self) -> Float32:
        """What sensors say of this tick, without noise, (k, sensed)."""
        n = self.nq
        out = np.empty((self.count, self.walker.sensed), dtype=np.float32)
        out[:, 0:3] = self.qvel[:, 3:6] * GYRO_SCALE
        out[:, 3:6] = gravity(self.qpos[:, 3:7])
        out[:, 6 : 6 + n] = self.qpos[:, 7:] - self._default
        out[:, 6 + n : 6 + 2 * n] = self.qvel[:, 6:] * DQ_SCALE
        out[:, 6 + 2 * n :] = self.last_action
        return out

    def angle(self) -> Array:
        """Of the gait's clock [rad], (k,)."""
        return np.asarray(2.0 * np.pi * DT_S / CLOCK_S * self.clock)

    def observe(self, rng: np.random.Generator) -> Float32:
        """The student's observation of this tick, with sensor noise, (k, width). Call once a tick."""
        now = self.proprioception()
        now += rng.standard_normal(now.shape, dtype=np.float32) * self._sensor * self._noise[:, None]
        now = np.hstack((now, self._balances(now)))
        self._past[1:] = self._past[:-1].copy()
        self._past[0] = now
        if self._fresh.any():
            self._past[:, self._fresh] = now[self._fresh]
            self._fresh[:] = False
        angle = self.angle()[:, None]
        parts = (self.command, np.sin(angle), np.cos(angle), self.upper, now, *(self._past[lag] for lag in LAGS))
        return np.hstack(parts).astype(np.float32)

    def _balances(self, sensed: Float32) -> Float32:
        """Centre of mass over the feet, as the robot's nominal model makes it of what is sensed, (k, 7)."""
        n, motor = self.nq, self.walker.motor
        out = np.zeros((self.count, BALANCE), dtype=np.float32)
        q, dq = np.zeros(n), np.zeros(n)
        for i in np.flatnonzero(self.active):
            row = sensed[i].astype(np.float64)
            q[motor], dq[motor] = row[6 : 6 + n] + self._default, row[6 + n : 6 + 2 * n] / DQ_SCALE
            out[i] = self._own_model.read(row[3:6], row[0:3] / GYRO_SCALE, q, dq)
        return out

    def balance(self) -> Balance:
        """What the experts know."""
        rows, yaw = self.rows, heading(self.qpos[:, 3:7])
        left, right = rows[:, 6:9], rows[:, 9:12]
        middle = 0.5 * (left + right)
        com = rows[:, 0:3] - middle
        com[:, 2] = rows[:, 2]
        down = gravity(self.qpos[:, 3:7])
        foot = _level(left - middle, yaw)
        return Balance(
            _level(com, yaw), _level(rows[:, 3:6], yaw), foot[:, :2], rows[:, [8, 11]] - self.walker.sole_m,
            self._weight, self._moving, np.arctan2(down[:, 0], -down[:, 2]), np.arctan2(-down[:, 1], -down[:, 2]),
            self.qvel[:, 3:6],
        )  # fmt: skip

    def mass_place(self) -> Array:
        """Centre of mass from the pelvis, in the pelvis's frame [m], (k, 3)."""
        w, v = self.qpos[:, 3:4], -self.qpos[:, 4:7]
        away = self.rows[:, 0:3] - self.qpos[:, :3]
        twice = 2.0 * np.cross(v, away)
        return np.asarray(away + w * twice + np.cross(v, twice))

    def act(self, action: Float32) -> None:
        """One tick with each robot's raw action for the legs (k, legs)."""
        self.last_action[:] = np.clip(action, -ACTION_CLIP, ACTION_CLIP)
        self._targets[1:] = self._targets[:-1].copy()
        self._targets[0, :, : self._legs] = self.last_action * ACTION_SCALE + self._default[: self._legs]
        self._targets[0, :, self._legs :] = self.upper
        np.clip(self._targets[0], self._lower, self._upper, out=self._targets[0])  # as the motor gate does
        list(self._pool.map(self._advance, self._parts))
        self.at += 1
        self.clock += 1
        yaw = heading(self.qpos[:, 3:7])
        now = _level(self.qvel[:, :3], yaw)
        now[:, 2] = self.qvel[:, 5]
        self._moving += DT_S / MEAN_S * (now - self._moving)
        for i, track in enumerate(self._tracks):
            if track is not None:
                self._wish(i, track)

    def _advance(self, part: npt.NDArray[np.intp]) -> None:
        for i in part[self.active[part]]:
            body = self.bodies[i]
            late, part_late = divmod(self.errors[i].delay, SUBSTEPS)
            body.advance(self._targets[late + 1, i], self._targets[late, i], part_late)
            self.qpos[i], self.qvel[i], self.rows[i] = body.data.qpos, body.data.qvel, body.balance()

    def push_at_random(self, rng: np.random.Generator, chance: float) -> None:
        """Now and then, by `chance` a tick, a horizontal push of 30 to 260 N for 0.1 to 0.3 s."""
        starts = rng.random(self.count) < chance
        for i in np.flatnonzero(starts | (self._pushed == 1)):
            angle, newtons = rng.uniform(0, 2 * np.pi), 30.0 + 230.0 * rng.random() ** 1.3
            force = np.array([np.cos(angle), np.sin(angle), 0.0]) * (newtons if starts[i] else 0.0)
            self.bodies[i].push(force)
            self._pushed[i] = round(rng.uniform(0.1, 0.3) / DT_S) + 1 if starts[i] else 1
        self._pushed = np.maximum(self._pushed - 1, 0)

    def push(self, i: int, force_w: Array) -> None:
        """A force on robot `i` until the next call, world frame [N], (3,)."""
        self.bodies[i].push(force_w)

    def fallen(self) -> Bools:
        """Which robots lie, or have left the numbers, (k,)."""
        up = -gravity(self.qpos[:, 3:7])[:, 2]
        standing = (self.qpos[:, 2] > FALLEN_HEIGHT_M) & (up > FALLEN_UP)
        sane = np.isfinite(self.qvel).all(axis=1) & (np.abs(self.qvel).max(axis=1) < 200.0)
        return np.asarray(~(standing & sane))

    def ended(self) -> Bools:
        """Which robots are at the end of their track, (k,)."""
        return np.array([t is None or a >= len(t.command) for t, a in zip(self._tracks, self.at, strict=True)])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def gravity(quat: Array) -> Array:
    """Unit vector of gravity in the frame of orientations (k, 4) wxyz, (k, 3)."""
    w, x, y, z = quat.T
    return np.stack((2.0 * (w * y - x * z), -2.0 * (y * z + w * x), 2.0 * (x * x + y * y) - 1.0), axis=1)


def heading(quat: Array) -> Array:
    """Yaw of orientations (k, 4) wxyz [rad], (k,)."""
    w, x, y, z = quat.T
    return np.asarray(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))


def _level(vectors_w: Array, yaw: Array) -> Array:
    """World vectors (k, 3) in the heading frame."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors_w.T
    return np.stack((c * x + s * y, c * y - s * x, z), axis=1)


def _sensor_scale(walker: Walker) -> Float32:
    """Standard deviations of full sensor noise as observed: gyro 0.1 rad/s, tilt 0.015, q 0.01 rad, dq 0.5 rad/s."""
    n = walker.model.n
    return np.concatenate((
        np.full(3, 0.1 * GYRO_SCALE), np.full(3, 0.015), np.full(n, 0.01), np.full(n, 0.5 * DQ_SCALE),
        np.zeros(len(walker.legs)),
    )).astype(np.float32)  # fmt: skip
