"""Does a frame bring a new body? Judged by the joints' own time, because the frame's stamp is always fresh. Pure.

The headset app reuses its message: when body tracking stops, the last joints keep coming in frames with a running
`timeStampNs`. Only the joints' `t` tells.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

STALE_NS = 100_000_000
"""A body that has not advanced for so long stands still; nine frames at 90 Hz, and as long as HOLD may take."""


class BodyState(enum.Enum):
    """What a frame's body is."""

    NEW = enum.auto()
    RESTARTED = enum.auto()
    """New, and its clock went back: body tracking began anew."""
    REPEATED = enum.auto()
    """The one before, as when the body is sampled less often than frames are sent."""
    STALE = enum.auto()
    """The one before, for longer than `STALE_NS`."""


class BodyTime:
    """Follows the newest joint time; where the app sends none (all 0), the joints' own text."""

    def __init__(self) -> None:
        self._time: float = 0
        self._content: tuple[str, ...] = ()
        self._changed_ns: int | None = None

    def judge(self, times: Sequence[float], content: Sequence[str], now_ns: int) -> BodyState:
        """State of a body with these joint times and pose strings, received at `now_ns`."""
        newest = max(times)
        first, before = self._changed_ns is None, self._time
        if newest or before:
            fresh = newest != before
        else:
            fresh = tuple(content) != self._content
            self._content = tuple(content)
        if first or fresh:
            self._time, self._changed_ns = newest, now_ns
            return BodyState.RESTARTED if newest < before and not first else BodyState.NEW
        assert self._changed_ns is not None
        return BodyState.STALE if now_ns - self._changed_ns > STALE_NS else BodyState.REPEATED
