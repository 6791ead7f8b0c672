"""The gantry a robot hangs in before it is trusted to stand: carries the pelvis, lets it down, lets go.

While it hangs, the gantry carries the robot's whole weight at the hanging height plus a spring-damper on position and
orientation, so that the feet just touch and carry nothing. Lowering scales all of it down to zero over some seconds:
the weight passes to the feet while the support still keeps the robot upright. Released, it exerts exactly nothing.
"""

from __future__ import annotations

import mujoco
import numpy as np

from teleopd.robots.links.sim.wire import GantryMode as GantryMode
from teleopd.robots.model import Array

STIFFNESS_N_M = 8000.0
DAMPING_N_S_M = 800.0
"""About 0.8 of critical for a 34 kg robot."""
TURN_STIFFNESS_N_M = 150.0
"""[N m/rad] on the error to upright at the starting heading. Explicit: a pelvis of 0.009 kg m^2 alone stays stable
at 5 ms steps (k h^2 / I = 0.42)."""
MAX_SPRING_WEIGHTS = 1.0
"""Largest spring force, in weights of the robot, so that picking up a robot that lies somewhere does not throw it."""
TURN_DAMPING_N_M_S = 15.0
"""[N m s/rad]; applied by the integrator, hence stable at any step."""


class Gantry:
    """Support of one pelvis. Generalised forces of its free joint: force in the world, torque in the pelvis frame."""

    def __init__(self, weight_n: float) -> None:
        """`weight_n`: what hangs [N]."""
        self.mode = GantryMode.RELEASE
        self.support = 0.0
        """Share of the full support in force, 0 to 1."""
        self._per_s = 0.0
        self._weight_n = weight_n
        self._anchor_w: Array = np.zeros(3)
        self._heading_w: Array = np.array([1.0, 0.0, 0.0, 0.0])
        self._turn: Array = np.zeros(3)
        self._pushed: Array = np.zeros(6)

    def place(self, anchor_w: Array, quat_w: Array) -> None:
        """Where to hang: pelvis position [m] (3,), and the heading of orientation `quat_w`, wxyz."""
        self._anchor_w[:] = anchor_w
        w, x, y, z = quat_w
        half = 0.5 * np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
        self._heading_w[:] = np.cos(half), 0.0, 0.0, np.sin(half)

    def hang(self, seconds: float = 0.0) -> None:
        """Carry the robot at the hanging place, with the full support after `seconds` of simulated time."""
        self.mode = GantryMode.HANG
        if seconds > 0.0:
            self._per_s = 1.0 / seconds
        else:
            self.support, self._per_s = 1.0, 0.0

    def lower(self, seconds: float) -> None:
        """Hand the weight to the feet over `seconds` of simulated time, then release."""
        if self.mode is GantryMode.RELEASE:
            return
        if not seconds > 0.0:
            self.release()
            return
        self.mode, self._per_s = GantryMode.LOWER, -self.support / seconds

    def release(self) -> None:
        """Let go now."""
        self.mode, self.support, self._per_s = GantryMode.RELEASE, 0.0, 0.0

    @property
    def linear_damping(self) -> float:
        """For the free joint's three translations [N s/m]; exactly 0 when released."""
        return DAMPING_N_S_M * self.support

    @property
    def angular_damping(self) -> float:
        """For the free joint's three rotations [N m s/rad]; exactly 0 when released."""
        return TURN_DAMPING_N_M_S * self.support

    def advance(self, dt_s: float) -> None:
        """Let `dt_s` of simulated time pass."""
        if self._per_s == 0.0:
            return
        self.support = min(1.0, self.support + self._per_s * dt_s)
        if self._per_s < 0.0 and self.support <= 1e-9:
            self.release()
        elif self.support == 1.0:
            self._per_s = 0.0

    def pull(self, pos_w: Array, quat_w: Array) -> Array:
        """Force and torque of the springs at that pelvis pose, (6,) [N], [N m], without the damping.

        The array is reused by the next call.
        """
        out = self._pushed
        if self.mode is GantryMode.RELEASE:
            out[:] = 0.0
            return out
        spring = out[:3]
        np.subtract(self._anchor_w, pos_w, out=spring)
        spring *= STIFFNESS_N_M
        newton = float(np.sqrt(spring @ spring))
        if newton > MAX_SPRING_WEIGHTS * self._weight_n:
            spring *= MAX_SPRING_WEIGHTS * self._weight_n / newton
        out[2] += self._weight_n
        mujoco.mju_subQuat(self._turn, self._heading_w, quat_w)
        out[3:] = TURN_STIFFNESS_N_M * self._turn
        out *= self.support
        return out
