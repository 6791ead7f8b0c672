"""Perturbations: frozen, checked, named."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from teleopd.robots.virtual.perturbation import NONE, PRESETS, Perturbation, UnknownPerturbation, perturbation

ORDERED = "0 <= low <= high <= 500"


def test_presets_and_their_delays():
    assert perturbation("none") == NONE == Perturbation()
    assert perturbation("nominal_delay_20ms").actuator_delay_ms == (20.0, 20.0)
    assert perturbation("smap").actuator_delay_ms == (18.0, 30.0)
    assert all(pickle.loads(pickle.dumps(preset)) == preset for preset in PRESETS.values())


def test_unknown_preset_lists_the_valid_ones():
    with pytest.raises(UnknownPerturbation) as caught:
        perturbation("smpa")
    valid = "alid: harsh, nominal_delay_20ms, none, pushes, sensors, smap"
    assert str(caught.value) == f"unknown perturbation 'smpa'; did you mean 'smap'? V{valid}"
    with pytest.raises(UnknownPerturbation) as caught:
        perturbation("nme")
    assert str(caught.value) == f"unknown perturbation 'nme'; v{valid}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q_noise_rad": -0.1}, "perturbation q_noise_rad is -0.1; it must be finite and not negative"),
        ({"kp_scale": float("nan")}, "perturbation kp_scale is nan; it must be finite and not negative"),
        ({"actuator_delay_ms": (30.0, 18.0)}, "perturbation actuator_delay_ms is 30.0..18.0; valid: " + ORDERED),
        ({"actuator_delay_ms": (0.0, 501.0)}, "perturbation actuator_delay_ms is 0.0..501.0; valid: " + ORDERED),
        ({"sensor_delay_ms": 600.0}, "perturbation sensor_delay_ms is 600.0; valid: 0 to 500"),
        ({"payload_kg": (0.0, -1.0)}, "perturbation payload_kg is (0.0, -1.0); both must be finite and not negative"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(changes: dict[str, object], message: str):
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(NONE, **changes)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_torso_may_lose_mass():
    assert Perturbation(torso_mass_kg=-1.0).torso_mass_kg == -1.0
