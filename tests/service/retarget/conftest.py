"""A robot, a person, and that person in the T-pose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.model import RobotModel
from teleopd.robots.unitree_g1.model import MODEL

T_POSE = {  # a person of 1.75 m; metres, pelvis between the hips, facing +X
    "Pelvis": (0, 0, 0), "L5": (0, 0, 0.1), "L3": (0, 0, 0.2), "T12": (0, 0, 0.3), "T8": (0, 0, 0.4),
    "Neck": (0, 0, 0.53), "Head": (0, 0, 0.65),
    "RightShoulder": (0, -0.03, 0.48), "RightUpperArm": (0, -0.18, 0.48), "RightForeArm": (0, -0.47, 0.48),
    "RightHand": (0, -0.72, 0.48),
    "LeftShoulder": (0, 0.03, 0.48), "LeftUpperArm": (0, 0.18, 0.48), "LeftForeArm": (0, 0.47, 0.48),
    "LeftHand": (0, 0.72, 0.48),
    "RightUpperLeg": (0, -0.09, 0), "RightLowerLeg": (0, -0.09, -0.42), "RightFoot": (0, -0.09, -0.84),
    "RightToe": (0.16, -0.09, -0.9),
    "LeftUpperLeg": (0, 0.09, 0), "LeftLowerLeg": (0, 0.09, -0.42), "LeftFoot": (0, 0.09, -0.84),
    "LeftToe": (0.16, 0.09, -0.9),
}  # fmt: skip
BALL_M = 0.02


@pytest.fixture(scope="session")
def robot() -> RobotModel:
    return MODEL


@pytest.fixture(scope="session")
def person() -> Callable[..., HumanPose]:
    """A pose of the T-posed person: turned by `yaw`, moved by `xy`, numbered `seq`, at `t_s`."""

    def make(yaw: float = 0.0, xy: Any = (0.0, 0.0), z: float = 0.0, seq: int = 1, t_s: float = 1.0) -> HumanPose:
        local = np.array([T_POSE[name] for name in MVN.body_names], dtype=float)
        c, s = np.cos(yaw), np.sin(yaw)
        pos = local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [xy[0], xy[1], 0.9 + BALL_M + z]
        quat = np.tile([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)], (23, 1))
        t_ns = round(t_s * 1e9)
        return HumanPose(MVN, seq, t_ns, t_ns, pos, quat, np.ones(23, dtype=bool), False, 0, frozenset())

    return make


@pytest.fixture(scope="session")
def walk() -> list[HumanPose]:
    """Two seconds from the middle of the built-in walk, 120 Hz."""
    clip = load_motion("walk")
    assert clip.fps == 120.0
    start = clip.frames // 2 - 120
    return [clip.pose(start + i, seq=i + 1, t_ns=10**9 + round(i * 1e9 / 120.0)) for i in range(240)]
