"""Device time -> this host's monotonic clock, by the smallest delay seen lately."""

from __future__ import annotations

DRIFT_NS = 10_000_000
"""Two echoes may differ by this more than their round trips explain: 100 s at 100 ppm [ns]."""


class ClockMap:
    """Minimum filter of (receive time - device time) over a sliding window.

    The least delayed packet of the window defines the offset, so a mapped time is never after its receipt, and the
    queueing of every other packet shows as age. The constant part of the delay cannot be known from one direction.
    Two half windows replace a list: constant memory, and a device clock that drifts slow is followed within one window.
    """

    def __init__(self, window_ns: int = 20_000_000_000) -> None:
        """`window_ns`: how long one lucky packet counts [ns]; at 50 ppm of drift, 20 s are 1 ms.

        Raises:
            ValueError: the window is shorter than 2 ns.
        """
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


class EchoClock:
    """Device time -> monotonic from echoes: the exchange with the shortest round trip of a sliding window counts.

    The device's stamp was taken somewhere between our sending and our receiving, so half the round trip bounds the
    error. Two half windows, as in `ClockMap`.
    """

    def __init__(self, window_ns: int = 60_000_000_000) -> None:
        """`window_ns`: how long one quick exchange counts [ns]; at 50 ppm of drift, 60 s are 3 ms.

        Raises:
            ValueError: the window is shorter than 2 ns.
        """
        if window_ns < 2:
            raise ValueError(f"clock window is {window_ns} ns; give at least 2")
        self._half_ns = window_ns // 2
        self.reset()

    def reset(self) -> None:
        """Forget every exchange: the device's clock restarted."""
        self._older: tuple[int, int] | None = None
        self._newer: tuple[int, int] | None = None
        self._turn_ns = 0

    @property
    def best(self) -> tuple[int, int] | None:
        """(round trip, monotonic minus device time) [ns] of the exchange that counts; None before the first."""
        if self._older is None or self._newer is None:
            return self._newer or self._older
        return _quicker(self._newer, self._older)

    def exchange(self, sent_ns: int, device_ns: int, received_ns: int) -> bool:
        """Take one echo; False, and all earlier ones forgotten, when it contradicts them: the device's clock jumped.

        `sent_ns`, `received_ns`: monotonic; `device_ns`: the device's stamp in between.
        """
        sample = received_ns - sent_ns, (sent_ns + received_ns) // 2 - device_ns
        before = self.best
        agrees = before is None or abs(sample[1] - before[1]) <= (sample[0] + before[0]) // 2 + DRIFT_NS
        if not agrees:
            self.reset()
        if self._newer is None:
            self._newer, self._turn_ns = sample, received_ns
        elif received_ns - self._turn_ns >= self._half_ns:
            stale = received_ns - self._turn_ns >= 2 * self._half_ns
            self._older, self._newer, self._turn_ns = None if stale else self._newer, sample, received_ns
        else:
            self._newer = _quicker(sample, self._newer)
        return agrees

    def to_monotonic(self, device_ns: int, now_ns: int) -> int | None:
        """Monotonic time [ns] of a device time [ns], at most `now_ns`; None before the first echo."""
        best = self.best
        return None if best is None else min(device_ns + best[1], now_ns)


def _quicker(newer: tuple[int, int], older: tuple[int, int]) -> tuple[int, int]:
    """Of two exchanges the one with the shorter round trip; the newer of two alike, for clocks drift."""
    return newer if newer[0] <= older[0] else older
