"""Speed and acceleration of the reference's joints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.safety.conftest import N, make_model

from teleopd.safety.guard_bounds import GuardBounds
from teleopd.safety.joint_steps import JointSteps
from teleopd.safety.thresholds import Thresholds

DT = 0.02
HERE = np.zeros(N)


def steps(acceleration: float = 300.0) -> JointSteps:
    """300 rad/s^2: 6 rad/s more a tick."""
    return JointSteps(make_model(), GuardBounds(), Thresholds({"reference_acceleration": acceleration}))


def way(made: JointSteps, wanted: float, before: float = 0.0) -> float:
    """Speed of the first joint in one tick [rad/s]."""
    q, _ = made.step(np.array([wanted, 0.0, 0.0]), np.array([before, 0.0, 0.0]), DT)
    return float(q[0] - before) / DT


def test_from_rest_the_speed_grows_by_the_bound_up_to_the_fastest():
    made = steps()
    assert [way(made, 2.0), way(made, 2.0), way(made, 2.0), way(made, 2.0)] == pytest.approx([6.0, 12.0, 15.0, 15.0])
    made = steps()
    assert [way(made, -2.0), way(made, -2.0), way(made, -2.0)] == pytest.approx([-6.0, -12.0, -15.0])


def test_the_built_in_bound_lets_a_joint_go_from_rest_to_its_fastest_in_a_tick():
    assert way(steps(750.0), 2.0) == pytest.approx(15.0)
    assert way(steps(749.0), 2.0) == pytest.approx(14.98)


def test_stopping_is_allowed_at_once_but_turning_round_is_not():
    made = steps(750.0)
    assert way(made, 2.0) == pytest.approx(15.0)
    assert way(made, 0.0) == 0.0
    assert way(made, 2.0) == pytest.approx(15.0)
    assert way(made, -2.0) == 0.0, "first to rest"
    assert way(made, -2.0) == pytest.approx(-15.0)
    made = steps(300.0)
    assert way(made, 0.04) == pytest.approx(2.0)
    assert way(made, -2.0) == pytest.approx(-4.0), "2 - 6"


def test_speeds_are_told_only_where_the_step_is_not_the_references_own():
    made = steps()
    q, speeds = made.step(np.array([2.0, 0.1, -0.1]), HERE, DT)
    assert q == pytest.approx([0.12, 0.1, -0.1])
    assert speeds[0] == pytest.approx(6.0) and np.isnan(speeds[1:]).all()


def test_rest_forgets_the_speed_and_no_time_means_no_way():
    made = steps()
    assert way(made, 2.0) == pytest.approx(6.0)
    made.rest()
    assert way(made, 2.0) == pytest.approx(6.0)
    q, speeds = made.step(np.array([2.0, 0.0, 0.0]), HERE, 0.0)
    assert q.tolist() == [0.0] * N and speeds[0] == 0.0
    assert way(made, 2.0) == pytest.approx(6.0), "no time: at rest"


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.001, 0.1)), min_size=1, max_size=20))
def test_whatever_is_asked_speed_and_growth_of_speed_are_bounded(asked: list[tuple[float, float]]):
    made, before, speed = steps(), 0.0, 0.0
    for wanted, dt in asked:
        q, _ = made.step(np.array([wanted, 0.0, 0.0]), np.array([before, 0.0, 0.0]), dt)
        now = float(q[0] - before) / dt
        assert abs(now) <= 15.0 + 1e-6
        assert now <= max(speed + 300.0 * dt, 0.0) + 1e-6
        assert now >= min(speed - 300.0 * dt, 0.0) - 1e-6
        assert min(before, wanted) - 1e-9 <= q[0] <= max(before, wanted) + 1e-9, "never past what is asked"
        before, speed = float(q[0]), now


def test_nothing_is_held_before_the_first_step_and_after_a_rest():
    made = steps()
    assert made.held_joints == 0
    made.held_joints = 3
    made.rest()
    assert made.held_joints == 0
