"""What may be wrong with a virtual robot: seeded, frozen, named. The nominal robot is `PRESETS["none"]`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

Range = tuple[float, float]
"""Lowest and highest value; drawn uniformly between them."""


class UnknownPerturbation(ValueError):
    """A preset that does not exist: lists the ones that do."""

    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean '{near[0]}'? Valid: " if near else "; valid: "
        super().__init__(f"unknown perturbation '{name}'{hint}{', '.join(sorted(PRESETS))}")


@dataclass(frozen=True, slots=True)
class Push:
    """One scripted force on the pelvis's centre of mass."""

    at_s: float
    """Start in simulated time since the reset [s]."""
    duration_s: float
    force_w: tuple[float, float, float]
    """World frame [N]."""


@dataclass(frozen=True, slots=True)
class RandomPushes:
    """Horizontal pushes of the pelvis at random times from random directions."""

    interval_s: Range = (4.0, 8.0)
    """From the start of one push to the start of the next [s]."""
    force_n: Range = (50.0, 150.0)
    """[N]"""
    duration_s: Range = (0.1, 0.3)
    """[s]"""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Errors of one virtual robot. The defaults are the nominal robot."""

    actuator_delay_ms: Range = (0.0, 0.0)
    """From `command` to torque [ms]; drawn anew for each command, order kept; rounded to physics steps."""
    sensor_delay_ms: float = 0.0
    """Age of every measurement in LowState [ms]; rounded to physics steps."""
    gyro_noise_rad_s: float = 0.0
    """Standard deviation per axis, white at the physics rate [rad/s]."""
    accel_noise_m_s2: float = 0.0
    """Standard deviation per axis [m/s^2]."""
    rp_noise_rad: float = 0.0
    """Standard deviation of roll and of pitch of the reported pelvis orientation [rad]."""
    q_noise_rad: float = 0.0
    """Standard deviation of each joint position [rad]."""
    dq_noise_rad_s: float = 0.0
    """Standard deviation of each joint velocity [rad/s]."""
    pushes: tuple[Push, ...] = ()
    random_pushes: RandomPushes | None = None
    payload_kg: tuple[float, float] = (0.0, 0.0)
    """Mass held at the left and the right wrist site [kg]."""
    friction_scale: float = 1.0
    """Times the friction of every geom."""
    kp_scale: float = 1.0
    """Times the commanded position gain."""
    kd_scale: float = 1.0
    """Times the commanded damping gain."""
    armature_scale: float = 1.0
    """Times the rotor inertia of every joint."""
    mass_scale: float = 1.0
    """Times mass and inertia of every link."""
    torso_mass_kg: float = 0.0
    """Added at the torso's centre of mass (may be negative) [kg]."""
    initial_q_rad: float = 0.0
    """Largest uniform error of each joint at a reset [rad]."""
    initial_velocity_m_s: float = 0.0
    """Horizontal pelvis speed at a reset, random direction [m/s]."""

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: a number is not finite, negative where it may not be, or a range is reversed.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float | int):
                low = -math.inf if field.name == "torso_mass_kg" else 0.0
                if not math.isfinite(value) or value < low:
                    raise ValueError(f"perturbation {field.name} is {value}; it must be finite and not negative")
        low_ms, high_ms = self.actuator_delay_ms
        if not 0.0 <= low_ms <= high_ms <= MAX_DELAY_MS:
            raise ValueError(f"perturbation actuator_delay_ms is {low_ms}..{high_ms}; valid: 0 <= low <= high <= 500")
        if not self.sensor_delay_ms <= MAX_DELAY_MS:
            raise ValueError(f"perturbation sensor_delay_ms is {self.sensor_delay_ms}; valid: 0 to 500")
        if any(not math.isfinite(mass) or mass < 0.0 for mass in self.payload_kg):
            raise ValueError(f"perturbation payload_kg is {self.payload_kg}; both must be finite and not negative")


MAX_DELAY_MS = 500.0
NONE = Perturbation()
PRESETS: Mapping[str, Perturbation] = MappingProxyType({
    "none": NONE,
    "nominal_delay_20ms": Perturbation(actuator_delay_ms=(20.0, 20.0)),
    "smap": Perturbation(actuator_delay_ms=(18.0, 30.0)),
    "sensors": Perturbation(
        sensor_delay_ms=4.0, gyro_noise_rad_s=0.02, accel_noise_m_s2=0.1, rp_noise_rad=0.005, q_noise_rad=0.002,
        dq_noise_rad_s=0.05,
    ),
    "pushes": Perturbation(random_pushes=RandomPushes()),
    "harsh": Perturbation(
        actuator_delay_ms=(5.0, 15.0), sensor_delay_ms=2.0, gyro_noise_rad_s=0.02, accel_noise_m_s2=0.1,
        rp_noise_rad=0.005, q_noise_rad=0.002, dq_noise_rad_s=0.05, random_pushes=RandomPushes(force_n=(30.0, 80.0)),
        friction_scale=0.7, kp_scale=0.9, kd_scale=0.9, armature_scale=1.2, mass_scale=1.05, torso_mass_kg=1.0,
        initial_q_rad=0.03, initial_velocity_m_s=0.2,
    ),
})  # fmt: skip
"""Named perturbations. 'smap': the command delay window 18-30 ms its paper reports between a 50 Hz policy and a
500 Hz low level; the noise levels are of the size of the vendor's simulation (gyro 0.005) to training practice."""


def perturbation(name: str) -> Perturbation:
    """The preset of that name.

    Raises:
        UnknownPerturbation: there is none; the message lists the valid ones.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPerturbation(name) from None
