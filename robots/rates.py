"""Absolute-deadline loops and what is known about their punctuality.

A missed deadline is skipped and counted, never caught up in a burst.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import math
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_TIMER_ABSTIME = 1
_CLOCK_MONOTONIC = 1
libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)


class Timespec(ctypes.Structure):
    """struct timespec of a 64-bit system."""

    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


def sleep_until_ns(deadline_ns: int) -> None:
    """Sleep to an absolute `time.monotonic_ns()`; returns at once when it is past."""
    at = Timespec(deadline_ns // 1_000_000_000, deadline_ns % 1_000_000_000)
    while libc.clock_nanosleep(_CLOCK_MONOTONIC, _TIMER_ABSTIME, ctypes.byref(at), None) == 4:  # EINTR
        pass


class Histogram:
    """Counts of microseconds in log-spaced bins: bounded memory, percentiles to about 6 %."""

    BINS_PER_DECADE = 40
    DECADES = 7

    def __init__(self) -> None:
        self._counts = np.zeros(self.BINS_PER_DECADE * self.DECADES + 1, dtype=np.int64)
        self.max_us = 0.0
        self.n = 0

    def add(self, value_us: float) -> None:
        """Count one value; below 1 us counts as 1, above 10 s as 10 s."""
        clipped = 1.0 if value_us < 1.0 else value_us
        index = int(math.log10(clipped) * self.BINS_PER_DECADE)
        last = len(self._counts) - 1
        self._counts[index if index < last else last] += 1
        self.n += 1
        if value_us > self.max_us:
            self.max_us = value_us

    def percentile_us(self, percent: float) -> float:
        """Upper edge of the bin that holds the percentile [us]; 0 when nothing was counted."""
        if self.n == 0:
            return 0.0
        index = int(np.searchsorted(np.cumsum(self._counts), self.n * percent / 100.0))
        edge = float(10 ** ((index + 1) / self.BINS_PER_DECADE))
        return min(edge, self.max_us)


class LoopStats(NamedTuple):
    """Punctuality of one loop so far."""

    rate_hz: float
    ticks: int
    missed: int
    """Deadlines skipped because the loop was late."""
    late_p50_us: float
    late_p99_us: float
    late_max_us: float
    work_p50_us: float
    work_p99_us: float


class Rate:
    """Deadlines at `hz`, absolute from the first `wait`."""

    def __init__(self, hz: float) -> None:
        self.period_ns = round(1e9 / hz)
        self.hz = hz
        self.missed = 0
        self.ticks = 0
        self.lateness = Histogram()
        self.work = Histogram()
        self._next_ns = 0
        self._woke_ns = 0

    def wait(
        self, early: Callable[[], None] | None = None, lead_ns: int = 0, sleep: Callable[[int], None] | None = None
    ) -> int:
        """Sleep to the next deadline; returns the lateness of waking [ns].

        `early` is called `lead_ns` before the deadline, and left out when less time than that is left. `sleep`: returns
        at the deadline it is given (`time.monotonic_ns`), whatever else it does till then.
        """
        now = time.monotonic_ns()
        if self._next_ns == 0:
            self._next_ns = now + self.period_ns
        else:
            self.work.add((now - self._woke_ns) / 1e3)
            self._next_ns += self.period_ns
            if now > self._next_ns:
                skipped = (now - self._next_ns) // self.period_ns + 1
                self.missed += skipped
                self._next_ns += skipped * self.period_ns
        if early is not None and now < self._next_ns - lead_ns:
            sleep_until_ns(self._next_ns - lead_ns)
            early()
        (sleep or sleep_until_ns)(self._next_ns)
        self._woke_ns = time.monotonic_ns()
        late_ns = self._woke_ns - self._next_ns
        self.lateness.add(late_ns / 1e3)
        self.ticks += 1
        return late_ns

    def stats(self) -> LoopStats:
        """Summary so far."""
        late, work = self.lateness, self.work
        return LoopStats(
            self.hz, self.ticks, self.missed,
            late.percentile_us(50), late.percentile_us(99), late.max_us,
            work.percentile_us(50), work.percentile_us(99),
        )  # fmt: skip


def request_priority(priority: int) -> bool:
    """Ask for SCHED_FIFO; False, and nothing changed, where that is not permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, AttributeError):
        return False
    return True


def freeze_collector() -> None:
    """Leave all objects that exist out of further garbage collections; call it when a process is set up.

    With MuJoCo, numba and gRPC loaded a full collection looks at 150,000 objects: 60 to 120 ms in which nothing else
    runs, a few times a minute. What is left of one after this takes less than a millisecond.
    """
    gc.collect()
    gc.freeze()


def request_real_time(priority: int, core: int | None) -> str:
    """Ask for SCHED_FIFO, locked memory, one core and a frozen garbage collector; says what was granted."""
    granted, refused = [], []
    if request_priority(priority):
        granted.append(f"SCHED_FIFO {priority}")
    else:
        refused.append("SCHED_FIFO (needs LimitRTPRIO or root)")
    if libc.mlockall(3) == 0:
        granted.append("locked memory")
    else:
        refused.append("mlockall (needs LimitMEMLOCK)")
    if core is not None:
        try:
            os.sched_setaffinity(0, {core})
            granted.append(f"core {core}")
        except (OSError, AttributeError):
            refused.append(f"core {core}")
    freeze_collector()
    gc.disable()
    granted.append("collector frozen")
    return f"granted: {', '.join(granted)}" + (f"; refused: {', '.join(refused)}" if refused else "")
