"""How long messages are on the way, from the sender's own stamps: a queue in the network is noticed without a common
clock, where the time of receipt would call old news fresh."""

from __future__ import annotations

WINDOW_US = 10_000_000
"""The quickest message of the last one to two windows tells the difference of the clocks; drift in between is small."""
LATE_US = 100_000
"""Longer than the quickest by this much: too old to act on. As the ceiling of a source's staleness."""


class DelayWatch:
    """Judges the messages of one sender; times are of its clock and of ours [us]."""

    def __init__(self, late_us: int = LATE_US) -> None:
        self._late_us = late_us
        self._window = 0
        self._least: list[int | None] = [None, None]
        self._last_us: int | None = None

    def accepts(self, sent_us: int, received_us: int) -> bool:
        """Whether this message is newer than the last one accepted, and was not under way for too long."""
        if self._last_us is not None and sent_us <= self._last_us:
            return False
        window = received_us // WINDOW_US
        if window != self._window:
            self._least = [self._least[1] if window == self._window + 1 else None, None]
            self._window = window
        offset = received_us - sent_us
        known = [least for least in (*self._least, offset) if least is not None]
        self._least[1] = offset if self._least[1] is None else min(self._least[1], offset)
        if offset - min(known) > self._late_us:
            return False
        self._last_us = sent_us
        return True
