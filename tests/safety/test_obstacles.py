"""Each thing that can be in the way of a step up, one at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, state, targets

from teleopd.safety.limits import SafetyLimits
from teleopd.safety.obstacles import FREE, Obstacles
from teleopd.safety.policy_watch import PolicyWatch, SourceWatch
from teleopd.safety.robot_watch import RobotWatch
from teleopd.safety.stalls import NEVER_NS, Stalls
from teleopd.safety.words import Cause

NOW = 1_000 * MS
BROKEN = [
    ({"q": np.full(3, np.nan)}, Cause.STATE_INVALID), ({"mode_machine": 6}, Cause.WRONG_HARDWARE),
    ({"motor_fault": np.array([0, 1, 0], dtype=np.uint32)}, Cause.MOTOR_FAULT),
]  # fmt: skip


def obstacles(policy: bool = True, **changes: object) -> Obstacles:
    """A robot standing well, but for `changes`, and a policy."""
    model = make_model()
    limits = SafetyLimits.of(model, kp=KP, kd=KD)
    stalls = Stalls(limits.thresholds)
    robot, watch = RobotWatch(limits, stalls), PolicyWatch(limits, stalls)
    robot.update(state(NOW, **changes), NOW)
    if policy:
        watch.update(targets(NOW, 1), NOW)
    return Obstacles(limits, model, robot, watch, SourceWatch(limits, stalls))


def test_a_robot_that_stands_well_is_free_to_climb():
    found = obstacles()
    assert [found.of_robot(NOW), found.to_idle(NOW), found.to_ready(NOW)] == [FREE] * 3
    assert [found.to_armed(False, NOW), found.to_armed(True, NOW)] == [FREE] * 2


@pytest.mark.parametrize("changes, cause", BROKEN)
def test_a_broken_report_is_in_the_way_of_every_step(changes, cause):
    found = obstacles(**changes)
    assert {found.of_robot(NOW), found.to_idle(NOW), found.to_ready(NOW), found.to_armed(True, NOW)} == {cause}


def test_a_silent_robot_is_in_the_way_after_40_ms():
    found = obstacles()
    assert found.to_ready(NOW + 40 * MS) == FREE
    late = NOW + 40 * MS + 1
    assert {found.of_robot(late), found.to_ready(late), found.to_armed(True, late)} == {Cause.STATE_LOST}


def test_heat_is_in_the_way_from_90_degrees_and_of_the_first_step_from_80():
    warm, hot = obstacles(temperature_c=np.full(3, 80.0)), obstacles(temperature_c=np.full(3, 90.0))
    assert [warm.to_idle(NOW), warm.to_ready(NOW), warm.to_armed(True, NOW)] == [Cause.MOTOR_WARM, FREE, FREE]
    assert {hot.to_ready(NOW), hot.to_armed(True, NOW), hot.to_active(NOW)} == {Cause.MOTOR_HOT}


def test_without_a_policy_nothing_is_armed_or_engaged():
    found = obstacles(policy=False)
    assert found.to_ready(NOW) == FREE
    assert {found.to_armed(True, NOW), found.to_active(NOW)} == {Cause.TARGETS_LOST}
    assert obstacles().to_armed(True, NOW + 40 * MS) == FREE


def test_a_stamp_that_makes_no_sense_is_infinitely_old():
    stalls = Stalls(SafetyLimits.of(make_model()).thresholds)
    assert stalls.age_ns(0, NOW) == stalls.age_ns(-5, NOW) == stalls.age_ns(NOW + 50 * MS + 1, NOW) == NEVER_NS
    assert stalls.age_ns(NOW + 50 * MS, NOW) == 0
    assert stalls.age_ns(NOW - 7, NOW) == 7


def test_exactly_at_a_limit_is_not_within_it():
    found = obstacles()
    found._robot.tilt_rad = math.radians(20.0)
    assert {found.to_ready(NOW), found.to_armed(True, NOW)} == {Cause.CHECK_FAILED}
    stand = make_model().q_stand
    assert obstacles(q=stand - [0.0, 0.6, 0.0]).to_armed(True, NOW) == Cause.CHECK_FAILED
    assert obstacles(q=stand - [0.0, 0.59, 0.0]).to_armed(True, NOW) == FREE
