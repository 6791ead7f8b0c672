"""A robot whose legs a policy of ours moves: what training has to know beyond its `RobotModel`, and what is observed.

Joints stand in the order of the MJCF everywhere in this package (`state`): the legs first, then torso and arms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray, RobotModel
from teleopd.robots.unitree_h1.model import MODEL as H1_MODEL
from teleopd.robots.unitree_h1_2.model import MODEL as H1_2_MODEL
from teleopd.service.policy.balance import WIDTH as BALANCE

RATE_HZ = 50.0
DT_S = 1.0 / RATE_HZ
CLOCK_S = 0.8
"""Period of a gait of two steps: the walking teacher's (unitree_rl_gym)."""
ACTION_SCALE = 0.25
"""The teacher's (unitree_rl_gym)."""
ACTION_CLIP = 10.0
LAGS = (1, 2, 3, 5, 8)
"""Ticks back at which proprioception is seen besides now (h1_default.md, section 3)."""
GYRO_SCALE, DQ_SCALE = 0.25, 0.05
COMMAND = 5
"""Velocity forward, left, turn; height; whether it walks."""
VX, VY, WZ, HEIGHT, WALKS = range(COMMAND)


class Walker(NamedTuple):
    """One robot."""

    model: RobotModel
    legs: tuple[str, ...]
    """Leg joints in the order of MJCF and teacher: left leg, right leg."""
    upper: tuple[str, ...]
    """The others, in MJCF order: torso, left arm, right arm."""
    torso: str
    """Joint that turns the torso."""
    feet: tuple[str, str]
    """Bodies of the feet; their origin is at the ankle."""
    hands: tuple[tuple[str, tuple[float, float, float]], tuple[str, tuple[float, float, float]]]
    """Body and place where a payload hangs [m]."""
    load: str
    """The same in words, after "a load hangs"."""
    torso_body: str
    ankle: str
    """Joint that lowers the toes, without side and `_joint`."""
    hip_and_sole_m: float
    """Pelvis above the hip's pitch axis plus that axis of the ankle above the floor [m]."""
    ankle_nm: tuple[float, float]
    """What a sole can carry at each ankle before heel or toe lifts [N m]."""
    sole_m: float
    """Sole under the origin of a foot [m]."""
    teacher: str
    """The teacher's file in the folder of public data."""

    @property
    def joints(self) -> tuple[str, ...]:
        """All joints in MJCF order."""
        return self.legs + self.upper

    @property
    def motor(self) -> IntArray:
        """Motor index of each joint."""
        return self.model.indices(self.joints)

    @property
    def default(self) -> Array:
        """Stand pose in MJCF order [rad]."""
        return np.asarray(self.model.q_stand[self.motor])

    @property
    def proprioception(self) -> int:
        """Values of one tick: what is sensed, and the balance that follows from it."""
        return self.sensed + BALANCE

    @property
    def sensed(self) -> int:
        """Values of one tick: gyro, gravity, joints, joint speeds, last action."""
        return 6 + 2 * len(self.joints) + len(self.legs)

    @property
    def width(self) -> int:
        """Values of an observation."""
        return COMMAND + 2 + len(self.upper) + self.proprioception * (1 + len(LAGS))

    def leg(self, joint: str) -> IntArray:
        """Places of the left and the right `joint` ("hip_pitch", "knee" ...) among the legs."""
        found = [i for i, name in enumerate(self.legs) if re.fullmatch(rf"(left|right)_{joint}_joint", name)]
        return np.array(found, dtype=np.intp)


def _walker(model: RobotModel, **facts: object) -> Walker:
    m = mujoco.MjModel.from_xml_path(str(model.mjcf))
    names = [m.joint(i).name for i in range(1, m.njnt)]
    legs = tuple(name for name in names if re.search("hip|knee|ankle", name))
    assert names[: len(legs)] == list(legs)
    return Walker(model=model, legs=legs, upper=tuple(names[len(legs) :]), **facts)  # type: ignore[arg-type]


def h1() -> Walker:
    """The 19-joint H1."""
    return _walker(
        H1_MODEL, torso="torso_joint", feet=("left_ankle_link", "right_ankle_link"),
        hands=(("left_elbow_link", (0.28, 0.0, -0.015)), ("right_elbow_link", (0.28, 0.0, -0.015))),
        load="0.28 m beyond the elbow", torso_body="torso_link", ankle="ankle",
        hip_and_sole_m=0.2442, ankle_nm=(-12.0, 38.0), sole_m=0.07,
        teacher="policies/unitree_rl_gym/pre_train/h1/motion.pt",
    )  # fmt: skip


def h1_2() -> Walker:
    """The 27-joint H1-2."""
    return _walker(
        H1_2_MODEL, torso="torso_joint", feet=("left_ankle_roll_link", "right_ankle_roll_link"),
        hands=(("left_wrist_yaw_link", (0.05, 0.0, 0.0)), ("right_wrist_yaw_link", (0.05, 0.0, 0.0))),
        load="0.05 m beyond the wrist", torso_body="torso_link", ankle="ankle_pitch",
        hip_and_sole_m=0.2282, ankle_nm=(-14.0, 37.0), sole_m=0.045,
        teacher="policies/unitree_rl_gym/pre_train/h1_2/motion.pt",
    )  # fmt: skip


WALKERS: dict[str, Callable[[], Walker]] = {"unitree_h1": h1, "unitree_h1_2": h1_2}
