"""How the reference's joints may move from one tick to the next: speed, acceleration, and not into one another.

The acceleration bound is as wide as it is because of sources at 30 Hz: read at 50 Hz they are staircases, and public
walking clips reach 490 rad/s^2 at 120 Hz and 900 at 30 Hz (the 60 once proposed would bend 70 to 100 % of their ticks).
"""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.safety.guard_bounds import GuardBounds
from teleopd.safety.overlap import Overlap
from teleopd.safety.thresholds import Thresholds


class JointSteps:
    """Remembers how fast the joints went, so it has to see every tick."""

    def __init__(self, model: RobotModel, bounds: GuardBounds, thresholds: Thresholds) -> None:
        """Raises CapsuleError where the robot's table of capsule pairs does not fit its MJCF."""
        self._fastest = bounds.joint_speed
        self._acceleration = thresholds.value("reference_acceleration")
        self._overlap = Overlap(model, thresholds.value("reference_overlap") * 1e-3)
        self._speed: Array = np.zeros(model.n)
        self.held_joints = 0
        """Joints that were held in this tick, or could not go all the way, to keep parts out of one another."""

    def rest(self) -> None:
        """The reference stands, or was put somewhere anew: it starts from rest."""
        self._speed[:] = 0.0
        self.held_joints = 0

    def step(self, wanted: Array, before: Array, dt_s: float) -> tuple[Array, Array]:
        """Joint positions [rad] on the way from `before` to `wanted`, and speeds [rad/s] where they are not the
        reference's own (NaN elsewhere); (n,) each.

        Stopping is always allowed, at once: a reference that is lost is held where it is.
        """
        change = self._acceleration * dt_s
        slowest = np.maximum(np.minimum(self._speed - change, 0.0), -self._fastest)
        fastest = np.minimum(np.maximum(self._speed + change, 0.0), self._fastest)
        q = before + np.clip(wanted - before, slowest * dt_s, fastest * dt_s)
        q, held = self._overlap.keep(q, before)
        self.held_joints = int(held.sum())
        self._speed = (q - before) / dt_s if dt_s > 0.0 else np.zeros(len(q))
        return q, np.where(np.abs(q - wanted) > 1e-9, self._speed, np.nan)
