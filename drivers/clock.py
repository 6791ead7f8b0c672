"""Device time -> this host's monotonic clock, by the smallest delay seen lately."""

from __future__ import annotations


class ClockMap:
    """Minimum filter of (receive time - device time) over a sliding window.

    The least delayed packet of the window defines the offset, so a mapped time is never after its receipt, and the
    queueing of every other packet shows as age. The constant part of the delay cannot be known from one direction.
    Two half windows replace a list: constant memory, and a device clock that drifts slow is followed within one window.
    """

    def __init__(self, window_ns: int = 20_000_000_000) -> None:
        """`window_ns`: how long one lucky packet counts [ns]; at 50 ppm of drift, 20 s are 1 ms."""
        if window_ns < 2:
            raise ValueError(f"clock window is {window_ns} ns; give at least 2")
        self._half_ns = window_ns // 2
        self.reset()

    def reset(self) -> None:
        """Forget the offset: the device's clock restarted."""
        self._older: int | None = None
        self._newer: int | None = None
        self._turn_ns = 0

    @property
    def offset_ns(self) -> int | None:
        """Receive time minus device time of the least delayed packet; None before the first."""
        if self._newer is None:
            return self._older
        return self._newer if self._older is None else min(self._older, self._newer)

    def to_monotonic(self, device_ns: int, now_ns: int) -> int:
        """Monotonic time [ns] of a device time [ns] received at `now_ns`; at most `now_ns`."""
        offset = now_ns - device_ns
        if self._newer is None:
            self._newer, self._turn_ns = offset, now_ns
        elif now_ns - self._turn_ns >= self._half_ns:
            stale = now_ns - self._turn_ns >= 2 * self._half_ns
            self._older, self._newer, self._turn_ns = None if stale else self._newer, offset, now_ns
        else:
            self._newer = min(self._newer, offset)
        best = self._newer if self._older is None else min(self._older, self._newer)
        return device_ns + best
