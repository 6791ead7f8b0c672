"""What the robot's own reports say about its health: fresh, finite, upright, slow enough, cool enough."""

from __future__ import annotations

import math

import numpy as np

from teleopd.robots.model import Array, LowState
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.stalls import FUTURE_NS, NEVER_NS, Stalls

_TEMPERATURE_EVERY = 25
"""Samples between two looks at the temperatures: they change within seconds."""
IMPOSSIBLE_Q, IMPOSSIBLE_DQ = 100.0, 1000.0
"""[rad], [rad/s]: no encoder of such a robot says that; taken as a corrupt report."""


class RobotWatch:
    """Judges each new `LowState` once; a repeated or older one changes nothing."""

    def __init__(self, limits: SafetyLimits, stalls: Stalls) -> None:
        thresholds = limits.thresholds
        self._limits = limits
        self._stalls = stalls
        self._speed = thresholds.value("joint_speed")
        self._too_hot = thresholds.value("motor_too_hot")
        self._warm, self._hot = thresholds.value("motor_warm"), thresholds.value("motor_hot")
        self._cools = thresholds.value("motor_cools")
        self._outside = thresholds.value("outside_range")
        self._foreign_quiet_ns = thresholds.ns("foreign_quiet")
        self._foreign_commands = self._foreign_ns = 0
        self.state: LowState | None = None
        self.messages = 0
        self.valid = True
        self.right_hardware = True
        self.fast_samples = 0
        self.warm = self.hot = self.fault = self._too_hot_now = False
        self.up_b = (0.0, 0.0, 1.0)
        """World's up direction in the pelvis frame."""
        self.tilt_rad = 0.0

    def update(self, state: LowState | None, now_ns: int) -> None:
        """Take in the newest report."""
        if state is None or state.t_ns - now_ns > FUTURE_NS:
            return
        if self.state is not None and state.t_ns <= self.state.t_ns:
            return
        self.state = state
        self.messages += 1
        self.right_hardware = state.mode_machine == self._limits.mode_machine
        self.valid = self._possible(state)
        if not self.valid:
            return
        self._judge_speed(state.dq)
        self._judge_attitude(state.quat_w)
        bits = state.motor_fault.tobytes()
        fault = bits.count(0) != len(bits)
        if self.messages % _TEMPERATURE_EVERY == 1:
            self._judge_temperature(state.temperature_c)
        self.fault = fault or self._too_hot_now

    def note_foreign(self, commands: int, now_ns: int) -> None:
        """Take in how many commands of others were heard so far; the count only grows while a link is open."""
        if commands != self._foreign_commands:
            self._foreign_commands, self._foreign_ns = commands, now_ns

    def foreign(self, now_ns: int) -> bool:
        """Somebody else has commanded the motors within the time of the table."""
        return self._foreign_commands > 0 and now_ns - self._foreign_ns < self._foreign_quiet_ns

    def age_ns(self, now_ns: int) -> int:
        """Age of the newest report."""
        return NEVER_NS if self.state is None else self._stalls.age_ns(self.state.t_ns, now_ns)

    def restart(self) -> None:
        """Count messages anew: the robot was gone."""
        self.messages = 0

    def tilt_error(self, roll_rad: float, pitch_rad: float) -> tuple[float, float]:
        """Angle between the measured and the reference's up direction [rad], and its outward rate [rad/s].

        Up in the pelvis frame of the reference: R(roll, pitch)^T z = (-sin p, sin r cos p, cos r cos p).
        d/dt of the measured one is u x w, so the angle a = acos(u.v) changes by -((u x w).v) / sin a.
        """
        assert self.state is not None
        ux, uy, uz = self.up_b
        cp = math.cos(pitch_rad)
        vx, vy, vz = -math.sin(pitch_rad), math.sin(roll_rad) * cp, math.cos(roll_rad) * cp
        cosine = ux * vx + uy * vy + uz * vz
        error = math.acos(max(-1.0, min(1.0, cosine)))
        sine = math.sin(error)
        if sine < 1e-6:
            return error, 0.0
        wx, wy, wz = self.state.gyro_b.tolist()
        change = (uy * wz - uz * wy) * vx + (uz * wx - ux * wz) * vy + (ux * wy - uy * wx) * vz
        return error, -change / sine

    def inside_range(self) -> bool:
        """Every joint is within its hard range, give or take the slack of the table."""
        assert self.state is not None
        q, limits = self.state.q, self._limits
        return bool((q > limits.q_lower - self._outside).all() and (q < limits.q_upper + self._outside).all())

    def _possible(self, state: LowState) -> bool:
        n = len(self._limits.q_lower)
        if state.q.shape != (n,) or state.dq.shape != (n,) or state.quat_w.shape != (4,) or state.gyro_b.shape != (3,):
            return False
        norm = _square(state.quat_w)
        if not 0.81 < norm < 1.21 or not _square(state.gyro_b) < 1e6:
            return False
        if _square(state.q) < IMPOSSIBLE_Q**2 and _square(state.dq) < IMPOSSIBLE_DQ**2:
            return True
        q, dq = np.abs(state.q).max(), np.abs(state.dq).max()
        return bool(q < IMPOSSIBLE_Q and dq < IMPOSSIBLE_DQ)

    def _judge_speed(self, dq: Array) -> None:
        # The largest speed cannot exceed the norm: the exact look is needed only when the norm is above the limit.
        fast = _square(dq) > self._speed**2 and float(np.abs(dq).max()) > self._speed
        self.fast_samples = self.fast_samples + 1 if fast else 0

    def _judge_attitude(self, quat_w: Array) -> None:
        w, x, y, z = quat_w.tolist()
        norm = w * w + x * x + y * y + z * z
        self.up_b = (
            2.0 * (x * z - w * y) / norm,
            2.0 * (y * z + w * x) / norm,
            (w * w - x * x - y * y + z * z) / norm,
        )
        self.tilt_rad = math.acos(max(-1.0, min(1.0, self.up_b[2])))

    def _judge_temperature(self, celsius: Array) -> None:
        """A motor whose temperature is not known counts as hot, and hides none that is too hot."""
        known = celsius[np.isfinite(celsius)]
        hottest, blind = float(known.max(initial=-np.inf)), len(known) < len(self._limits.q_lower)
        self.warm = blind or hottest >= self._warm - (self._cools if self.warm else 0.0)
        self.hot = blind or hottest >= self._hot - (self._cools if self.hot else 0.0)
        self._too_hot_now = hottest >= self._too_hot


def _square(vector: Array) -> float:
    return float(vector.dot(vector))
