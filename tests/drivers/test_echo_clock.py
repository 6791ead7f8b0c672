"""Echo exchanges: offsets and bounds computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.drivers.clock import DRIFT_NS, EchoClock

MS = 1_000_000


def test_the_quickest_exchange_defines_the_offset():
    clock = EchoClock()
    assert clock.best is None and clock.to_monotonic(5, 10) is None
    assert clock.exchange(1000 * MS, 50 * MS, 1004 * MS)
    assert clock.best == (4 * MS, 952 * MS)
    assert clock.exchange(2000 * MS, 1049 * MS, 2001 * MS)
    assert clock.best == (1 * MS, 951_500_000)
    assert clock.exchange(3000 * MS, 2050 * MS, 3009 * MS)
    assert clock.to_monotonic(2100 * MS, 10_000 * MS) == 3_051_500_000


def test_a_mapped_time_is_never_after_now():
    clock = EchoClock()
    clock.exchange(0, 0, 2 * MS)
    assert clock.to_monotonic(100 * MS, 50 * MS) == 50 * MS


HALVES = 1_500_000


@pytest.mark.parametrize(("ahead_ns", "agrees"), [(DRIFT_NS + HALVES, True), (DRIFT_NS + HALVES + 1, False)])
def test_an_exchange_that_cannot_be_true_is_a_clock_that_jumped(ahead_ns, agrees):
    """Half round trips of 0.5 and 1 ms explain a difference of 1.5 ms, drift 10 ms more."""
    clock = EchoClock()
    clock.exchange(0, 500_000, 1 * MS)
    assert clock.exchange(100 * MS, 101 * MS + ahead_ns, 102 * MS) is agrees
    assert clock.best == ((1 * MS, 0) if agrees else (2 * MS, -ahead_ns))


def test_of_two_exchanges_as_quick_the_newer_counts():
    clock = EchoClock()
    clock.exchange(0, 1 * MS, 2 * MS)
    clock.exchange(100 * MS, 101 * MS + 7, 102 * MS)
    assert clock.best == (2 * MS, -7)


def test_an_old_lucky_exchange_is_forgotten_after_a_window():
    clock = EchoClock(window_ns=10_000 * MS)
    clock.exchange(0, 0, 1)
    for second in range(2, 14, 2):
        clock.exchange(second * 1000 * MS, second * 1000 * MS + MS, (second * 1000 + 4) * MS)
        assert clock.best[0] == (1 if second < 12 else 4 * MS)


def test_a_window_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="^clock window is 1 ns; give at least 2$"):
        EchoClock(window_ns=1)


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)), min_size=1, max_size=20),
)
def test_the_error_is_at_most_half_the_round_trip(offset_ns, delays):
    clock = EchoClock()
    for k, (there, back) in enumerate(delays):
        sent = k * 10**9
        assert clock.exchange(sent, sent + there + offset_ns, sent + there + back)
    round_trip, best = clock.best
    assert abs(best + offset_ns) <= round_trip // 2 + 1
