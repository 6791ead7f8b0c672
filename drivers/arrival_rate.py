"""How often a source's frames arrive; time passed in."""

from __future__ import annotations

from collections import deque

FRAMES = 300
"""Arrivals the rate is taken over: 5 s at 60 Hz."""
AFTER_NS = 250_000_000
"""Shortest span a rate is measured on [ns]."""
PAUSE_NS = 500_000_000
"""A longer silence is a pause, and its length no part of the rate."""


class ArrivalRate:
    """Measures a rate over the newest arrivals; the declared one counts until then."""

    def __init__(self, declared_hz: float) -> None:
        self.hz = declared_hz
        """Declared, then measured [Hz]."""
        self._arrivals: deque[int] = deque(maxlen=FRAMES)

    @property
    def newest_ns(self) -> int | None:
        """Receive time of the newest frame; None before the first."""
        return self._arrivals[-1] if self._arrivals else None

    def paused(self, now_ns: int) -> bool:
        """There was a frame, and none for longer than `PAUSE_NS`."""
        return bool(self._arrivals) and now_ns - self._arrivals[-1] > PAUSE_NS

    def arrived(self, now_ns: int) -> None:
        """Count one frame."""
        if self.paused(now_ns):
            self._arrivals.clear()
        self._arrivals.append(now_ns)
        span_ns = now_ns - self._arrivals[0]
        if span_ns >= AFTER_NS:
            self.hz = (len(self._arrivals) - 1) * 1e9 / span_ns
