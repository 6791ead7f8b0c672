from __future__ import annotations

import numpy as np
import pytest

from teleopd.service.retarget.velocity import CAPACITY, VelocityEstimator


def qpos(x: float, yaw: float, q: float) -> np.ndarray:
    return np.array([x, 0.0, 0.8, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2), q])


@pytest.mark.parametrize("hz", [30.0, 50.0, 60.0, 90.0, 120.0, 240.0, 1000.0])
def test_constant_motion_is_exact_at_any_rate(hz: float):
    estimator = VelocityEstimator(1)
    for i in range(int(hz) // 2):
        t = i / hz
        found = estimator.update(round(t * 1e9), qpos(0.7 * t, 1.5 * t, -2.0 * t))
    np.testing.assert_allclose(found.root_lin_w, (0.7, 0, 0), atol=1e-6)
    np.testing.assert_allclose(found.root_ang_w, (0, 0, 1.5), atol=1e-6)
    np.testing.assert_allclose(found.q, (-2.0,), atol=1e-6)


def test_at_30_hz_it_is_the_frame_difference():
    estimator, steps = VelocityEstimator(1), [0.0, 0.1, 0.05, 0.3]
    period = 1.0 / 30.0
    for i, x in enumerate(steps):
        found = estimator.update(round(i * period * 1e9), qpos(x, 0.0, 0.0))
    assert found.root_lin_w[0] == pytest.approx((0.3 - 0.05) * 30.0, rel=1e-6)


def test_at_120_hz_the_delay_is_half_the_window():
    """x = t^2 has velocity 2 t; the mean over [t - w, t] is 2 t - w."""
    estimator = VelocityEstimator(1)
    for i in range(60):
        t = i / 120.0
        found = estimator.update(round(t * 1e9), qpos(t * t, 0.0, 0.0))
    assert found.root_lin_w[0] == pytest.approx(2.0 * t - 1.0 / 30.0, abs=1e-6)


def test_jitter_of_the_stamps_is_divided_out():
    rng, estimator, t = np.random.default_rng(1), VelocityEstimator(1), 0.0
    for _ in range(200):
        t += rng.uniform(0.002, 0.03)
        found = estimator.update(round(t * 1e9), qpos(0.5 * t, 0.0, 0.0))
    assert found.root_lin_w[0] == pytest.approx(0.5, abs=1e-6)


def test_the_first_frame_and_equal_stamps_have_no_velocity():
    estimator = VelocityEstimator(1)
    assert not estimator.update(5, qpos(1.0, 0.0, 1.0)).root_lin_w.any()
    assert not estimator.update(5, qpos(9.0, 1.0, 9.0)).q.any()
    estimator.update(5 + 20_000_000, qpos(1.2, 0.0, 1.0))
    estimator.reset()
    assert not estimator.update(40_000_000, qpos(3.0, 0.0, 1.0)).root_lin_w.any()


def test_turns_across_the_sign_of_the_quaternion_stay_short():
    estimator = VelocityEstimator(1)
    estimator.update(0, qpos(0.0, 3.13, 0.0))
    found = estimator.update(33_333_333, -qpos(0.0, 3.16, 0.0))
    assert found.root_ang_w[2] == pytest.approx(0.03 * 30.0, rel=1e-6)


def test_the_past_is_bounded():
    estimator = VelocityEstimator(1)
    for i in range(10 * CAPACITY):
        estimator.update(i * 10, qpos(0.0, 0.0, 0.0))
    assert len(estimator._past) <= CAPACITY
