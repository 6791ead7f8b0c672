"""Closed-form figures of constructed tracks."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.service.evaluation import metrics
from teleopd.service.evaluation.metrics import Track

K = 200


def track(**given: np.ndarray) -> Track:
    """A robot with two joints that stands still as it should, but for `given`."""
    upright = np.tile((1.0, 0.0, 0.0, 0.0), (K, 1))
    values = {
        "q_reference": np.zeros((K, 2)), "quat_reference_w": upright, "velocity_reference_w": np.zeros((K, 3)),
        "q": np.zeros((K, 2)), "dq": np.zeros((K, 2)), "tau": np.zeros((K, 2)), "quat_w": upright,
        "velocity_w": np.zeros((K, 3)), "soles_w": np.zeros((K, 4, 3)), "stretch": np.ones(K),
    } | given  # fmt: skip
    return Track(**values)


def yaw(angle: float) -> np.ndarray:
    return np.tile((np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)), (K, 1))


def test_velocities_are_compared_as_seen_from_ones_own_heading():
    """Forward at 1 m/s facing left equals forward at 1 m/s facing ahead; 0.3 m/s sideways more is an error of 0.3."""
    ahead, left = np.tile((1.0, 0.0, 0.2), (K, 1)), np.tile((0.0, 1.0, 0.2), (K, 1))
    turned = track(velocity_reference_w=ahead, velocity_w=left, quat_w=yaw(np.pi / 2))
    assert metrics.e_vel(turned) == pytest.approx(0.0, abs=1e-12)
    off = turned._replace(velocity_w=left + (0.3, 0.0, 0.0))
    assert metrics.e_vel(off) == pytest.approx(0.3)
    assert metrics.e_vel(turned._replace(quat_w=yaw(0.0))) == pytest.approx(np.sqrt(2.0))


def test_means_of_joints_and_key_points():
    q = np.zeros((K, 2))
    q[:, 0], q[: K // 2, 1] = 0.1, -0.2
    assert metrics.e_mpjpe(track(q=q)) == pytest.approx((0.1 + 0.1) / 2)
    errors = np.zeros((4, 9))
    errors[0, 0] = 0.36
    assert metrics.e_mpkpe(errors) == pytest.approx(10.0)  # 360 mm over 36 values


def test_wrists_are_judged_by_their_own_columns():
    errors = np.full((3, 4), 9.0)
    errors[:, 1], errors[:, 3] = (0.01, 0.02, 0.9), (0.03, 0.04, 0.05)
    sites = ("key_head", "key_left_wrist", "key_left_ankle", "key_right_wrist")
    assert metrics.wrist_error(errors, sites) == pytest.approx(35.0)  # the middle of 10 20 30 40 50 900 mm


@pytest.mark.parametrize("ticks", [0, 2, 5, 24])
def test_lag_is_the_delay(ticks: int):
    """A chirp has no period to be mistaken for."""
    t = np.arange(K + 30) * metrics.DT_S
    wave = np.sin(2 * np.pi * (0.4 + 0.25 * t) * t)
    wanted, measured = wave[30:], wave[30 - ticks : len(wave) - ticks]
    given = track(
        q_reference=np.stack((wanted, np.full(K, 0.7)), axis=1), q=np.stack((0.8 * measured + 0.3, wanted), axis=1)
    )
    assert metrics.lag_ms(given) == pytest.approx(20.0 * ticks, abs=4.0)


def test_no_motion_has_no_lag_and_only_the_longest_stretch_counts():
    assert metrics.lag_ms(track()) is None
    t = np.arange(K) * metrics.DT_S
    wave = np.sin(2 * np.pi * (0.4 + 0.25 * t) * t)
    late = np.roll(wave, 4)
    late[150:] = 9.0 * wave[150:][::-1]  # a short stretch of nonsense afterwards
    one = track(
        q_reference=np.stack((wave, wave), axis=1), q=np.stack((late, late), axis=1),
        stretch=np.where(np.arange(K) < 150, 1.0, 2.0),
    )  # fmt: skip
    assert metrics.lag_ms(one) == pytest.approx(80.0, abs=4.0)


def test_only_feet_on_the_floor_slip():
    """One point slides at 0.5 m/s on the floor, one flies at 3 m/s, two stand."""
    soles = np.zeros((K, 4, 3))
    soles[:, 0, 0] = np.arange(K) * 0.01
    soles[:, 1, 1], soles[:, 1, 2] = np.arange(K) * 0.06, 0.05
    assert metrics.foot_slip_m_s(track(soles_w=soles)) == pytest.approx(0.5 / 3)
    soles[:, :, 2] = 0.2
    assert metrics.foot_slip_m_s(track(soles_w=soles)) is None


def test_a_pause_between_stretches_is_no_slip():
    soles = np.zeros((K, 4, 3))
    soles[100:, :, 0] = 5.0
    assert metrics.foot_slip_m_s(track(soles_w=soles)) == pytest.approx(5.0 / metrics.DT_S / (K - 1))
    stretch = np.where(np.arange(K) < 100, 1.0, 2.0)
    assert metrics.foot_slip_m_s(track(soles_w=soles, stretch=stretch)) == 0.0


def test_torque_shares_and_work():
    tau, dq = np.tile((10.0, -30.0), (K, 1)), np.tile((2.0, 1.0), (K, 1))
    tau[0, 1] = -60.0
    given = track(tau=tau, dq=dq)
    rms, largest = metrics.torque_shares(given, np.array([100.0, 60.0]))
    assert largest == 1.0
    assert rms == pytest.approx(np.sqrt((K * 0.1**2 + (K - 1) * 0.5**2 + 1.0) / (2 * K)))
    assert metrics.energy_j(given) == pytest.approx((K * 20.0 + (K - 1) * 30.0 + 60.0) * 0.02)
