"""Our own controller that stands still on both feet and squats while the arms move: capture point over the soles.

The ankles carry the torque that puts the centre of pressure beyond the capture point; hips hold the pelvis level and
shift it sideways; knees give the height, with the weight they carry told in advance. It is an expert: it knows masses
and velocities that a robot does not. Its numbers were found by random search (`search.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.decoupled.walker import ACTION_SCALE, HEIGHT
from teleopd.service.policy.train.decoupled.world import Balance, Bools, Float32, World

GRAVITY = 9.81
ANKLE_ROLL_NM = 8.0
"""The same to the side, where a robot's ankles roll."""
LEG_M = 0.4
"""Thigh and shin (robot.xml of both)."""
LARGEST_WAY_M = 0.05
"""It asks for no height further from where the pelvis is: a robot that comes to stand late goes down gently."""


class Gains(NamedTuple):
    """The numbers that were searched; each may be an array (k,)."""

    ahead_m: Array | float = 0.033
    """Where the centre of mass is held before the ankles."""
    place: Array | float = 1.41
    speed: Array | float = 1.5
    """Centre of pressure per place and per capture-point share of the velocity."""
    hip_pitch: Array | float = 0.652
    hip_pitch_rate: Array | float = 0.069
    hip_capture: Array | float = 0.293
    hip_roll: Array | float = 0.288
    hip_roll_rate: Array | float = 0.05
    side_place: Array | float = 0.687
    side_speed: Array | float = 0.633
    knee_share: Array | float = 1.118
    """Of the torque that the weight needs at the knees."""
    load_share: Array | float = 0.965
    """How far the knees share it as the capture point lies between the feet, instead of equally."""
    knee_roll: Array | float = 0.304
    """The knee on the low side stretches, the other bends."""
    ankle_place: Array | float = 0.0
    ankle_speed: Array | float = 0.0
    """Centre of pressure to the side, where a robot's ankles roll."""


GAINS = {
    "unitree_h1": Gains(),
    "unitree_h1_2": Gains(ahead_m=0.025, ankle_place=1.2, ankle_speed=1.2),
}
"""By robot."""


class StandingExpert:
    """Legs of every robot of a world as if all of them stood."""

    def __init__(self, world: World, gains: Gains | None = None) -> None:
        walker = world.walker
        self._world, self.gains = world, gains or GAINS[walker.model.name]
        self._pitch, self._roll = walker.leg("hip_pitch"), walker.leg("hip_roll")
        self._yaw, self._knee, self._ankle = walker.leg("hip_yaw"), walker.leg("knee"), walker.leg(walker.ankle)
        self._ankle_roll = walker.leg("ankle_roll")
        self._ankle_nm, self._hip_and_sole = walker.ankle_nm, walker.hip_and_sole_m
        kp = walker.model.kp_ready[walker.motor]
        self._ankle_kp, self._knee_kp = float(kp[self._ankle[0]]), float(kp[self._knee[0]])
        self._default = walker.default[: len(walker.legs)]
        self._held_yaw = np.zeros((world.count, 2))
        self._held_roll = np.zeros((world.count, 2))

    def begin(self, which: Bools) -> None:
        """These robots come to stand: the hips keep the turn and the width that the feet now have."""
        q = self._world.qpos[:, 7:]
        self._held_yaw[which] = q[which][:, self._yaw]
        roll = q[which][:, self._roll]
        half = 0.5 * (roll[:, :1] - roll[:, 1:])
        self._held_roll[which] = np.hstack((half, -half))

    def __call__(self, command: Array, balance: Balance) -> Float32:
        """Raw actions (k, legs) for the heights of the commands (k, 5)."""
        g, b = self.gains, balance
        q = self._world.qpos[:, 7:]
        omega = np.sqrt(GRAVITY / np.maximum(b.com[:, 2], 0.3))
        off = b.com[:, 0] - g.ahead_m
        forward = b.com_velocity[:, 0] / omega
        pressure = g.ahead_m + g.place * off + g.speed * forward
        torque = np.clip(0.5 * b.weight_n * pressure, *self._ankle_nm)
        now = self._world.qpos[:, 2]
        height = np.clip(command[:, HEIGHT], now - LARGEST_WAY_M, now + LARGEST_WAY_M)
        squat = np.clip((height - self._hip_and_sole) / (2.0 * LEG_M), 0.5, 0.996)
        knee = 2.0 * np.arccos(squat)
        pitch = -0.5 * knee + g.hip_pitch * b.pitch + g.hip_pitch_rate * b.gyro[:, 1] + g.hip_capture * (off + forward)
        aside = b.com[:, 1] + b.com_velocity[:, 1] / omega
        left = np.clip(0.5 + 0.5 * g.load_share * aside / np.maximum(b.foot[:, 1], 0.08), 0.0, 1.0)
        carried = b.weight_n * LEG_M * np.sin(0.5 * knee) * g.knee_share / self._knee_kp
        tilt = g.knee_roll * b.roll
        side = g.side_place * b.com[:, 1] + g.side_speed * b.com_velocity[:, 1] / omega
        roll = g.hip_roll * b.roll + g.hip_roll_rate * b.gyro[:, 0] + side
        step = b.foot[:, 0] / (2.0 * LEG_M)
        target = np.tile(self._default, (len(q), 1))
        target[:, self._yaw] = self._held_yaw
        target[:, self._roll] = self._held_roll + roll[:, None]
        target[:, self._pitch] = pitch[:, None] + np.stack((-step, step), axis=1)
        target[:, self._knee] = np.stack((knee - carried * left + tilt, knee - carried * (1.0 - left) - tilt), axis=1)
        target[:, self._ankle] = q[:, self._ankle] + (torque / self._ankle_kp)[:, None]
        if len(self._ankle_roll):
            pressure = g.ankle_place * b.com[:, 1] + g.ankle_speed * b.com_velocity[:, 1] / omega
            torque = np.clip(-0.5 * b.weight_n * pressure, -ANKLE_ROLL_NM, ANKLE_ROLL_NM)
            target[:, self._ankle_roll] = q[:, self._ankle_roll] + (torque / self._ankle_kp)[:, None]
        return ((target - self._default) / ACTION_SCALE).astype(np.float32)
