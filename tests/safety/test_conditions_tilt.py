"""When a lean is a fall: from which angle on, for how long, how fast, and whose wish counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, state, targets
from tests.safety.test_conditions import NOW, bits, conditions

from teleopd.safety.conditions import Conditions
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.stalls import Stalls
from teleopd.safety.words import Cause, Mode

FAR, FAST = math.radians(35.0), math.radians(25.0)
BEYOND = 1.000001
FALLING = bits(Cause.TILT_ERROR)


def lean(made: Conditions, now_ns: int, error_rad: float, rate: float = 0.0) -> int:
    """What is said of a robot that leans so far from the reference, in healthy company."""
    made.take_in(state(now_ns), targets(now_ns, now_ns), None, now_ns)
    made.robot.tilt_error = lambda roll, pitch: (error_rad, rate)  # type: ignore[method-assign]
    return made.of_policy(Mode.ACTIVE, now_ns)


def test_leaning_is_falling_when_it_lasts_beyond_the_limit():
    made = conditions()
    assert lean(made, NOW + MS, FAR) == lean(made, NOW + 99 * MS, FAR) == 0
    assert lean(made, NOW + 100 * MS, FAR * BEYOND) == 0
    assert lean(made, NOW + 160 * MS - 1, FAR * BEYOND) == 0
    assert lean(made, NOW + 160 * MS, FAR * BEYOND) == FALLING
    assert lean(made, NOW + 161 * MS, FAR) == 0, "exactly at the limit is not beyond it"
    assert lean(made, NOW + 170 * MS, FAR * BEYOND) == 0, "and the time counts from anew"
    made.forget_tilt()
    assert lean(made, NOW + 240 * MS, FAR * BEYOND) == 0, "a robot that stands anew is given its time"
    assert lean(made, NOW + 300 * MS, FAR * BEYOND) == FALLING


@pytest.mark.parametrize(
    "error, rate, causes",
    [(FAST * BEYOND, 2.0 * BEYOND, FALLING), (FAST, 9.0, 0), (FAST * BEYOND, 2.0, 0), (FAST * BEYOND, -9.0, 0),
     (0.1, 9.0, 0)],
)  # fmt: skip
def test_leaning_is_falling_at_once_when_it_goes_on_fast(error, rate, causes):
    assert lean(conditions(), NOW + MS, error, rate) == causes


def test_without_a_time_to_ride_over_it_only_a_lean_beyond_the_limit_is_falling():
    made = conditions(tilt_error_time=0.0)
    assert lean(made, NOW + MS, FAR) == 0
    assert lean(made, NOW + 2 * MS, FAR * BEYOND) == FALLING


def test_a_robot_that_leans_from_the_first_tick_on_is_given_its_time_too():
    limits = SafetyLimits.of(make_model(), kp=KP, kd=KD)
    made = Conditions(limits, Stalls(limits.thresholds))
    assert lean(made, NOW, FAR * BEYOND) == 0
    assert lean(made, NOW + 60 * MS, FAR * BEYOND) == FALLING


def test_bad_targets_say_nothing_of_a_tilt():
    made = conditions()
    made.robot.tilt_error = lambda roll, pitch: (3.0, 9.0)  # type: ignore[method-assign]
    made.take_in(state(NOW + 1), targets(NOW + 1, 2, healthy=False), None, NOW + 1)
    assert made.of_policy(Mode.ACTIVE, NOW + 1) == 0
    unheard = Conditions(SafetyLimits.of(make_model(), kp=KP, kd=KD), made._stalls)
    unheard.take_in(None, targets(NOW, 1), None, NOW)
    assert unheard.of_policy(Mode.ACTIVE, NOW) == 0, "nor of a robot that was not heard"


def test_soon_after_the_clock_began_nobody_is_excused_either():
    """No policy took over from another: what is wanted is all that counts."""
    made, bent = conditions(now_ns=400 * MS), np.array([0.0, math.radians(40.0)])
    seen = []
    for later in range(400, 480, 20):
        made.take_in(state(later * MS + 1), targets(later * MS + 1, later, tilt_rp=bent), None, later * MS + 1)
        seen.append(made.of_policy(Mode.ACTIVE, later * MS + 1))
    assert seen == [0, 0, 0, FALLING]


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_first_policy_to_be_used_has_no_other_before_it_to_excuse_a_lean(axis, side):
    made = conditions(policy=False, standby=True)
    quat = np.zeros(4)
    quat[0], quat[axis] = math.cos(0.5), math.sin(0.5) * side
    seen = []
    for later in range(1, 81, 20):
        now = NOW + later * MS
        made.take_in(state(now, quat_w=quat), None, targets(now, later), now)
        seen.append(made.of_policy(Mode.ACTIVE, now) & FALLING)
    assert made.using_standby and seen == [0, 0, 0, FALLING]
