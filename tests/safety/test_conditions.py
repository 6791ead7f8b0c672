"""Which causes hold: each alone, to the nanosecond, and nothing beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, state, targets

from teleopd.safety.conditions import Conditions
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.stalls import Stalls
from teleopd.safety.words import Cause, Mode

NOW = 10_000 * MS
FOREVER_NS = 3_600_000 * MS


def bits(*causes: Cause) -> int:
    return sum(1 << cause for cause in causes)


def conditions(now_ns: int = NOW, standby: bool = False, policy: bool = True, **overrides: float) -> Conditions:
    """A healthy robot and policy, heard at `now_ns`."""
    limits = SafetyLimits.of(make_model(), kp=KP, kd=KD, overrides=overrides)
    made = Conditions(limits, Stalls(limits.thresholds))
    twin = targets(now_ns, 1) if standby else None
    made.take_in(state(now_ns), targets(now_ns, 1) if policy else None, twin, now_ns)
    return made


def reported(**changes: object) -> Conditions:
    made = conditions()
    made.take_in(state(NOW + 1, **changes), None, None, NOW + 1)
    return made


def test_before_anything_was_heard_nothing_is_the_case_but_that_no_targets_came():
    limits = SafetyLimits.of(make_model())
    made = Conditions(limits, Stalls(limits.thresholds))
    made.take_in(None, None, None, NOW)
    assert made.of_robot(Mode.ACTIVE, 0, NOW) == 0 and not made.using_standby
    assert made.of_policy(Mode.ACTIVE, NOW) == bits(Cause.TARGETS_LATE, Cause.TARGETS_LOST)
    assert made.of_source(Mode.ACTIVE, 0, 0, NOW) == bits(Cause.SOURCE_STALE, Cause.SOURCE_LOST)


@pytest.mark.parametrize("mode", [Mode.ARMED, Mode.ACTIVE, Mode.RETURN])
def test_where_all_is_well_nothing_is_the_case(mode):
    made = conditions()
    assert made.of_robot(mode, 2 * MS, NOW) == 0
    assert made.of_policy(mode, NOW) == 0
    assert made.of_source(mode, FOREVER_NS, 1, NOW) == 0


# The robot


@pytest.mark.parametrize(
    "age_ns, causes",
    [
        (10 * MS, 0), (10 * MS + 1, bits(Cause.STATE_LATE)), (40 * MS, bits(Cause.STATE_LATE)),
        (40 * MS + 1, bits(Cause.STATE_LATE, Cause.STATE_LOST)),
    ],
)  # fmt: skip
def test_a_report_is_late_and_then_lost(age_ns, causes):
    assert conditions().of_robot(Mode.ACTIVE, 0, NOW + age_ns) == causes


@pytest.mark.parametrize(
    "changes, causes",
    [
        ({"q": np.full(3, np.nan)}, bits(Cause.STATE_INVALID)), ({"mode_machine": 6}, bits(Cause.WRONG_HARDWARE)),
        ({"motor_fault": np.ones(3, dtype=np.uint32)}, bits(Cause.MOTOR_FAULT)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.ACTIVE])
def test_what_a_report_says_is_told_as_its_own_cause(changes, causes, mode):
    assert reported(**changes).of_robot(mode, 0, NOW + 1) == causes


@pytest.mark.parametrize(
    "celsius, causes",
    [(79.0, 0), (80.0, bits(Cause.MOTOR_WARM)), (90.0, bits(Cause.MOTOR_WARM, Cause.MOTOR_HOT)),
     (105.0, bits(Cause.MOTOR_WARM, Cause.MOTOR_HOT, Cause.MOTOR_FAULT))],
)  # fmt: skip
def test_heat_is_told_in_three_steps(celsius, causes):
    limits = SafetyLimits.of(make_model(), kp=KP, kd=KD)
    made = Conditions(limits, Stalls(limits.thresholds))
    made.take_in(state(NOW, temperature_c=np.full(3, celsius)), None, None, NOW)
    assert made.of_robot(Mode.ACTIVE, 0, NOW) == causes


def test_others_who_command_are_told_in_every_mode():
    made = conditions()
    made.robot.note_foreign(1, NOW)
    assert {made.of_robot(mode, 0, NOW) for mode in (Mode.CHECK, Mode.ACTIVE)} == {bits(Cause.FOREIGN_COMMANDS)}


@pytest.mark.parametrize(("mode", "judged"), [(Mode.ACTIVE, True), (Mode.READY, True), (Mode.IDLE, False)])
@pytest.mark.parametrize("beyond", [0, 1])
def test_where_motors_hold_a_position_gaps_speeds_and_lying_down_are_told(mode, judged, beyond):
    made = conditions()
    assert made.of_robot(mode, 200 * MS + beyond, NOW) == bits(Cause.COMMAND_GAP) * (judged and beyond)
    made.robot.fast_samples = 2 + beyond
    assert made.of_robot(mode, 0, NOW) == bits(Cause.JOINT_SPEED) * (judged and beyond)
    made.robot.fast_samples = 0
    made.robot.tilt_rad = math.radians(60.0) + 1e-9 * beyond
    assert made.of_robot(mode, 0, NOW) == bits(Cause.TILT_ABSOLUTE) * (judged and beyond)


# The policy


@pytest.mark.parametrize(
    "age_ns, causes",
    [
        (40 * MS, 0), (40 * MS + 1, bits(Cause.TARGETS_LATE)), (100 * MS, bits(Cause.TARGETS_LATE)),
        (100 * MS + 1, bits(Cause.TARGETS_LATE, Cause.TARGETS_LOST)),
    ],
)  # fmt: skip
def test_targets_are_late_and_then_lost(age_ns, causes):
    made = conditions()
    made.take_in(state(NOW + age_ns), None, None, NOW + age_ns)
    assert made.of_policy(Mode.ACTIVE, NOW + age_ns) == causes


@pytest.mark.parametrize(("bad", "causes"), [(2, 0), (3, bits(Cause.TARGETS_INVALID))])
def test_three_bad_targets_are_a_broken_policy(bad, causes):
    made = conditions()
    for i in range(1, bad + 1):
        made.take_in(state(NOW + i), targets(NOW + i, 1 + i, healthy=False), None, NOW + i)
    assert made.of_policy(Mode.ACTIVE, NOW + bad) == causes


def test_a_limb_that_is_held_is_told():
    made = conditions()
    made.take_in(None, targets(NOW + 1, 2, limb_held=True), None, NOW + 1)
    assert made.of_policy(Mode.ACTIVE, NOW + 1) == bits(Cause.LIMB_HELD)


# The source


def test_the_source_is_told_by_what_is_the_matter_with_it():
    for changes, causes in (
        ({"t_reference_ns": NOW + 1 - 60 * MS}, 0),
        ({"t_reference_ns": NOW - 60 * MS}, bits(Cause.SOURCE_STALE)),
        ({"t_reference_ns": NOW - 400 * MS}, bits(Cause.SOURCE_STALE, Cause.SOURCE_LOST)),
        ({"t_content_ns": NOW - 200 * MS}, bits(Cause.SOURCE_FROZEN)),
        ({"reference_valid": False}, bits(Cause.SOURCE_INVALID)),
        ({"reference_source_id": 2}, bits(Cause.SOURCE_SWAPPED)),
    ):
        made = conditions()
        made.take_in(None, targets(NOW + 1, 2, **changes), None, NOW + 1)
        assert made.of_source(Mode.ACTIVE, 0, 1, NOW + 1) == causes, changes


def test_in_hold_the_stream_must_have_gone_on_for_a_while_again():
    made = conditions()
    for later_ns in (0, 40 * MS, 80 * MS, 100 * MS - 1):
        made.take_in(None, targets(NOW + later_ns, 2 + later_ns), None, NOW + later_ns)
        assert made.of_source(Mode.HOLD, later_ns, 1, NOW + later_ns) == bits(Cause.SOURCE_STALE)
        assert made.of_source(Mode.ACTIVE, later_ns, 1, NOW + later_ns) == 0
    made.take_in(None, targets(NOW + 100 * MS, 9), None, NOW + 100 * MS)
    assert made.of_source(Mode.HOLD, 100 * MS, 1, NOW + 100 * MS) == 0


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_a_pose_is_not_held_for_longer_than_two_seconds(beyond_ns):
    made = conditions()
    later = NOW + 30 * MS
    made.source.fresh_since_ns = NOW - 1_000 * MS
    assert made.of_source(Mode.HOLD, 2_000 * MS + beyond_ns, 1, later) == bits(Cause.SOURCE_LOST) * beyond_ns
    assert made.of_source(Mode.ACTIVE, 2_000 * MS + beyond_ns, 1, later) == 0
