"""The tracking reward of fine-tuning: joints, key sites, height, tilt, velocity; against falls, jerks, torque, slip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import DT_S, JOINTS, PITCH, ROLL, VX, VY, WZ, Float32, Z, roll_pitch
from teleopd.service.policy.train.world import World
from teleopd.service.telemetry.tracking import headings

FILTER_S = 0.4
"""Velocities are compared after a low-pass of this time: what counts is where it goes, not how it sways."""
SCALE = 0.1
"""Of the sum: a tick well done is worth about 0.13."""
FALL = -2.0
SOLE_ON_FLOOR_M = 0.008
WEIGHTS = {
    "joints": 0.15, "bodies": 0.35, "bodies_linear": -5.0, "height": 0.1, "tilt": 0.1, "velocity": 0.4,
    "velocity_linear": -0.5, "turning": 0.1, "alive": 0.15, "action_rate": -0.4, "torque": -0.05, "slip": -0.1,
}  # fmt: skip
JOINTS_RAD, BODIES_M, HEIGHT_M, TILT_RAD, VELOCITY_M_S, TURNING_RAD_S = 0.2, 0.06, 0.06, 0.15, 0.15, 0.35
"""Errors at which a term is 1/e."""
JOINT_WEIGHTS: Array = np.ones(MODEL.n)
JOINT_WEIGHTS[15:] = np.tile((0.6, 0.6, 0.6, 0.6, 0.15, 0.15, 0.15), 2)


class Scored(NamedTuple):
    """Rewards of a tick."""

    total: Array
    """(k,), falls not in it."""
    terms: dict[str, float]
    """Mean of each unweighted term."""


class Rewards:
    """Scores a batch tick by tick; keeps the low-passed velocities of commands and robots."""

    def __init__(self, count: int) -> None:
        self.wanted: Array = np.zeros((count, 3))
        """Low-passed command: forward, left [m/s], turning [rad/s]."""
        self.moving: Array = np.zeros((count, 3))
        """The robot's own, in its heading."""
        self._action: Float32 = np.zeros((count, MODEL.n), dtype=np.float32)
        self._fresh: npt.NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
        self._soles: Array = np.zeros((count, len(MODEL.sole_sites), 3))

    def reset(self, i: int) -> None:
        """Robot `i` starts anew."""
        self._fresh[i] = True

    def score(self, world: World, reference: Float32, action: Float32) -> Scored:
        """The tick that `action` led to, against the reference (k, 35) it was given; `world` measures."""
        m = world.measured
        assert m is not None
        velocity = heading_velocity(world)
        command = reference[:, [VX, VY, WZ]].astype(np.float64)
        fresh = self._fresh
        self.wanted[fresh], self.moving[fresh] = command[fresh], velocity[fresh][:, [0, 1, 3]]
        self._action[fresh], self._soles[fresh] = action[fresh], m.soles[fresh]
        self.wanted += (command - self.wanted) * (DT_S / FILTER_S)
        self.moving += (velocity[:, [0, 1, 3]] - self.moving) * (DT_S / FILTER_S)
        off = self.wanted - self.moving
        speed_off = np.linalg.norm(off[:, :2], axis=1)
        joints = ((world.qpos[:, 7:] - reference[:, JOINTS]) ** 2 * JOINT_WEIGHTS).sum(axis=1) / JOINT_WEIGHTS.sum()
        bodies = key_distance(world)
        roll, pitch = roll_pitch(world.qpos[:, 3:7])
        tilt = (roll - reference[:, ROLL]) ** 2 + (pitch - reference[:, PITCH]) ** 2
        down = (m.soles[:, :, 2] < SOLE_ON_FLOOR_M) & (self._soles[:, :, 2] < SOLE_ON_FLOOR_M)
        slid = np.linalg.norm(m.soles[:, :, :2] - self._soles[:, :, :2], axis=2) / DT_S
        terms = {
            "joints": np.exp(-joints / JOINTS_RAD**2),
            "bodies": np.exp(-((bodies / BODIES_M) ** 2)),
            "bodies_linear": np.minimum(bodies, 0.3),
            "height": np.exp(-(((world.qpos[:, 2] - reference[:, Z]) / HEIGHT_M) ** 2)),
            "tilt": np.exp(-tilt / TILT_RAD**2),
            "velocity": np.exp(-((speed_off / VELOCITY_M_S) ** 2)),
            "velocity_linear": np.minimum(speed_off, 1.0),
            "turning": np.exp(-((off[:, 2] / TURNING_RAD_S) ** 2)),
            "alive": np.ones(world.count),
            "action_rate": np.minimum(((action - self._action) ** 2).mean(axis=1), 4.0),
            "torque": ((m.torque / MODEL.limits.tau_max) ** 2).mean(axis=1),
            "slip": np.minimum((slid * down).max(axis=1), 1.0),
        }
        self._action[:], self._soles[:] = action, m.soles
        fresh[:] = False
        total = SCALE * sum((WEIGHTS[name] * value for name, value in terms.items()), np.zeros(world.count))
        return Scored(np.nan_to_num(total, nan=0.0), {name: float(np.nanmean(v)) for name, v in terms.items()})


def heading_velocity(world: World) -> Array:
    """Velocity of the pelvis forward, left, up in its heading [m/s], and turn rate [rad/s], (k, 4)."""
    yaw = headings(world.qpos[:, 3:7])
    c, s, v = np.cos(yaw), np.sin(yaw), world.qvel
    return np.stack((c * v[:, 0] + s * v[:, 1], c * v[:, 1] - s * v[:, 0], v[:, 2], v[:, 5]), axis=1)


def key_distance(world: World) -> Array:
    """Mean distance of the key sites from the reference's, root-relative and heading-aligned [m], (k,)."""
    m = world.measured
    assert m is not None
    yaw = headings(world.qpos[:, 3:7])[:, None]
    c, s = np.cos(yaw), np.sin(yaw)
    relative = m.sites - m.pelvis[:, None, :]
    x = c * relative[:, :, 0] + s * relative[:, :, 1] - m.wanted_sites[:, :, 0]
    y = c * relative[:, :, 1] - s * relative[:, :, 0] - m.wanted_sites[:, :, 1]
    z = relative[:, :, 2] - m.wanted_sites[:, :, 2]
    return np.asarray(np.sqrt(x * x + y * y + z * z).mean(axis=1))
