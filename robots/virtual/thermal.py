"""Winding temperature of a motor: heated by the square of its torque, cooled towards the air. A plausible figure to
exercise the temperature ladder with, not a model of a particular motor."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array

AMBIENT_C = 25.0
RISE_AT_FULL_TORQUE_C = 250.0
"""Steady rise when the largest torque is held; 30 % of it ends 22 C above the air."""
TIME_CONSTANT_S = 300.0


class Thermal:
    """Temperatures of all motors [deg C], (n,)."""

    def __init__(self, tau_max: Array) -> None:
        """`tau_max`: largest torque of each motor [N m], (n,)."""
        self.temperature_c: Array = np.full(len(tau_max), AMBIENT_C)
        self._per_tau: Array = 1.0 / tau_max
        self._load: Array = np.zeros(len(tau_max))

    def reset(self) -> None:
        """Cold motors."""
        self.temperature_c[:] = AMBIENT_C

    def advance(self, tau: Array, dt_s: float) -> None:
        """`dt_s` at torques `tau` (n,): dT/dt = (T_air + rise (tau/tau_max)^2 - T) / time constant."""
        np.multiply(tau, self._per_tau, out=self._load)
        np.square(self._load, out=self._load)
        self._load *= RISE_AT_FULL_TORQUE_C
        self._load += AMBIENT_C
        self._load -= self.temperature_c
        self._load *= dt_s / TIME_CONSTANT_S
        self.temperature_c += self._load
