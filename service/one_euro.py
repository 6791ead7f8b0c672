"""The One-Euro filter on whole poses: smooth while the person holds still, fast while they move.

Casiez, Roussel and Vogel, 1 Euro Filter, CHI 2012: a first-order low-pass whose cut-off rises with the low-passed
speed, f = f_min + beta |v|. Positions go by each body's speed, orientations by its angular speed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import Array, HumanPose

SPEED_HZ = 1.0
"""Cut-off of the speed estimate, as the paper has it."""
MIN_HZ, BETA_M, BETA_RAD = 1.0, 60.0, 20.0
"""Measured on two walks and boxing at 60 Hz with 1 and 3 mm of noise: jerk -23 to -51 %, hands 2 to 4 ms later
(feet 2; a boxer's 10); solver smoothing that takes as much makes hands 20 ms later."""
MAX_DT_S = 0.1
"""A longer gap starts anew."""


class OneEuro:
    """Filters the poses of one source. Bodies that are not tracked pass as they are and start anew when they are."""

    def __init__(self, min_hz: float = MIN_HZ, beta_m: float = BETA_M, beta_rad: float = BETA_RAD) -> None:
        """Cut-off at rest [Hz], and its rise with speed [Hz per m/s] and angular speed [Hz per rad/s].

        Raises:
            ValueError: a number is negative, or the cut-off at rest is 0.
        """
        if not (min_hz > 0.0 and beta_m >= 0.0 and beta_rad >= 0.0):
            raise ValueError(
                f"one-euro filter: min_hz is {min_hz:g}, beta_m {beta_m:g}, beta_rad {beta_rad:g}; "
                "min_hz must be above 0 and no number negative"
            )
        self._min_hz, self._beta_m, self._beta_rad = min_hz, beta_m, beta_rad
        self._pos: Array | None = None
        self._quat: Array = np.empty(0)
        self._velocity: Array = np.empty(0)
        self._rate: Array = np.empty(0)
        self._valid: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._last_ns = 0

    def reset(self) -> None:
        """The next pose passes as it is."""
        self._pos = None

    def __call__(self, pose: HumanPose) -> HumanPose:
        """The filtered pose; arrays are new ones."""
        dt_s = (pose.t_source_ns - self._last_ns) * 1e-9
        self._last_ns = pose.t_source_ns
        if self._pos is None or not 0.0 < dt_s <= MAX_DT_S:
            self._pos, self._quat, self._valid = np.array(pose.pos_w), np.array(pose.quat_w), np.array(pose.valid)
            self._velocity, self._rate = np.zeros_like(self._pos), np.zeros_like(self._quat)
            return pose
        anew = ~(self._valid & pose.valid)
        if anew.any():
            self._pos[anew], self._quat[anew] = pose.pos_w[anew], pose.quat_w[anew]
            self._velocity[anew], self._rate[anew] = 0.0, 0.0
        share = _share(SPEED_HZ, dt_s)
        near = np.where(np.vecdot(pose.quat_w, self._quat)[:, None] < 0.0, -pose.quat_w, pose.quat_w)
        moved, turned = pose.pos_w - self._pos, near - self._quat
        self._velocity += share * (moved / dt_s - self._velocity)
        self._rate += share * (2.0 * turned / dt_s - self._rate)
        speed = np.sqrt(np.einsum("ij,ij->i", self._velocity, self._velocity))
        turning = np.sqrt(np.einsum("ij,ij->i", self._rate, self._rate))
        self._pos = self._pos + _share(self._min_hz + self._beta_m * speed, dt_s)[:, None] * moved
        quat = self._quat + _share(self._min_hz + self._beta_rad * turning, dt_s)[:, None] * turned
        norms = np.sqrt(np.einsum("ij,ij->i", quat, quat))
        quat /= np.where(norms > 0.0, norms, 1.0)[:, None]  # lost bodies may hold zeros
        self._pos[anew], quat[anew], self._valid = pose.pos_w[anew], near[anew], np.array(pose.valid)
        self._quat = quat
        return pose._replace(pos_w=self._pos.copy(), quat_w=quat.copy())


def _share(cut_off_hz: Any, dt_s: float) -> Any:
    """Weight of the newest value in first-order low-passes; a number, or an array for many."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cut_off_hz * dt_s))
