"""The One-Euro filter: noise of a still person shrinks, motion passes almost at once, lost bodies start anew."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.service.one_euro import OneEuro

STAND = load_motion("stand").pose(0, seq=1, t_ns=0)
HAND = MVN.body_names.index("LeftHand")


def at(k: int, hz: float = 60.0, **changes: object) -> HumanPose:
    t_ns = 10**9 + round(k * 1e9 / hz)
    return STAND._replace(seq=k, t_ns=t_ns, t_source_ns=t_ns, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("hz", [30.0, 60.0, 120.0, 240.0])
def test_noise_of_a_still_person_shrinks_at_every_rate(hz: float):
    rng, smooth, out = np.random.default_rng(0), OneEuro(), []
    for k in range(300):
        out.append(smooth(at(k, hz, pos_w=STAND.pos_w + rng.normal(0, 0.001, (23, 3)))).pos_w)
    assert np.array(out)[50:].std(axis=0).mean() < 0.8e-3
    assert np.array(out)[50:].mean(axis=0) == pytest.approx(STAND.pos_w, abs=4e-4)


def test_a_moving_hand_lags_a_few_milliseconds():
    """Ramp at 1 m/s, steady: a step of v dt / s, speed v / s, share s = 1 / (1 + 1 / (2 pi (1 + 60 v / s) dt))."""
    smooth = OneEuro()
    for k in range(120):
        p = at(k, pos_w=STAND.pos_w + [k / 60.0, 0.0, 0.0])
        out = smooth(p)
    lag_s = (p.pos_w - out.pos_w)[0, 0] / 1.0
    dt = share = 1.0 / 60.0
    for _ in range(100):
        share = 1.0 / (1.0 + 1.0 / (2.0 * np.pi * (1.0 + 60.0 / share) * dt))
    assert lag_s == pytest.approx((1.0 - share) * dt / share, rel=1e-3)
    assert lag_s < 0.003


def test_numbers_by_hand():
    """Second frame at 60 Hz: the speed is 0.06 m/s low-passed at 1 Hz, the cut-off 1 + 60 times it."""
    smooth = OneEuro(1.0, 60.0, 20.0)
    smooth(at(0))
    moved = smooth(at(1, pos_w=STAND.pos_w + [0.001, 0.0, 0.0]))
    dt = 1.0 / 60.0
    speed = 0.06 / (1.0 + 1.0 / (2.0 * np.pi * 1.0 * dt))
    share = 1.0 / (1.0 + 1.0 / (2.0 * np.pi * (1.0 + 60.0 * speed) * dt))
    assert (moved.pos_w - STAND.pos_w)[3, 0] == pytest.approx(0.001 * share, rel=1e-6)


def test_orientations_stay_units_whatever_their_sign():
    rng, smooth = np.random.default_rng(1), OneEuro()
    for k in range(60):
        quat = STAND.quat_w + rng.normal(0.0, 0.004, (23, 4))
        quat *= rng.choice([-1.0, 1.0], (23, 1)) / np.linalg.norm(quat, axis=1, keepdims=True)
        out = smooth(at(k, quat_w=quat))
        np.testing.assert_allclose(np.linalg.norm(out.quat_w, axis=1), 1.0, atol=1e-12)
        assert np.abs(np.vecdot(out.quat_w, STAND.quat_w)).min() > 0.999


def test_a_lost_body_passes_and_starts_anew():
    smooth, valid = OneEuro(), np.ones(23, dtype=np.bool_)
    valid[HAND] = False
    nan = STAND.pos_w.copy()
    nan[HAND] = np.nan
    smooth(at(0))
    lost = smooth(at(1, pos_w=nan, valid=valid))
    assert np.isnan(lost.pos_w[HAND]).all() and np.isfinite(np.delete(lost.pos_w, HAND, axis=0)).all()
    back = STAND.pos_w.copy()
    back[HAND] += 0.2
    np.testing.assert_array_equal(smooth(at(2, pos_w=back)).pos_w[HAND], back[HAND])
    assert np.isfinite(smooth(at(3, pos_w=back)).pos_w).all()


def test_a_gap_and_a_reset_start_anew():
    far = STAND.pos_w + 1.0
    for again in (lambda f: at(30, pos_w=far), lambda f: (f.reset(), at(1, pos_w=far))[1]):
        smooth = OneEuro()
        smooth(at(0))
        np.testing.assert_array_equal(smooth(again(smooth)).pos_w, far)


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, float("nan"))])
def test_impossible_settings_are_refused(numbers: tuple[float, float, float]):
    with pytest.raises(ValueError, match="min_hz must be above 0 and no number negative"):
        OneEuro(*numbers)
