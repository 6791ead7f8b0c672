"""The READY ramp: from a snapshot of the measured pose to the stand pose, with rising gains. The robot is carried."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array, RobotModel

SHORTEST_S = 3.0
"""A carried robot and the people at it get this long in any case."""
PER_RAD_S = 2.0
"""Minimum jerk peaks at 1.875 x distance / time: 2 s a radian keep every joint below 0.94 rad/s."""
GAINS_S = 0.5
"""The position gains rise from zero within this time, so that a snapshot taken in motion does not snap back."""


def ramp_seconds(q_from: Array, q_to: Array) -> float:
    """Duration of the ramp between two poses of shape (n,) [rad]."""
    return max(SHORTEST_S, PER_RAD_S * float(np.abs(q_to - q_from).max()))


def min_jerk(share: float) -> float:
    """Smooth step from 0 to 1 with zero velocity and acceleration at both ends; clamped outside [0, 1]."""
    x = min(1.0, max(0.0, share))
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


class ReadyRamp:
    """Wanted q, kp, kd as a function of time since the snapshot. The arrays returned are reused."""

    def __init__(self, model: RobotModel, q_from: Array, started_ns: int) -> None:
        """`q_from`: measured pose (n,) [rad]; copied, so that later measurements do not move the ramp."""
        self._from = q_from.copy()
        self._way = model.q_stand - self._from
        self._model = model
        self._started_ns = started_ns
        self.duration_s = ramp_seconds(self._from, model.q_stand)
        self.q, self.kp, self.kd = self._from.copy(), np.zeros(model.n), model.kd_damp.copy()

    def step(self, now_ns: int) -> tuple[Array, Array, Array]:
        """Wanted (q [rad], kp [N m/rad], kd [N m s/rad]) at that time."""
        elapsed_s = (now_ns - self._started_ns) / 1e9
        np.multiply(self._way, min_jerk(elapsed_s / self.duration_s), out=self.q)
        self.q += self._from
        share = min(1.0, max(0.0, elapsed_s / GAINS_S))
        np.multiply(self._model.kp_ready, share, out=self.kp)
        self.kd[:] = self._model.kd_damp
        self.kd += share * (self._model.kd_ready - self._model.kd_damp)
        return self.q, self.kp, self.kd
