"""What is made of the source that a policy follows: how old, how steady, and whether it is alive."""

from __future__ import annotations

import pytest
from tests.safety.conftest import KD, KP, MS, make_model, targets

from teleopd.robots.model import JointTargets
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.policy_watch import SourceWatch
from teleopd.safety.stalls import NEVER_NS, Stalls

LIMITS = SafetyLimits.of(make_model(), kp=KP, kd=KD)
NOW = 1_000 * MS
LATE, STALE, LOST, FROZEN = 40 * MS, 60 * MS, 400 * MS, 200 * MS


@pytest.fixture
def watch() -> SourceWatch:
    return SourceWatch(LIMITS, Stalls(LIMITS.thresholds))


def aged(age_ns: int, content_ns: int | None = None, **changes: object) -> JointTargets:
    """Targets made at NOW from a reference that was so old then."""
    content_ns = age_ns if content_ns is None else content_ns
    return targets(NOW, 1, t_reference_ns=NOW - age_ns, t_content_ns=NOW - content_ns, **changes)


def tell(watch: SourceWatch, told: JointTargets, now_ns: int = NOW) -> SourceWatch:
    watch.note(told)
    watch.judge(told, now_ns)
    return watch


def test_a_source_that_was_never_heard_is_lost(watch):
    assert (watch.source_id, watch.age_ns, watch.fresh_since_ns) == (0, NEVER_NS, 0)
    assert watch.stale and watch.lost and not (watch.frozen or watch.invalid or watch.rate_ok)
    assert not watch.fresh_for(0, NOW)


@pytest.mark.parametrize("gone", [None, aged(0, reference_seq=0), aged(0, reference_seq=-1)])
def test_a_source_that_is_gone_is_as_if_never_heard(watch, gone):
    tell(watch, aged(0, FROZEN + 1))
    assert watch.frozen and not watch.lost and watch.fresh_since_ns == NOW
    watch.judge(gone, NOW)
    assert (watch.age_ns, watch.stale, watch.lost, watch.frozen, watch.fresh_since_ns) == (
        NEVER_NS, True, True, False, 0,
    )  # fmt: skip


def test_its_very_first_reference_counts(watch):
    assert not tell(watch, aged(0, reference_seq=1)).stale


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_stale_lost_and_frozen_from_the_first_nanosecond_beyond_the_limit(watch, beyond_ns):
    tell(watch, aged(STALE + beyond_ns))
    assert (watch.age_ns, watch.stale, watch.lost) == (STALE + beyond_ns, beyond_ns == 1, False)
    tell(watch, aged(LOST + beyond_ns))
    assert (watch.stale, watch.lost, watch.frozen) == (True, beyond_ns == 1, False)
    tell(watch, aged(STALE, FROZEN + beyond_ns))
    assert (watch.stale, watch.frozen) == (False, beyond_ns == 1)


def test_what_is_stale_is_not_called_frozen_too(watch):
    assert not tell(watch, aged(STALE + 1, FROZEN + 1)).frozen


@pytest.mark.parametrize("hz", [-2.0, -1.0, 0.0, 1.0, 2.0, 30.0])
def test_a_slow_source_or_one_of_unknown_rate_is_given_the_ceiling(watch, hz):
    assert not tell(watch, aged(100 * MS, reference_hz=hz)).stale
    assert tell(watch, aged(100 * MS + 1, reference_hz=hz)).stale


def test_while_the_policy_is_late_its_source_grows_no_older(watch):
    tell(watch, aged(10 * MS), NOW + LATE - 1)
    assert watch.age_ns == 10 * MS + LATE - 1
    for late_ns in (LATE, LATE + 1, 2 * LATE):
        watch.judge(aged(10 * MS, FROZEN - LATE), NOW + late_ns)
        assert watch.age_ns == 10 * MS + LATE and not watch.frozen


def test_a_stream_begins_when_it_is_fresh_and_ends_when_it_is_stale(watch):
    tell(watch, aged(0), NOW)
    tell(watch, aged(0), NOW + 5 * MS)
    assert watch.fresh_since_ns == NOW
    assert watch.fresh_for(7 * MS, NOW + 7 * MS) and not watch.fresh_for(7 * MS, NOW + 7 * MS - 1)
    tell(watch, aged(STALE + 1))
    assert watch.fresh_since_ns == 0 and not watch.fresh_for(0, NOW)
    tell(watch, aged(0), NOW + 9 * MS)
    assert watch.fresh_since_ns == NOW + 9 * MS


def test_a_stream_may_begin_in_the_clocks_first_instant(watch):
    tell(watch, targets(1, 1, t_reference_ns=1, t_content_ns=1), 1)
    assert watch.fresh_since_ns == 1 and watch.fresh_for(0, 1)


def test_another_source_begins_anew(watch):
    for i in range(3):
        tell(watch, targets(NOW + 20 * i * MS, 1 + i), NOW + 20 * i * MS)
    assert watch.rate_ok and watch.fresh_since_ns == NOW and watch.source_id == 1
    watch.note(targets(NOW + 60 * MS, 4, reference_source_id=2))
    assert (watch.source_id, watch.fresh_since_ns, watch.rate_ok) == (2, 0, False)
    watch.note(targets(NOW + 80 * MS, 5, reference_source_id=2))
    assert watch.rate_ok


def test_a_refused_frame_is_told_until_the_next_good_one(watch):
    watch.note(aged(0, reference_valid=False))
    assert watch.invalid
    watch.note(aged(0))
    assert not watch.invalid


def rate_ok(watch: SourceWatch, hz: float, *samples: tuple[int, int]) -> bool:
    """What is said after samples (time after NOW in ns, sequence number)."""
    for t_ns, seq in samples:
        watch.note(targets(NOW + t_ns, 1, reference_seq=seq, reference_hz=hz))
    return watch.rate_ok


@pytest.mark.parametrize(
    "hz, frames, enough", [(100.0, 80, True), (100.0, 79, False), (100.00000005, 80, False), (1.0, 2, True)]
)
def test_four_fifths_of_the_declared_rate_are_enough(watch, hz, frames, enough):
    assert rate_ok(watch, hz, (0, 1), (1_000 * MS, frames)) is enough


@pytest.mark.parametrize("hz", [0.0, -0.5, -100.0, float("nan")])
def test_a_rate_that_is_no_rate_is_not_kept(watch, hz):
    assert not rate_ok(watch, hz, (0, 1), (1_000 * MS, 900))


def test_one_sample_or_two_in_one_instant_are_no_rate(watch):
    assert not rate_ok(watch, 100.0, (0, 1))
    assert not rate_ok(watch, 100.0, (0, 9))


@pytest.mark.parametrize(("before_ns", "counts"), [(0, True), (1, False)])
def test_only_the_last_second_is_counted(watch, before_ns, counts):
    samples = ((-before_ns, 1), (500 * MS, 71), (1_000 * MS, 90))
    assert rate_ok(watch, 100.0, *samples) is counts, "90 in the second, but only 20 in its second half"
