"""What is made of a policy's targets: which are taken in, how long they may be used, and how bad ones are counted."""

from __future__ import annotations

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, targets

from teleopd.safety.limits import SafetyLimits
from teleopd.safety.policy_watch import PolicyWatch
from teleopd.safety.stalls import FUTURE_NS, NEVER_NS, Stalls

LIMITS = SafetyLimits.of(make_model(), kp=KP, kd=KD)
LATE = LIMITS.thresholds.ns("targets_late")
NOW = 1_000 * MS


@pytest.fixture
def watch() -> PolicyWatch:
    return PolicyWatch(LIMITS, Stalls(LIMITS.thresholds))


def feed(watch: PolicyWatch, *healthy: bool, start_ns: int = NOW) -> None:
    """Good and bad targets, 20 ms apart."""
    for i, good in enumerate(healthy):
        assert watch.update(targets(start_ns + 20 * i * MS, 1 + i, healthy=good), start_ns + 20 * i * MS)


def test_a_policy_that_never_spoke_is_not_usable_and_not_broken(watch):
    assert not watch.update(None, NOW)
    assert (watch.targets, watch.invalid_run, watch.invalid_ticks, watch.usable_since_ns) == (None, 0, 0.0, 0)
    assert watch.age_ns(NOW) == NEVER_NS and not watch.usable(NOW)


@pytest.mark.parametrize(("ahead_ns", "taken"), [(FUTURE_NS, True), (FUTURE_NS + 1, False)])
def test_targets_from_the_future_are_not_taken_in(watch, ahead_ns, taken):
    assert watch.update(targets(NOW + ahead_ns, 1), NOW) is taken
    assert (watch.targets is not None) is taken


@pytest.mark.parametrize(("later_ns", "new"), [(-1, False), (0, False), (1, True)])
def test_only_later_targets_are_new(watch, later_ns, new):
    first = targets(NOW, 1)
    assert watch.update(first, NOW)
    assert watch.update(targets(NOW + later_ns, 2, healthy=False), NOW) is new
    assert (watch.targets is not first) is new and watch.invalid_run == new


def test_targets_are_usable_until_they_are_late_or_as_long_as_is_asked(watch):
    feed(watch, True)
    assert watch.usable(NOW + LATE) and not watch.usable(NOW + LATE + 1)
    assert watch.usable(NOW + 60 * MS, 60 * MS) and not watch.usable(NOW + 60 * MS + 1, 60 * MS)
    assert not watch.usable(NOW + 11 * MS, 10 * MS), "less than the table allows may be asked too"


def test_targets_that_are_cold_or_broken_are_not_usable(watch):
    watch.update(targets(NOW, 1, ready=False), NOW)
    assert not watch.usable(NOW)
    watch.update(targets(NOW + MS, 2, q=np.full(3, np.nan)), NOW + MS)
    assert not watch.usable(NOW + MS)
    watch.update(targets(NOW + 2 * MS, 3), NOW + 2 * MS)
    assert watch.usable(NOW + 2 * MS)


def test_the_run_of_good_targets_begins_anew_after_a_bad_one(watch):
    feed(watch, True, True)
    assert watch.usable_since_ns == NOW
    feed(watch, False, start_ns=NOW + 40 * MS)
    assert watch.usable_since_ns == 0
    feed(watch, True, True, start_ns=NOW + 60 * MS)
    assert watch.usable_since_ns == NOW + 60 * MS


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_the_run_of_good_targets_begins_anew_after_a_gap(watch, beyond_ns):
    feed(watch, True)
    feed(watch, True, start_ns=NOW + LATE + beyond_ns)
    assert watch.usable_since_ns == (NOW + LATE + 1 if beyond_ns else NOW)


def test_bad_targets_count_one_good_ones_take_half_a_one_back_and_three_are_the_most(watch):
    seen = []
    for good in (False, False, False, False, True, True, False, True, True, True, True, True, True, False):
        feed(watch, good, start_ns=NOW + 20 * len(seen) * MS)
        seen.append((watch.invalid_ticks, watch.invalid_run))
    assert seen == [
        (1.0, 1), (2.0, 2), (3.0, 3), (3.0, 4), (2.5, 0), (2.0, 0), (3.0, 1), (2.5, 0), (2.0, 0), (1.5, 0), (1.0, 0),
        (0.5, 0), (0.0, 0), (1.0, 1),
    ]  # fmt: skip


def test_good_targets_are_nothing_to_take_bad_ones_back_from(watch):
    feed(watch, True, True, True)
    assert watch.invalid_ticks == 0.0
    feed(watch, False, start_ns=NOW + 60 * MS)
    assert watch.invalid_ticks == 1.0


@pytest.mark.parametrize(
    "bad",
    [
        {"q": np.zeros(2)}, {"kp": np.zeros(4)}, {"kd": np.zeros(0)}, {"tilt_rp": np.zeros(1)},
        {"tilt_rp": np.zeros(3)}, {"tilt_rp": np.zeros((2, 1))}, {"q": np.array([0.0, np.inf, 0.0])},
        {"kp": np.array([np.nan, 0.0, 0.0])}, {"kd": np.array([0.0, 0.0, -np.inf])},
        {"tilt_rp": np.array([np.nan, 0.0])}, {"q": np.zeros(4), "kp": np.zeros(4), "kd": np.zeros(4)},
    ],
)  # fmt: skip
def test_targets_of_another_shape_or_not_finite_are_bad(watch, bad):
    watch.update(targets(NOW, 1, **bad), NOW)
    assert watch.invalid_run == 1 and not watch.usable(NOW)
