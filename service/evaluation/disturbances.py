"""What a trial is made harder by: named presets of the virtual robot, or `quantity=value`, one quantity a trial.

    push=N[@DEG]      0.2 s push of N newton, 2 s after engaging; DEG 0 forward, 90 to the left; without: eight pushes
    gains=K           K times kp and kd                 armature=K   K times the rotor inertia of every joint
    payload=KG        held, half in each hand           torso=KG     added to the trunk
    friction=MU       friction coefficient of the soles latency=MS   from command to torque
    noise=K           K times the sensor noise of the preset 'sensors'
    reference=RAD     standard deviation of white noise on every reference joint
    dropouts=A/B      of the source: A policy ticks received, B lost, and so on
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import mujoco

from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.perturbation import MAX_DELAY_MS, NONE, PRESETS, Perturbation, UnknownPerturbation

PUSH_S, PUSH_AT_S = 0.2, 2.0
COMPASS_DEG = tuple(range(0, 360, 45))
BATTERY = (
    "push=100", "push=150", "push=200", "gains=0.7", "gains=1.3", "armature=0", "armature=2", "torso=5",
    "friction=0.35", "latency=40", "dropouts=25/25", "noise=1",
)  # fmt: skip
"""What the name 'battery' stands for."""


class BadDisturbance(ValueError):
    """A disturbance that cannot be understood; one sentence with the valid form."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One way in which a trial differs from the nominal one."""

    name: str
    robot: Perturbation = NONE
    sole_friction: float | None = None
    """Friction coefficient under the feet."""
    push_n: float = 0.0
    push_deg: float = 0.0
    """Direction of the force against the robot's heading, to the left."""
    push_at_s: float = PUSH_AT_S
    """After engaging [s]."""
    dropouts: tuple[int, int] | None = None
    """Policy ticks received and lost in turn."""
    reference_noise_rad: float = 0.0

    def on(self, model: RobotModel) -> Perturbation:
        """Errors of the virtual robot of that model."""
        if self.sole_friction is None:
            return self.robot
        return replace(self.robot, friction_scale=self.sole_friction / nominal_friction(model))


def nominal_friction(model: RobotModel) -> float:
    """Largest sliding friction coefficient of the robot's geoms: that of its soles."""
    return float(mujoco.MjModel.from_xml_path(str(model.mjcf)).geom_friction[:, 0].max())


def disturbances(names: Sequence[str]) -> list[Disturbance]:
    """All that `names` stand for, in order, each once; 'battery' and pushes without a direction are several.

    Raises:
        BadDisturbance, UnknownPerturbation: one sentence.
    """
    expanded = [part for name in names for part in (BATTERY if name == "battery" else (name,))]
    found = [disturbance for name in expanded for disturbance in _parsed(name)]
    return list({disturbance.name: disturbance for disturbance in found}.values())


def _parsed(name: str) -> list[Disturbance]:
    quantity, given, value = name.partition("=")
    if not given:
        if name in PRESETS:
            return [Disturbance(name, PRESETS[name])]
        if name in _QUANTITIES or name == "push" or name == "dropouts":
            raise BadDisturbance(f"--perturbation {name} needs a value, as in {_EXAMPLES[name]}")
        raise UnknownPerturbation(name)
    if quantity == "push":
        return _pushes(name, value)
    if quantity == "dropouts":
        shown, _, lost = value.partition("/")
        if not (shown.isdecimal() and lost.isdecimal() and int(shown) > 0 and 0 < int(lost) <= 1000):
            raise BadDisturbance(f"--perturbation {name} must be ticks received / ticks lost, as in dropouts=25/25")
        return [Disturbance(name, dropouts=(int(shown), int(lost)))]
    if quantity not in _QUANTITIES:
        valid = ", ".join([*sorted(_EXAMPLES.values()), *PRESETS, "battery"])
        raise BadDisturbance(f"--perturbation {name} names no known quantity; valid: {valid}")
    low, high, make = _QUANTITIES[quantity]
    return [make(name, _number(name, value, low, high))]


def _pushes(name: str, value: str) -> list[Disturbance]:
    force, one, degrees = value.partition("@")
    newton = _number(name, force, 0.0, 1000.0)
    if one:
        return [Disturbance(name, push_n=newton, push_deg=_number(name, degrees, -360.0, 360.0))]
    return [Disturbance(f"push={newton:g}@{deg}", push_n=newton, push_deg=float(deg)) for deg in COMPASS_DEG]


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise BadDisturbance(f"--perturbation {name} has '{text}'; it must be a number from {low:g} to {high:g}")
    return value


def _sensor_noise(k: float) -> Perturbation:
    return Perturbation(**{
        field: k * getattr(PRESETS["sensors"], field)
        for field in ("gyro_noise_rad_s", "accel_noise_m_s2", "rp_noise_rad", "q_noise_rad", "dq_noise_rad_s")
    })  # fmt: skip


_QUANTITIES: dict[str, tuple[float, float, Callable[[str, float], Disturbance]]] = {
    "gains": (0.1, 5.0, lambda name, k: Disturbance(name, Perturbation(kp_scale=k, kd_scale=k))),
    "armature": (0.0, 10.0, lambda name, k: Disturbance(name, Perturbation(armature_scale=k))),
    "payload": (0.0, 50.0, lambda name, kg: Disturbance(name, Perturbation(payload_kg=(kg / 2, kg / 2)))),
    "torso": (-5.0, 50.0, lambda name, kg: Disturbance(name, Perturbation(torso_mass_kg=kg))),
    "friction": (0.01, 5.0, lambda name, mu: Disturbance(name, sole_friction=mu)),
    "latency": (0.0, MAX_DELAY_MS, lambda name, ms: Disturbance(name, Perturbation(actuator_delay_ms=(ms, ms)))),
    "noise": (0.0, 100.0, lambda name, k: Disturbance(name, _sensor_noise(k))),
    "reference": (0.0, 1.0, lambda name, rad: Disturbance(name, reference_noise_rad=rad)),
}
"""Quantity -> lowest and highest value, and what it means."""
_EXAMPLES = {
    "push": "push=150 or push=150@90", "dropouts": "dropouts=25/25", "gains": "gains=0.7", "armature": "armature=0",
    "payload": "payload=5", "torso": "torso=5", "friction": "friction=0.35", "latency": "latency=40",
    "noise": "noise=1", "reference": "reference=0.01",
}  # fmt: skip
