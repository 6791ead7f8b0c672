"""Deadlines with an injected clock: what is late, what is skipped, what is never made up for."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from teleopd.robots import rates
from teleopd.robots.rates import Histogram, Rate


class Clock:
    """Monotonic time that moves when somebody sleeps or works; `oversleep_ns` is added to the next sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000_000
        self.oversleep_ns = 0
        monkeypatch.setattr(rates.time, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(rates, "sleep_until_ns", self.sleep_until)

    def sleep_until(self, deadline_ns: int) -> None:
        self.now = max(self.now, deadline_ns) + self.oversleep_ns
        self.oversleep_ns = 0


MS = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_deadlines_are_absolute_so_work_does_not_add_up(clock: Clock):
    rate = Rate(500)
    wakes = []
    for _ in range(10):
        assert rate.wait() == 0
        wakes.append(clock.now)
        clock.now += 1_500_000
    assert np.diff(wakes).tolist() == [2 * MS] * 9
    assert (rate.ticks, rate.missed) == (10, 0)


def test_a_stall_is_skipped_and_counted_never_caught_up(clock: Clock):
    rate = Rate(500)
    rate.wait()
    start = clock.now
    clock.now += 100 * MS + 1
    rate.wait()
    assert clock.now == start + 102 * MS, "the first deadline of the old grid that is still ahead"
    assert rate.missed == 50
    for _ in range(5):
        before = clock.now
        rate.wait()
        assert clock.now - before == 2 * MS, "no burst"
    assert rate.missed == 50


def test_a_deadline_met_exactly_is_not_missed(clock: Clock):
    rate = Rate(500)
    rate.wait()
    clock.now += 2 * MS
    assert rate.wait() == 0 and rate.missed == 0
    clock.now += 2 * MS + 1
    rate.wait()
    assert rate.missed == 1


def test_oversleeping_is_lateness_and_the_skipped_ticks_are_counted(clock: Clock):
    rate = Rate(500)
    rate.wait()
    clock.oversleep_ns = 7 * MS
    assert rate.wait() == 7 * MS
    rate.wait()
    stats = rate.stats()
    assert stats.missed == 3 and stats.ticks == 3
    assert stats.late_max_us == 7000.0
    assert stats.work_p99_us == 0.0


def test_work_time_is_what_lies_between_the_waits(clock: Clock):
    rate = Rate(50)
    for _ in range(11):
        rate.wait()
        clock.now += 3 * MS
    rate.wait()
    stats = rate.stats()
    assert stats.rate_hz == 50 and stats.missed == 0
    assert 3000 <= stats.work_p50_us <= 3000 * 10 ** (1 / 40)


def test_histogram_percentiles_are_upper_edges_within_six_percent():
    histogram = Histogram()
    assert histogram.percentile_us(50) == 0.0
    values = np.random.default_rng(1).lognormal(5.0, 1.0, 5000)
    for value in values:
        histogram.add(float(value))
    for percent in (1, 50, 90, 99):
        true = float(np.percentile(values, percent, method="inverted_cdf"))
        assert true <= histogram.percentile_us(percent) <= true * 10 ** (1 / 40) * 1.0001
    assert histogram.max_us == values.max() == histogram.percentile_us(100) and histogram.n == 5000


@pytest.mark.parametrize(("value", "shown"), [(-3.0, 0.0), (0.0, 0.0), (0.5, 0.5), (5e7, 10 ** (281 / 40))])
def test_histogram_takes_any_value(value: float, shown: float):
    histogram = Histogram()
    histogram.add(value)
    assert histogram.n == 1 and histogram.percentile_us(50) == pytest.approx(shown)


def test_sleeping_to_a_past_deadline_returns_and_to_a_future_one_is_never_early():
    rates.sleep_until_ns(time.monotonic_ns() - 10**9)
    deadline = time.monotonic_ns() + 2 * MS
    rates.sleep_until_ns(deadline)
    assert time.monotonic_ns() >= deadline


def test_what_is_done_early_is_done_that_long_before_the_deadline(clock: Clock):
    rate, called = Rate(50), []
    for _ in range(3):
        assert rate.wait(lambda: called.append(clock.now), 2 * MS) == 0
    assert called == [rate._next_ns - 2 * MS - back * 20 * MS for back in (2, 1, 0)]


def test_what_is_done_early_is_left_out_when_the_deadline_is_near(clock: Clock):
    rate, called = Rate(50), []
    rate.wait()
    clock.now += 18 * MS
    assert rate.wait(lambda: called.append(clock.now), 2 * MS) == 0
    assert called == [] and rate.missed == 0


def test_what_is_done_early_and_takes_too_long_is_lateness(clock: Clock):
    rate = Rate(50)

    def slow() -> None:
        clock.now += 3 * MS

    assert rate.wait(slow, 2 * MS) == 1 * MS
    assert rate.missed == 0


def test_a_full_collection_leaves_out_what_was_there_when_the_process_was_set_up():
    frozen, left = map(int, subprocess.run(
        [sys.executable, "-c", "import gc, mujoco\nfrom teleopd.robots.rates import freeze_collector\n"
         "freeze_collector()\nprint(gc.get_freeze_count(), len(gc.get_objects()))"],
        capture_output=True, text=True, check=True,
    ).stdout.split())  # fmt: skip
    assert frozen > 10_000
    assert left < 100
