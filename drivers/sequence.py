"""Where a sample stands in its stream: next, repeated, late, or the first of a new recording."""

from __future__ import annotations

import enum

WINDOW = 64
"""Fewer samples back than this can be a late packet; 0.27 s at 240 Hz, 1 s at 60 Hz."""
GAP = 2400
"""A forward jump of more samples than this (10 s at 240 Hz) is another recording, not a loss."""
RESTART_RUN = 5
"""So many older samples in a row, each newer than the one before, are a restart: 83 ms at 60 Hz."""
SILENCE_NS = 500_000_000
"""After so long without a new sample, an older one is a restart at once: no network holds a packet so long."""
CLOCK_BACK_MS = 200
"""Device time going back so far on a newer sample is a restart."""
CLOCKS_APART_MS = 1000
"""A newer sample whose device time advanced so much more or less than the receiver's belongs to another recording,
or to one that was paused."""
_MASK = (1 << WINDOW) - 1


class Order(enum.Enum):
    """What to do with a sample."""

    NEXT = enum.auto()
    """Newer than all before: use it."""
    RESTART = enum.auto()
    """First of a new recording: use it, but do not follow the step."""
    DUPLICATE = enum.auto()
    REORDERED = enum.auto()
    """Older than one already used, and not seen before."""


class SampleOrder:
    """Judges a 32-bit sample counter that may skip, wrap, repeat, arrive late and restart."""

    def __init__(self, lost: int = 0) -> None:
        """`lost`: carried over from an earlier stream of the same device."""
        self.lost = lost
        """Gaps, less the late samples that filled one."""
        self.newest: int | None = None
        """Counter of the newest sample used; None before the first."""
        self._seen = 0  # bit k: sample newest - k has arrived
        self._span = 0  # samples from the first of this recording to the newest
        self._device_ms = 0
        self._newest_ns = 0
        self._run = 0
        self._run_newest = 0

    def judge(self, counter: int, device_ms: int, now_ns: int) -> Order:
        """Order of the sample with this u32 counter and device time [ms], received at `now_ns`."""
        if self.newest is None:
            return self._use(counter, device_ms, now_ns, Order.NEXT)
        ahead = (counter - self.newest + (1 << 31)) % (1 << 32) - (1 << 31)
        if ahead > 0:
            if ahead > GAP or self._clock_jumped(device_ms, now_ns):
                return self._use(counter, device_ms, now_ns, Order.RESTART)
            self.lost += ahead - 1
            self._span += ahead
            self._seen = (self._seen << ahead) & _MASK
            return self._use(counter, device_ms, now_ns, Order.NEXT)
        if ahead == 0:
            return Order.DUPLICATE
        if ahead <= -WINDOW or now_ns - self._newest_ns > SILENCE_NS or self._is_restart_run(ahead):
            return self._use(counter, device_ms, now_ns, Order.RESTART)
        return self._late(-ahead)

    def _clock_jumped(self, device_ms: int, now_ns: int) -> bool:
        passed_ms = device_ms - self._device_ms
        return passed_ms < -CLOCK_BACK_MS or abs(passed_ms - (now_ns - self._newest_ns) / 1e6) > CLOCKS_APART_MS

    def _is_restart_run(self, ahead: int) -> bool:
        """Late samples come one at a time between new ones; a restarted counter climbs without any."""
        climbs = self._run > 0 and ahead > self._run_newest
        self._run = self._run + 1 if climbs else 1
        self._run_newest = ahead
        return self._run >= RESTART_RUN

    def _late(self, behind: int) -> Order:
        bit = 1 << behind
        if self._seen & bit:
            return Order.DUPLICATE
        self._seen |= bit
        if behind <= self._span:
            self.lost -= 1
        return Order.REORDERED

    def _use(self, counter: int, device_ms: int, now_ns: int, order: Order) -> Order:
        if order is Order.RESTART:
            self._seen = self._span = 0
        self._seen |= 1
        self.newest, self._device_ms, self._newest_ns, self._run = counter, device_ms, now_ns, 0
        return order
