"""Limits: where they come from, and that a configuration can only tighten them."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, make_model

from teleopd.robots.model import WrongHardware
from teleopd.safety.limits import LimitError, SafetyLimits
from teleopd.safety.thresholds import THRESHOLD_TABLE, Thresholds

MODEL = make_model()


def test_values_for_a_robot_and_a_policy():
    limits = SafetyLimits.of(MODEL, kp=KP, kd=KD)
    assert limits.tau_max.tolist() == [90.0, 45.0, 18.0]
    assert limits.rate_max.tolist() == [60.0] * 3
    assert limits.soft_lower.tolist() == limits.q_lower.tolist() == [-2.0, -0.1, -0.5]
    assert limits.soft_upper.tolist() == limits.q_upper.tolist() == [2.0, 2.5, 0.5]
    assert limits.kp_max.tolist() == [100.0, 150.0, 40.0]
    assert limits.kd_max.tolist() == [8.0, 8.0, 8.0]
    assert SafetyLimits.of(MODEL).kp_max.tolist() == [60.0, 60.0, 40.0]
    assert SafetyLimits.of(MODEL).mode_machine == 5


def test_a_share_of_the_range_is_about_its_middle():
    limits = SafetyLimits.of(MODEL, overrides={"joint_range": 0.9})
    assert limits.soft_lower == pytest.approx([-1.8, 0.03, -0.45])
    assert limits.soft_upper == pytest.approx([1.8, 2.37, 0.45])


def test_a_share_that_leaves_the_stand_pose_out_is_refused():
    bent = dataclasses.replace(MODEL, q_stand=np.array([-0.3, 0.6, -0.48]))
    assert SafetyLimits.of(bent, overrides={"joint_range": 0.97}).soft_lower[2] == pytest.approx(-0.485)
    text = "joint_range 0.9 leaves ankle [-0.450, 0.450] rad, without the stand pose at -0.480; give a larger share"
    with pytest.raises(LimitError, match=f"^{re.escape(text)}$"):
        SafetyLimits.of(bent, overrides={"joint_range": 0.9})


def test_arrays_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        SafetyLimits.of(MODEL).q_upper[0] = 9.0


def test_unknown_hardware():
    with pytest.raises(WrongHardware, match="reports mode_machine 4"):
        SafetyLimits.of(MODEL, 4)


@pytest.mark.parametrize(
    "kp, text",
    [
        (np.zeros(29), r"policy gains kp have shape \(29,\); three_joints has 3 joints"),
        (np.array([1.0, -1.0, 1.0]), "policy gain kp of knee is -1; it must be finite and not negative"),
        (np.array([np.nan, 1.0, 1.0]), "policy gain kp of hip is nan; it must be finite and not negative"),
        (np.array([1.0, 1.0, np.inf]), "policy gain kp of ankle is inf; it must be finite and not negative"),
    ],
)
def test_gains_are_checked(kp, text):
    with pytest.raises(LimitError, match=f"^{text}$"):
        SafetyLimits.of(MODEL, kp=kp)


@pytest.mark.parametrize(
    "field, value, text",
    [
        ("q_lower", [2.0, -0.1, -0.5], r"three_joints: range of hip is \[2, 2\] rad"),
        ("tau_max", [1.0, 0.0, 1.0], "three_joints: torque limit of knee is 0 N m"),
        ("tau_max", [1.0, 1.0, np.inf], "three_joints: torque limit of ankle is inf N m"),
        ("q_upper", [2.0, 0.5, 0.5], "three_joints: the stand pose of knee is outside its range"),
    ],
)
def test_a_robot_table_with_a_hole_is_refused(field, value, text):
    broken = dataclasses.replace(MODEL.limits, **{field: np.array(value)})
    model = dataclasses.replace(MODEL, limits_by_mode_machine={5: broken})
    with pytest.raises(LimitError, match=f"^{text}$"):
        SafetyLimits.of(model)


@pytest.mark.parametrize("row", THRESHOLD_TABLE, ids=lambda row: row.name)
def test_every_limit_can_be_tightened_and_only_tightened(row):
    assert row.provenance and row.unit
    way = row.strictest - row.value
    assert way != 0
    assert Thresholds({row.name: row.strictest}).value(row.name) == row.strictest
    assert Thresholds({row.name: row.value}).value(row.name) == row.value
    assert Thresholds({row.name: row.value + way / 2}).value(row.name) == row.value + way / 2
    assert Thresholds().value(row.name) == row.value
    with pytest.raises(LimitError, match=rf"'{row.name}' = .* loosens the built-in {row.value:g}; it may only be"):
        Thresholds({row.name: row.value - way * 0.01})
    with pytest.raises(LimitError, match=f"'{row.name}' = .* is beyond its strictest useful value {row.strictest:g}"):
        Thresholds({row.name: row.strictest + way * 0.01})


def test_a_loosened_limit_is_named_in_one_sentence():
    with pytest.raises(LimitError) as caught:
        SafetyLimits.of(MODEL, overrides={"motor_rate": 80.0})
    assert str(caught.value) == "safety limit 'motor_rate' = 80 rad/s loosens the built-in 60; it may only be tightened"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", True, None])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(LimitError, match="^safety limit 'motor_rate' is .*; give a finite number in rad/s$"):
        Thresholds({"motor_rate": value})


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(LimitError, match="^there is no safety limit 'source_lots'; did you mean 'source_lost'\\?$"):
        Thresholds({"source_lots": 1.0})
    with pytest.raises(LimitError, match="^there is no safety limit 'zzz'; valid: source_stale_periods, "):
        Thresholds({"zzz": 1.0})


@pytest.mark.parametrize(
    "hz, ms", [(240.0, 60), (60.0, 60), (50.0, 60), (40.0, 75), (30.0, 100), (1.0, 100), (0.0, 100), (-5.0, 100),
               (float("nan"), 100), (float("inf"), 60)]
)  # fmt: skip
def test_stale_after_three_periods_within_floor_and_ceiling(hz, ms):
    assert Thresholds().stale_after_ns(hz) == ms * 1_000_000


def test_the_ceiling_wins_over_the_floor():
    assert Thresholds({"source_stale_ceiling": 50.0}).stale_after_ns(240.0) == 50_000_000


def test_a_stand_pose_at_the_end_of_its_range_is_within_it_whatever_the_rounding():
    """-2.94 + 2.0 halved, less half of 4.94, is above -2.94."""
    assert (-2.94 + 2.0) / 2.0 - (2.0 + 2.94) / 2.0 > -2.94
    hard = MODEL.limits
    lower, stand = hard.q_lower.copy(), MODEL.q_stand.copy()
    lower[0] = stand[0] = -2.94
    model = dataclasses.replace(
        MODEL, q_stand=stand, limits_by_mode_machine={5: dataclasses.replace(hard, q_lower=lower)}
    )
    limits = SafetyLimits.of(model)
    assert limits.soft_lower.tolist() == lower.tolist()


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_stand_pose_at_the_end_of_a_narrowed_box_is_within_it(side):
    model = dataclasses.replace(make_model(), q_stand=np.array([1.8 * side, 0.6, 0.0]))
    limits = SafetyLimits.of(model, overrides={"joint_range": 0.9})
    assert (limits.soft_lower[0], limits.soft_upper[0]) == (-1.8, 1.8)


def test_the_weakest_gains_are_gains_and_limits_stay_as_they_were_made():
    limits = SafetyLimits.of(make_model(), kp=np.full(3, 0.5), kd=np.zeros(3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.robot = "another"  # type: ignore[misc]
    assert not hasattr(limits, "__dict__")
