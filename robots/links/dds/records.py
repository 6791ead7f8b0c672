"""Records of shared memory as messages of our own topics: the virtual robot's control and truth over the network."""

from __future__ import annotations

import struct
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.links.dds.cdr import HEADER
from teleopd.robots.links.dds.transport import Participant, Reader, Writer

CONTROL_TOPIC, TRUTH_TOPIC = "teleopd/virtual_control", "teleopd/virtual_truth"
T = TypeVar("T", bound=NamedTuple)
_FRAME = struct.Struct("<qI")
"""Schema, then the number of bytes that follow."""


class RecordCodec(Generic[T]):
    """One NamedTuple type as whole messages (header, schema, length, record)."""

    def __init__(self, codec: Codec[T]) -> None:
        self._codec = codec
        self._buffer = np.zeros(codec.size, dtype=np.uint8)
        self._views = codec.views(self._buffer)
        self._schema = int.from_bytes(codec.schema_hash.to_bytes(8, "little"), "little", signed=True)

    def encode(self, value: T) -> bytes:
        """The message."""
        self._codec.pack(value, self._views)
        return HEADER + _FRAME.pack(self._schema, self._codec.size) + self._buffer.tobytes()

    def decode(self, data: bytes) -> T | None:
        """The value, or None for a message of another version or length."""
        at = len(HEADER) + _FRAME.size
        if len(data) < at + self._codec.size or data[: len(HEADER)] != HEADER:
            return None
        if _FRAME.unpack_from(data, len(HEADER)) != (self._schema, self._codec.size):
            return None
        self._buffer[:] = np.frombuffer(data, np.uint8, self._codec.size, at)
        return self._codec.unpack(self._views)


class RecordTopic(Generic[T]):
    """One of our own topics in one direction."""

    def __init__(self, codec: Codec[T], participant: Participant, topic: str, *, writes: bool) -> None:
        self._codec = RecordCodec(codec)
        self._writer: Writer | None = participant.writer(topic, "ours", "Record_") if writes else None
        self._reader: Reader | None = None if writes else participant.reader(topic, "ours", "Record_")

    def write(self, value: T) -> None:
        """Send."""
        assert self._writer is not None
        self._writer.write(self._codec.encode(value))

    def take(self) -> list[T]:
        """What arrived and can be read, oldest first."""
        assert self._reader is not None
        return [value for data in self._reader.take() if (value := self._codec.decode(data)) is not None]

    @property
    def publishers(self) -> frozenset[str]:
        """Participants that write what is read here."""
        assert self._reader is not None
        return self._reader.publishers
