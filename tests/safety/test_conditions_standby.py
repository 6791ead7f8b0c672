"""Which of the two policies is used, from the nanosecond on, and what a change excuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import MS, state, targets, tilted
from tests.safety.test_conditions import NOW, bits, conditions

from teleopd.safety.conditions import Conditions
from teleopd.safety.words import Cause, Mode


def twins(
    made: Conditions, now_ns: int, first: bool = True, twin: bool = True, mode: Mode = Mode.ACTIVE, **of: object
) -> bool:
    """Whether the twin is used after a tick in which those spoke; `of`: what the first said."""
    made.take_in(
        state(now_ns), targets(now_ns, now_ns, **of) if first else None, targets(now_ns, now_ns) if twin else None,
        now_ns,
    )  # fmt: skip
    told = made.of_policy(mode, now_ns)
    assert bool(told & bits(Cause.STANDBY_TOOK_OVER)) == made.using_standby
    return made.using_standby


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_the_twin_takes_over_from_a_policy_silent_for_80_ms(beyond_ns):
    made = conditions(standby=True)
    assert twins(made, NOW + 80 * MS + beyond_ns, first=False) == beyond_ns
    assert made.policy is (made._standby if beyond_ns else made.primary)


@pytest.mark.parametrize(("bad", "taken"), [(2, False), (3, True)])
def test_the_twin_takes_over_from_a_broken_policy(bad, taken):
    made = conditions(standby=True)
    assert [twins(made, NOW + i, healthy=False) for i in range(1, bad + 1)][-1] == taken


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_a_twin_that_is_late_takes_over_from_a_policy_that_is_lost_for_good(beyond_ns):
    made = conditions()
    made.take_in(state(NOW), None, targets(NOW + 30 * MS, 1), NOW)
    now = NOW + 100 * MS + beyond_ns
    assert twins(made, now, first=False, twin=False) == beyond_ns


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_a_twin_that_is_lost_itself_does_not(beyond_ns):
    made = conditions()
    made.take_in(state(NOW), None, targets(NOW + 20 * MS, 1), NOW)
    assert twins(made, NOW + 120 * MS + beyond_ns, first=False, twin=False) == (not beyond_ns)


@pytest.mark.parametrize("early_ns", [0, 1])
@pytest.mark.parametrize("mode", [Mode.ARMED, Mode.RETURN])
def test_the_policy_is_given_back_in_armed_when_it_was_good_for_a_second(mode, early_ns):
    made = conditions(standby=True)
    assert twins(made, NOW + 81 * MS, first=False)
    back = NOW + 200 * MS
    for later in range(0, 1000, 20):
        assert twins(made, back + later * MS, mode=mode)
    assert twins(made, back + 1_000 * MS - early_ns, mode=mode) == (mode is not Mode.ARMED or early_ns == 1)


def test_in_armed_a_policy_that_is_still_silent_is_not_taken_back():
    made = conditions(standby=True)
    assert twins(made, NOW + 81 * MS, first=False)
    for later in range(100, 2_000, 20):
        assert twins(made, NOW + later * MS, first=False, mode=Mode.ARMED)


@pytest.mark.parametrize("early_ns", [0, 1])
def test_for_a_second_after_the_change_a_robot_may_lean_as_the_policy_before_wanted(early_ns):
    made = conditions(standby=True)
    bent, leaning = np.array([0.0, math.radians(40.0)]), tilted(40.0)
    made.take_in(state(NOW + 1, quat_w=leaning), targets(NOW + 1, 2, tilt_rp=bent), targets(NOW + 1, 2), NOW + 1)
    assert made.of_policy(Mode.ACTIVE, NOW + 1) == 0
    changed = NOW + 90 * MS
    for later_ns in [*range(0, 1_000 * MS, 20 * MS), 1_000 * MS - early_ns]:
        now = changed + later_ns
        made.take_in(state(now, quat_w=leaning), None, targets(now, now), now)
        assert made.of_policy(Mode.RETURN, now) & bits(Cause.TILT_ERROR) == 0 and made.using_standby
    assert made._tilted_since_ns == (0 if early_ns else changed + 1_000 * MS)
