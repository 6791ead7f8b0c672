"""What a policy whose legs go their own way is told instead of the operator's legs: a calm velocity and a height.

The root's velocity is low-passed and clipped to the card's range; a person who sways does not make the robot step, one
who stops lets it march a moment longer and then stand. The legs of the reference are the stand pose's from here on, so
that nothing downstream, no report and no picture shows legs that nobody follows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.safety import attitude as att
from teleopd.service.policy.card import Capabilities, Card

SMOOTH_S = 0.3
"""Time constant of the velocity [s]: a step's sway is gone, a stop is not late."""
WALK_M_S, WALK_RAD_S = 0.14, 0.3
"""From these speeds on it walks; an operator who stands sways at up to 0.1 m/s."""
REST_SHARE = 0.5
"""It comes to rest below this share of them,"""
REST_S = 0.6
"""for so long [s]."""
MARCH_M_S = 2e-3
"""Told while it marches in place: above what counts as standing still."""
CLIMB_M_S = 0.3
"""Largest rate of the height [m/s]."""
TALL_M = 0.06
"""It walks only within this of the greatest height: bent, it stands on both feet [m]."""
LOWER_M = 0.12
"""An operator lower than the range by this kneels, sits or lies [m]."""
LARGEST_TILT_RAD = 0.8
LIFTED_RAD = 1.15
"""Difference between the hips' or the knees' angles that no step shows: a kick, a raised leg [rad]."""
CLIPPED = ("forward", "left", "turn", "height")
CANNOT = (
    "",
    "the operator kneels, sits or lies lower than this policy's legs go: stand up to engage",
    "the operator lies or bends too far over for a policy that stays upright: stand up to engage",
    "the operator has a leg raised, which this policy's legs do not follow: stand on both feet to engage",
)
"""Why an operator cannot be followed; the first means they can."""


class Commands:
    """Shapes one reference a tick at `rate_hz`. `clipped` and `cannot` describe the last one."""

    def __init__(self, card: Card, able: Capabilities, model: RobotModel) -> None:
        self._able, self._dt_s = able, 1.0 / card.rate_hz
        self._bounds = np.array((able.forward, able.left, able.turn))
        rest = () if card.joints.rest is None else card.joints.rest.joints
        self._legs = np.array([i for i, name in enumerate(model.joint_names) if name not in rest], dtype=np.intp)
        self._stand = model.q_stand[self._legs]
        self._pairs = [
            (model.joint_names.index(f"left_{joint}_joint"), model.joint_names.index(f"right_{joint}_joint"))
            for joint in ("hip_pitch", "knee") if f"left_{joint}_joint" in model.joint_names
        ]  # fmt: skip
        self.clipped = 0
        """Bits in the order of `CLIPPED`."""
        self.cannot = 0
        """Index into `CANNOT`."""
        self.reset()

    def reset(self) -> None:
        """Stand at full height."""
        self._velocity = np.zeros(3)
        self._height = self._able.height[1]
        self._walks, self._calm_s = False, 0.0

    def judge(self, operator: Reference | None) -> int:
        """Whether the operator's own reference can be followed; an index into `CANNOT`."""
        self.cannot = 0
        if operator is None or not np.isfinite(operator.q).all() or not np.isfinite(operator.root_quat_w).all():
            return 0
        if float(np.abs(att.roll_pitch(operator.root_quat_w)).max()) > LARGEST_TILT_RAD:
            self.cannot = 2
        elif float(operator.root_pos_w[2]) < self._able.height[0] - LOWER_M:
            self.cannot = 1
        elif any(abs(float(operator.q[left] - operator.q[right])) > LIFTED_RAD for left, right in self._pairs):
            self.cannot = 3
        return self.cannot

    def step(self, reference: Reference) -> Reference:
        """The reference that the policy is shown; new arrays."""
        yaw = att.yaw_of(reference.root_quat_w)
        asked = np.append(att.turn_xy(reference.root_lin_vel_w[:2], -yaw), reference.root_ang_vel_w[2])
        if not np.isfinite(asked).all():
            asked = np.zeros(3)
        self._velocity += (asked - self._velocity) * min(self._dt_s / SMOOTH_S, 1.0)
        told = np.clip(self._velocity, self._bounds[:, 0], self._bounds[:, 1])
        low, high = self._able.height
        wanted = float(reference.root_pos_w[2])
        bounded = min(max(wanted, low), high)
        # A person a little taller than the robot's stand is no command; one lower than it can go is.
        beyond = [*(np.abs(told - self._velocity) > 1e-9), wanted < low - 5e-3]
        self.clipped = sum(1 << i for i, is_beyond in enumerate(beyond) if is_beyond)
        self._decide(told, bounded)
        goal = high if self._walks else bounded
        climb = CLIMB_M_S * self._dt_s
        self._height += min(max(goal - self._height, -climb), climb)
        moves = self._walks and self._height > high - TALL_M
        if not moves:
            told = np.zeros(3)
        elif math.hypot(told[0], told[1]) < MARCH_M_S:
            told[0] = MARCH_M_S
        return self._shaped(reference, yaw, told)

    def _decide(self, told: Array, height: float) -> None:
        """Walk or stand."""
        effort = max(math.hypot(told[0], told[1]) / WALK_M_S, abs(float(told[2])) / WALK_RAD_S)
        if height < self._able.height[1] - 2.0 * TALL_M and effort < 2.0:
            effort = 0.0  # who squats sways too
        self._calm_s = self._calm_s + self._dt_s if effort < REST_SHARE else 0.0
        if effort > 1.0:
            self._walks = True
        elif self._calm_s > REST_S:
            self._walks = False

    def _shaped(self, reference: Reference, yaw: float, told: Array) -> Reference:
        q, dq, pos = reference.q.copy(), reference.dq.copy(), reference.root_pos_w.copy()
        q[self._legs], dq[self._legs] = self._stand, 0.0
        pos[2] = self._height
        return reference._replace(
            root_pos_w=pos, root_quat_w=att.of_yaw(yaw), q=q, dq=dq,
            root_lin_vel_w=np.append(att.turn_xy(told[:2], yaw), 0.0),
            root_ang_vel_w=np.array((0.0, 0.0, float(told[2]))),
        )  # fmt: skip


def clipped_words(bits: int, able: Capabilities | None = None) -> str:
    """'forward and height' of what is asked for beyond the policy's range; empty where nothing is."""
    names: Sequence[str] = [name for i, name in enumerate(CLIPPED) if bits >> i & 1]
    if able is not None:
        names = [f"{name} (to {getattr(able, name)[0]:g}..{getattr(able, name)[1]:g})" for name in names]
    return " and ".join(names)
