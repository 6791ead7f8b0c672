"""Words of the command line -> errors of the virtual robot."""

from __future__ import annotations

import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.virtual.perturbation import NONE, PRESETS, UnknownPerturbation
from teleopd.service.evaluation.disturbances import (
    BATTERY,
    BadDisturbance,
    Disturbance,
    disturbances,
    nominal_friction,
)


def one(name: str) -> Disturbance:
    (found,) = disturbances([name])
    assert found.name == name
    return found


def test_presets_are_the_virtual_robots_own():
    assert {name: one(name).robot for name in PRESETS} == dict(PRESETS)


def test_each_quantity_changes_its_own_field():
    gains = one("gains=0.7").robot
    assert (gains.kp_scale, gains.kd_scale) == (0.7, 0.7)
    assert one("armature=0").robot.armature_scale == 0.0
    assert one("payload=5").robot.payload_kg == (2.5, 2.5)
    assert one("torso=-2").robot.torso_mass_kg == -2.0
    assert one("latency=40").robot.actuator_delay_ms == (40.0, 40.0)
    assert one("reference=0.01").reference_noise_rad == 0.01
    noise = one("noise=2").robot
    assert noise.gyro_noise_rad_s == 2 * PRESETS["sensors"].gyro_noise_rad_s
    assert noise.sensor_delay_ms == 0.0, "noise alone, no delay"
    assert one("dropouts=25/10").dropouts == (25, 10)
    assert one("none").on(MODEL) is NONE


def test_friction_is_a_coefficient():
    """The G1's rubber soles have 1.0 in our MJCF."""
    assert nominal_friction(MODEL) == 1.0
    assert one("friction=0.35").on(MODEL).friction_scale == pytest.approx(0.35)


def test_a_push_has_a_direction_or_comes_from_eight_sides():
    found = one("push=150@90")
    assert (found.push_n, found.push_deg) == (150.0, 90.0)
    around = disturbances(["push=100", "push=100@45"])
    assert [d.push_deg for d in around] == [0, 45, 90, 135, 180, 225, 270, 315], "45 deg is there once"
    assert {d.push_n for d in around} == {100.0}


def test_the_battery_is_a_list():
    assert len(disturbances(["battery"])) == 3 * 8 + len(BATTERY) - 3


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gains", "--perturbation gains needs a value, as in gains=0.7"),
        ("push", "--perturbation push needs a value, as in push=150 or push=150@90"),
        ("gains=x", "--perturbation gains=x has 'x'; it must be a number from 0.1 to 5"),
        ("gains=0", "--perturbation gains=0 has '0'; it must be a number from 0.1 to 5"),
        ("friction=nan", "--perturbation friction=nan has 'nan'; it must be a number from 0.01 to 5"),
        ("push=1001@0", "--perturbation push=1001@0 has '1001'; it must be a number from 0 to 1000"),
        ("push=10@north", "--perturbation push=10@north has 'north'; it must be a number from -360 to 360"),
        ("dropouts=25", "--perturbation dropouts=25 must be ticks received / ticks lost, as in dropouts=25/25"),
        ("dropouts=²/3", "--perturbation dropouts=²/3 must be ticks received / ticks lost, as in dropouts=25/25"),
        ("dropouts=0/5", "--perturbation dropouts=0/5 must be ticks received / ticks lost, as in dropouts=25/25"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(name: str, sentence: str):
    with pytest.raises(BadDisturbance) as caught:
        disturbances([name])
    assert str(caught.value) == sentence


def test_unknown_words_list_the_valid_ones():
    with pytest.raises(UnknownPerturbation, match="did you mean 'sensors'"):
        disturbances(["sensor"])
    with pytest.raises(BadDisturbance, match="gravity=2 names no known quantity; valid: .*gains=0.7.*battery$"):
        disturbances(["gravity=2"])
