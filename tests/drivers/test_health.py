"""Health figures against values worked out by hand: one meter for every source."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.health import DELAYS, FROZEN_NS, LOSS_WINDOW_NS, Content, HealthMeter, content_kind
from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.source import SourceCounters

MS = 1_000_000
PERIOD = 10 * MS
HANDS, FEET = (("Left" + part, "Right" + part) for part in ("Hand", "Foot"))


def pose(number: int, delay_ms: float = 0.0, *, body: int | None = None, **changes: object) -> HumanPose:
    """A pose every 10 ms of device time, received `delay_ms` later; `body`: which body it shows, its own if None."""
    n = len(MVN.body_names)
    t_source_ns = 10**9 + number * PERIOD
    pos = np.arange(3 * n, dtype=np.float64).reshape(n, 3) + 0.001 * (number if body is None else body)
    quat = np.tile([0.8, 0.6, 0.0, 0.0], (n, 1))
    return HumanPose(
        MVN, number, t_source_ns + round(delay_ms * MS), t_source_ns, pos, quat, np.ones(n, np.bool_), False, 0,
        frozenset(),
    )._replace(**changes)  # type: ignore[arg-type]  # fmt: skip


def at(number: int) -> int:
    return 10**9 + number * PERIOD


def test_before_the_first_pose_there_is_no_age_and_no_content():
    health = HealthMeter(90.0).figures(SourceCounters(), 10**9)
    assert (health.age_ms, health.content_age_ms, health.content) == (-1.0, -1.0, Content.NONE)
    assert (health.rate_hz, health.loss, health.jitter_ms) == (90.0, 0.0, 0.0)


def test_age_is_by_the_device_time_of_the_newest_pose():
    meter = HealthMeter(100.0)
    meter.pose(pose(0, 3.0))
    meter.pose(pose(1, 7.0))
    assert meter.newest_ns == at(1) + 7 * MS
    assert meter.figures(SourceCounters(), at(1) + 25 * MS).age_ms == 25.0


def test_delay_percentiles_are_of_the_newest_poses():
    meter = HealthMeter(100.0)
    for number in range(DELAYS):
        meter.pose(pose(number, 500.0))
    for number in range(DELAYS, 2 * DELAYS):
        meter.pose(pose(number, float(number % 4)))
    health = meter.figures(SourceCounters(), at(2 * DELAYS))
    assert health.delay_p50_ms == 1.5
    assert health.delay_p99_ms == 3.0


def test_jitter_is_that_of_rfc_3550():
    meter, delays, expected = HealthMeter(100.0), (0.0, 8.0, 2.0, 2.0), 0.0
    for number, delay in enumerate(delays):
        meter.pose(pose(number, delay))
    for step in (8.0, 6.0, 0.0):
        expected += (step - expected) / 16.0
    assert meter.figures(SourceCounters(), at(5)).jitter_ms == pytest.approx(expected, abs=1e-12)


def test_a_restart_is_no_jitter():
    meter = HealthMeter(100.0)
    meter.pose(pose(0, 0.0))
    meter.pose(pose(1, 40.0, resets=1))
    health = meter.figures(SourceCounters(), at(2))
    assert (health.jitter_ms, health.resets) == (0.0, 1)


def test_rate_is_that_of_the_poses_without_the_pauses():
    meter = HealthMeter(30.0)
    for number in (*range(100), *range(1000, 1100)):
        meter.pose(pose(number))
    assert meter.figures(SourceCounters(), at(1100)).rate_hz == pytest.approx(100.0)


def test_loss_is_that_of_the_last_ten_seconds():
    meter, counters = HealthMeter(100.0), SourceCounters(lost=1000, delivered=1000)
    assert meter.figures(counters, 10**9).loss == 0.0, "what was lost before anybody looked is not of this window"
    counters.lost, counters.delivered = 1025, 1075
    assert meter.figures(counters, 2 * 10**9).loss == 0.25
    counters.lost = 1024  # a late one filled a gap
    assert meter.figures(counters, 3 * 10**9).loss == pytest.approx(24 / 99)
    assert meter.figures(counters, 3 * 10**9 + LOSS_WINDOW_NS + 1).loss == 0.0


def test_a_body_is_frozen_once_it_was_bit_identical_for_200_ms_and_fresh_again_at_the_first_change():
    meter = HealthMeter(100.0)
    for number in range(FROZEN_NS // PERIOD + 1):
        meter.pose(pose(number, body=0))
    assert meter.figures(SourceCounters(), at(20)).content is Content.FRESH
    meter.pose(pose(21, body=0))
    frozen = meter.figures(SourceCounters(), at(21))
    assert (frozen.content, frozen.content_age_ms) == (Content.FROZEN, 210.0)
    meter.pose(pose(22))
    again = meter.figures(SourceCounters(), at(23))
    assert (again.content, again.content_age_ms) == (Content.FRESH, 10.0)


def kind(value: HumanPose) -> Content:
    return content_kind(value.skeleton, value.pos_w, value.quat_w, value.valid)


def test_identity_is_seen_in_either_sign_and_not_in_a_body_that_is_not_tracked():
    n = len(MVN.body_names)
    assert kind(pose(0)) is Content.FRESH
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    quat[3] *= -1.0
    assert kind(pose(0, quat_w=quat)) is Content.IDENTITY
    turned = quat.copy()
    turned[5] = (0.8, 0.6, 0.0, 0.0)
    assert kind(pose(0, quat_w=turned)) is Content.FRESH
    untracked = np.ones(n, np.bool_)
    untracked[5] = False
    assert kind(pose(0, quat_w=turned, valid=untracked)) is Content.IDENTITY


def test_mirrored_means_every_tracked_pair_of_hands_and_feet():
    at_body = MVN.body_names.index
    base = pose(0)
    for pair in (HANDS, FEET):
        base.pos_w[at_body(pair[0])] = base.pos_w[at_body(pair[1])]
    assert kind(base) is Content.MIRRORED
    apart = base._replace(pos_w=base.pos_w.copy())
    apart.pos_w[at_body("LeftFoot"), 0] += 0.1
    assert kind(apart) is Content.FRESH
    no_feet = base.valid.copy()
    no_feet[[at_body(name) for name in FEET]] = False
    assert kind(apart._replace(valid=no_feet)) is Content.MIRRORED
    nothing = no_feet.copy()
    nothing[at_body("LeftHand")] = False
    assert kind(apart._replace(valid=nothing)) is Content.FRESH
