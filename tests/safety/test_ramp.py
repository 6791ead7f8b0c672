"""The READY ramp: how long it takes, that it begins and ends gently, and how the gains rise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.safety.ramp import ReadyRamp, min_jerk, ramp_seconds

from .conftest import N, make_model

MODEL = make_model()
FAR = MODEL.q_stand + np.array([2.0, -0.5, 0.1])
START_NS = 5_000_000_000


def at(ramp: ReadyRamp, elapsed_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    q, kp, kd = ramp.step(START_NS + round(elapsed_s * 1e9))
    return q.copy(), kp.copy(), kd.copy()


@pytest.mark.parametrize(("way_rad", "seconds"), [(0.0, 3.0), (1.5, 3.0), (1.6, 3.2), (-2.5, 5.0)])
def test_two_seconds_a_radian_and_three_at_least(way_rad, seconds):
    way = np.array([0.1, way_rad, 0.0])
    assert ramp_seconds(MODEL.q_stand - way, MODEL.q_stand) == pytest.approx(seconds)
    assert ramp_seconds(MODEL.q_stand, MODEL.q_stand - way) == pytest.approx(seconds)


@given(st.floats(-1.0, 2.0))
def test_the_step_is_smooth_monotonic_symmetric_and_clamped(share):
    value = min_jerk(share)
    assert 0.0 <= value <= 1.0
    assert value + min_jerk(1.0 - share) == pytest.approx(1.0)
    assert min_jerk(share + 1e-3) >= value - 1e-12
    assert min_jerk(0.25) == pytest.approx(0.103515625) and (min_jerk(0.0), min_jerk(1.0)) == (0.0, 1.0)


def test_it_goes_from_where_the_robot_was_to_the_stand_pose_no_joint_faster_than_it_should():
    measured = FAR.copy()
    ramp = ReadyRamp(MODEL, measured, START_NS)
    measured[:] = 9.0  # what is measured later does not move it
    assert ramp.duration_s == pytest.approx(4.0)
    assert at(ramp, 0.0)[0] == pytest.approx(FAR)
    assert at(ramp, 2.0)[0] == pytest.approx((FAR + MODEL.q_stand) / 2.0)
    assert at(ramp, 4.0)[0] == pytest.approx(MODEL.q_stand) and at(ramp, 60.0)[0] == pytest.approx(MODEL.q_stand)
    times = np.linspace(0.0, 4.0, 2001)
    speed = np.abs(np.diff([at(ramp, t)[0] for t in times], axis=0)) / np.diff(times)[:, None]
    assert speed.max() == pytest.approx(1.875 * 2.0 / 4.0, rel=1e-3) and speed.max() < 0.94
    assert speed[[0, -1]].max() < 1e-4


@pytest.mark.parametrize(("elapsed_s", "share"), [(-1.0, 0.0), (0.0, 0.0), (0.125, 0.25), (0.5, 1.0), (3.0, 1.0)])
def test_stiffness_rises_from_nothing_and_damping_from_that_of_a_damped_robot(elapsed_s, share):
    _, kp, kd = at(ReadyRamp(MODEL, FAR, START_NS), elapsed_s)
    assert kp == pytest.approx(share * MODEL.kp_ready)
    assert kd == pytest.approx((1.0 - share) * MODEL.kd_damp + share * MODEL.kd_ready)


def test_before_its_first_step_it_holds_nothing():
    ramp = ReadyRamp(MODEL, FAR, START_NS)
    assert ramp.q == pytest.approx(FAR) and ramp.kp.shape == (N,) and not ramp.kp.any()
    assert ramp.kd == pytest.approx(MODEL.kd_damp)
