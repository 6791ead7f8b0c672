"""The minimum filter: offsets computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.clock import ClockMap

MS = 1_000_000


def test_least_delayed_packet_defines_the_offset():
    clock = ClockMap()
    assert clock.offset_ns is None
    assert clock.to_monotonic(0, 1_000 * MS) == 1_000 * MS
    assert clock.to_monotonic(10 * MS, 1_014 * MS) == 1_010 * MS, "4 ms late: shows as age"
    assert clock.to_monotonic(20 * MS, 1_017 * MS) == 1_017 * MS, "3 ms earlier than the best: becomes the best"
    assert clock.to_monotonic(30 * MS, 1_030 * MS) == 1_027 * MS
    assert clock.offset_ns == 997 * MS


def test_a_slow_device_clock_is_followed_within_one_window():
    """At -1000 ppm the true offset grows 1 ms/s; a plain minimum would be 60 ms behind after a minute."""
    clock = ClockMap(window_ns=2_000 * MS)
    ages = []
    for k in range(60_000):
        now_ns = k * MS
        ages.append(now_ns - clock.to_monotonic(now_ns - now_ns // 1000, now_ns))
    assert max(ages) <= 2 * MS


def test_a_lucky_packet_counts_for_at_least_half_a_window_and_at_most_one():
    clock = ClockMap(window_ns=100 * MS)
    clock.to_monotonic(0, 0)  # lucky: no delay
    for t in range(1, 50):
        assert clock.to_monotonic(t * MS, (t + 5) * MS) == t * MS
    assert clock.to_monotonic(90 * MS, 95 * MS) == 90 * MS
    assert clock.to_monotonic(200 * MS, 205 * MS) == 205 * MS, "long forgotten"


def test_reset_forgets():
    clock = ClockMap()
    clock.to_monotonic(5_000 * MS, 5_001 * MS)
    clock.reset()
    assert clock.offset_ns is None
    assert clock.to_monotonic(0, 6_000 * MS) == 6_000 * MS


def test_a_gap_longer_than_the_window_forgets():
    clock = ClockMap(window_ns=100 * MS)
    clock.to_monotonic(0, 0)
    assert clock.to_monotonic(500 * MS, 540 * MS) == 540 * MS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=40))
def test_never_later_than_its_receipt(packets):
    clock = ClockMap(window_ns=10**11)
    now_ns = 0
    for device_ns, passed_ns in packets:
        now_ns += passed_ns
        assert clock.to_monotonic(device_ns, now_ns) <= now_ns


def test_window_must_be_positive():
    with pytest.raises(ValueError, match="^clock window is 1 ns; give at least 2$"):
        ClockMap(window_ns=1)
