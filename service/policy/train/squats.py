"""Legs of a standing squat by height: feet flat, trunk upright, centre of mass over the middle of the soles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mujoco
import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL

KNEES_RAD = np.linspace(0.1, 2.1, 41)
HALVINGS = 30


@cache
def squat_table() -> Callable[[Array], Array]:
    """A function height of the pelvis [m] (k,) -> both legs' joints (k, 12) [rad], held at the ends of its range."""
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    data = mujoco.MjData(m)
    soles = np.array([m.site(name).id for name in MODEL.sole_sites])
    heights, legs = [], []
    for knee in KNEES_RAD:
        hip = _balancing_hip(m, data, soles, knee)
        heights.append(-float(data.site_xpos[soles, 2].min()))
        legs.append((hip, 0.0, 0.0, knee, -(hip + knee), 0.0))
    order = np.argsort(heights)
    z, table = np.array(heights)[order], np.array(legs)[order]

    def at(height: Array) -> Array:
        leg = np.stack([np.interp(height, z, column) for column in table.T], axis=-1)
        return np.concatenate((leg, leg), axis=-1)

    return at


def _balancing_hip(m: mujoco.MjModel, data: mujoco.MjData, soles: Array, knee: float) -> float:
    """Hip pitch that puts the centre of mass over the soles' middle; leaves that pose in `data`."""
    low, high = -2.0, 0.3
    for _ in range(HALVINGS):
        hip = 0.5 * (low + high)
        data.qpos[:7] = 0, 0, 0, 1, 0, 0, 0
        data.qpos[7:] = MODEL.q_stand
        data.qpos[7:19] = np.tile((hip, 0.0, 0.0, knee, -(hip + knee), 0.0), 2)
        mujoco.mj_kinematics(m, data)
        mujoco.mj_comPos(m, data)
        ahead = float(data.subtree_com[0, 0]) - float(data.site_xpos[soles, 0].mean())
        # More hip flexion (more negative) brings the feet forward under an upright trunk.
        if ahead > 0.0:
            high = hip
        else:
            low = hip
    return hip
