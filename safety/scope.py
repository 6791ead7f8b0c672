"""How much of the operator a first try lets through: a share of the range, a share of the speed, with or without legs.

Scaling acts on the reference, before the policy: the policy keeps balancing the whole robot with all its joints, which
limits on the motors would take from it (measured: 10 rad/s at the motors makes a walking robot fall).
"""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.safety import attitude as att
from teleopd.safety.thresholds import Thresholds

LEG_PARTS = ("hip", "knee", "ankle")
"""A joint with one of these in its name belongs to a leg."""


class Scope:
    """The shares of one run; immutable. With every share 1 nothing is changed, bit for bit."""

    def __init__(self, model: RobotModel, thresholds: Thresholds) -> None:
        """Shares `reference_range`, `reference_speed` and `legs_follow` of the threshold table."""
        share = thresholds.value("reference_range")
        self.legs_follow = thresholds.value("legs_follow") >= 1.0
        self.speed = thresholds.value("reference_speed")
        """Share of an ordinary person's speed; 1: the guard's own bounds."""
        legs = np.array([any(part in name for part in LEG_PARTS) for name in model.joint_names])
        self._root = share if self.legs_follow else 0.0
        self._joints: Array = np.full(model.n, share)
        self._joints[legs & (not self.legs_follow)] = 0.0
        self._stand, self._height = model.q_stand, model.stand_height_m
        self._whole = share == 1.0 and self.legs_follow

    def joints(self, q: Array) -> Array:
        """Joint positions [rad], (n,), nearer to the stand pose."""
        return q if self._whole else self._stand + self._joints * (q - self._stand)

    def joint_speeds(self, dq: Array) -> Array:
        """Joint velocities [rad/s], (n,), to match `joints`."""
        return dq if self._whole else self._joints * dq

    def place(self, pos: Array, start_xy: Array) -> Array:
        """Root position [m], (3,): nearer to where the operator was taken over, and to the stand height."""
        if self._whole:
            return pos
        xy = start_xy + self._root * (pos[:2] - start_xy)
        return np.array([xy[0], xy[1], self._height + self._root * (pos[2] - self._height)])

    def attitude(self, quat: Array, start_yaw: float) -> Array:
        """Root orientation: less lean; without legs, which would have to step, the heading at take-over."""
        if self._whole:
            return quat
        heading = att.of_yaw(att.yaw_of(quat) if self.legs_follow else start_yaw)
        return att.turned(heading, self._root * att.rotation_between(att.of_yaw(att.yaw_of(quat)), quat))

    def root_speeds(self, linear: Array, angular: Array) -> tuple[Array, Array]:
        """Root velocities in the world [m/s], [rad/s], (3,) each, to match `place` and `attitude`."""
        if self._whole:
            return linear, angular
        turning = self._root * angular
        if self.legs_follow:
            turning[2] = angular[2]
        return self._root * linear, turning
