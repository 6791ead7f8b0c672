"""What a source is: an async producer of `HumanPose`, with states, counters and errors of its own."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from teleopd.drivers.human_pose import HumanPose, Skeleton


class SourceError(Exception):
    """Root of everything a driver raises. Raised at set-up only; a bad packet is counted, never raised."""


class SourceUnavailable(SourceError, ConnectionError):
    """The source cannot be opened: port in use, file missing ... says what would be right."""


class ProtocolError(SourceError, ValueError):
    """A packet that is not what the protocol says: raised by `wire.py`, caught and counted by `source.py`."""

    def __init__(self, reason: str, sentence: str | None = None) -> None:
        """A short reason to count by, and one sentence; one argument alone is the sentence, counted as malformed."""
        super().__init__(reason if sentence is None else sentence)
        self.reason = "malformed" if sentence is None else reason


STALE_PERIODS = 3
"""Frame periods without a new pose after which a source is STALE."""


class SourceState(enum.IntEnum):
    """Where a source stands; 'streaming' is never inferred from an object's existence."""

    CONNECTING = 0
    """Open, nothing heard yet."""
    STREAMING = 1
    """Frames arrive."""
    STALE = 2
    """Frames arrived before, none in the last `STALE_PERIODS` periods."""
    CLOSED = 3
    """Ended, by us or by the file's end."""


def state_of(*, is_open: bool, newest_ns: int | None, now_ns: int, hz: float) -> SourceState:
    """Where a source stands at `now_ns` whose newest pose came at `newest_ns` (None: none yet) at a rate of `hz`."""
    if not is_open:
        return SourceState.CLOSED
    if newest_ns is None:
        return SourceState.CONNECTING
    return SourceState.STREAMING if now_ns - newest_ns <= STALE_PERIODS * 1e9 / hz else SourceState.STALE


@dataclass(slots=True)
class SourceCounters:
    """What happened to the packets so far; shown in status, report and metrics."""

    received: int = 0
    """Datagrams or frames that arrived."""
    delivered: int = 0
    """Poses handed on."""
    lost: int = 0
    """Gaps in the source's own counter."""
    duplicated: int = 0
    reordered: int = 0
    """Older than one already delivered; dropped."""
    foreign: int = 0
    """From another sender than the bound one; dropped."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Reason -> packets that could not be decoded."""
    last_rejection: str = ""
    """The newest rejection as one sentence."""

    def reject(self, reason: str, sentence: str) -> None:
        """Count one packet that could not be used."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.last_rejection = sentence


class Source(Protocol):
    """An async producer of poses. Latest wins: a slow consumer gets the newest pose, never a queue."""

    name: str
    skeleton: Skeleton
    nominal_hz: float
    """Declared or measured frame rate [Hz]."""
    counters: SourceCounters

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""

    async def open(self) -> None:
        """Bind sockets or open files.

        Raises:
            SourceUnavailable: with one sentence saying what was wrong and what would be right.
        """

    def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed."""

    async def close(self) -> None:
        """Stop; safe to call twice."""
