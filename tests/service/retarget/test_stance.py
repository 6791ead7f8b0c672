"""Does a foot stand: by speed and height, and in sensor noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.service.retarget.stance import (
    STRAYS_S,
    STRETCH_M,
    Length,
    Noise,
    Speed,
    Stance,
    following,
    judge_stance,
    learn_noise,
    measure_speed,
)

DT = 1.0 / 60.0


def test_speed_is_exact_in_steady_motion_and_zero_at_first():
    speed = Speed()
    for i in range(60):
        found = measure_speed(speed, [0.3 * i * DT, -0.4 * i * DT, 0.0], following(DT), DT)
        if i == 0:
            assert found == 0.0
    assert found == pytest.approx(0.5, rel=1e-6)
    assert speed.now_m_s == pytest.approx(0.5, rel=1e-9)


def at_speed(m_s: float) -> Speed:
    speed = Speed()
    speed.m_s = speed.now_m_s = m_s
    return speed


def judged(
    stance: Stance, speed: Speed, height_m: float = 0.0, *, upright: bool = True, noise: Noise | None = None
) -> bool:
    return judge_stance(stance, speed, noise or Noise(), height_m, upright, DT)


def test_a_foot_stands_and_leaves_at_different_speeds_and_heights():
    stance = Stance()
    for speed, height, stands in (
        (0.51, 0.0, False),
        (0.34, 0.0, True),
        (0.69, 0.0, True),  # would not begin at that speed
        (0.30, 0.07, True),  # ... nor at that height
        (0.71, 0.0, False),
        (0.30, 0.05, True),
        (0.40, 0.05, False),  # lifted slowly: no longer standing
        (0.1, 0.061, False),
        (0.1, 0.059, True),
        (0.1, 0.081, False),
    ):
        stance.rests = False  # speeds alone count here
        assert judged(stance, at_speed(speed), height) is stands, (speed, height)


def test_nothing_stands_in_a_fall():
    stance = Stance()
    assert judged(stance, at_speed(0.0))
    assert not judged(stance, at_speed(0.0), upright=False)


def test_sensor_noise_of_3_mm_does_not_break_a_stance():
    noise = np.random.default_rng(3).normal(0.0, 3e-3, (600, 3))
    speed, stance, raw, held = Speed(), Stance(), [], []
    for point in noise.tolist():
        measure_speed(speed, point, following(DT), DT)
        raw.append(speed.now_m_s)
        held.append(judged(stance, speed, point[2]))
    assert max(raw) > 0.60  # without the low pass it would break
    assert all(held)


def test_sensor_noise_is_taken_off_the_pace_and_clean_speeds_are_left_alone():
    """Feet that change their length tell how noisy the sensor is: a slow toe's pace is not taken for a fast one's."""
    for sigma, off in ((3e-3, 0.08), (0.0, 0.0)):
        noise, length, rng = Noise(), Length(), np.random.default_rng(4)
        for _ in range(200):
            learn_noise(noise, length, 0.15 + 2.0**0.5 * sigma * rng.normal(), following(DT))
        for m_s, now_m_s in ((0.34, 9.0), (9.0, 0.34)):  # what it adds with and without the low pass
            stance = Stance()
            judged(stance, Speed(m_s, now_m_s), noise=noise)
            assert stance.pace_m_s == pytest.approx(0.34) if off == 0.0 else stance.pace_m_s < 0.34 - off


def test_noise_is_known_from_a_moving_foot_before_it_first_stands():
    """Against its definition, what noise adds to the squared way of a point, while the foot moves at 2 m/s."""
    sigma, rng, noise, length = 3e-3, np.random.default_rng(5), Noise(), Length()
    still, now, smooth, learned = Speed(), [], [], []
    for i in range(2000):
        a, b = sigma * rng.normal(size=(2, 3))
        toe, ankle = a + (2.0 * i * DT + 0.15, 0.0, 0.0), b + (2.0 * i * DT, 0.0, 0.0)
        learn_noise(noise, length, math.dist(toe, ankle), following(DT))
        measure_speed(still, a.tolist(), following(DT), DT)
        now.append((DT * still.now_m_s) ** 2)
        smooth.append((DT * still.m_s) ** 2)
        learned.append((noise.now_m2, noise.smooth_m2))
    assert np.mean(learned, axis=0) == pytest.approx((np.mean(now), np.mean(smooth)), rel=0.15)
    assert learned[12][0] > 0.3 * np.mean(now)


def test_a_lost_foot_tells_nothing_about_noise():
    noise, length = Noise(), Length()
    for length_m in (0.15, 0.151, 0.15 + 2.0 * STRETCH_M, *[0.151] * 5):
        learn_noise(noise, length, length_m, following(DT))
    assert 0.0 < noise.smooth_m2 < noise.now_m2 < 1.6e-6


def test_a_toe_that_shakes_where_it_rests_has_no_pace_and_one_that_goes_away_has():
    speed, stance, speeds, paces = Speed(), Stance(), [], []
    for i in range(60):
        measure_speed(speed, [0.004 * math.sin(30.0 * math.pi * i * DT), 0.0, 0.0], following(DT), DT)  # at 15 Hz
        judged(stance, speed)
        speeds.append(min(speed.m_s, speed.now_m_s))
        paces.append(stance.pace_m_s)
    assert stance.stands
    assert max(speeds[20:]) > 0.08 > 0.05 > max(paces[20:])
    assert max(paces[20:]) < 0.004 / STRAYS_S
    for i in range(12):
        measure_speed(speed, [0.8 * i * DT, 0.0, 0.0], following(DT), DT)
        judged(stance, speed)
    assert not stance.stands
