"""A source whose every packet is recorded on its way in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

from teleopd.drivers.human_pose import HumanPose, Skeleton
from teleopd.drivers.source import Source, SourceCounters, SourceState, SourceUnavailable
from teleopd.drivers.tap.writer import TapWriter
from teleopd.drivers.udp import Tap


@runtime_checkable
class Recordable(Protocol):
    """A source that can show what arrives before it judges it."""

    def record(self, tap: Tap) -> None:
        """Show every packet to `tap` first."""


class TappedSource:
    """Implements `Source` by the one it wraps; the tap is closed after it."""

    def __init__(self, source: Source, writer: TapWriter) -> None:
        """Raises SourceUnavailable for a source that receives no packets."""
        check_recordable(source, source.name)
        assert isinstance(source, Recordable)
        self.source = source
        self.writer = writer
        source.record(writer.take)

    @property
    def name(self) -> str:
        """Of the source."""
        return self.source.name

    @property
    def skeleton(self) -> Skeleton:
        """Of the source."""
        return self.source.skeleton

    @property
    def nominal_hz(self) -> float:
        """Of the source [Hz]."""
        return self.source.nominal_hz

    @property
    def counters(self) -> SourceCounters:
        """Of the source; the tap's own trouble shows as the newest rejection."""
        return self.source.counters

    @property
    def state(self) -> SourceState:
        """Of the source."""
        return self.source.state

    def __getattr__(self, name: str) -> Any:
        """Whatever else the source offers."""
        return getattr(self.source, name)

    async def open(self) -> None:
        """Open the source; raises SourceUnavailable as it does."""
        try:
            await self.source.open()
        except BaseException:
            self.writer.close()
            raise

    def poses(self) -> AsyncIterator[HumanPose]:
        """The source's."""
        return self.source.poses()

    async def close(self) -> None:
        """Close source and tap; safe to call twice."""
        await self.source.close()
        self.writer.close()


def check_recordable(source: Any, name: str) -> None:
    """Refuse a source, or a class of sources, that receives no packets.

    Raises:
        SourceUnavailable: with one sentence.
    """
    if not hasattr(source, "record"):
        raise SourceUnavailable(f"source {name} receives no packets that a tap could record")
