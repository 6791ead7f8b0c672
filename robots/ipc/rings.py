"""Bounded ring in shared memory for recording: one writer that never waits, one reader that drains.

A full ring drops the newest value and counts it; the writer's cost does not depend on the reader.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from teleopd.robots.ipc.codec import Codec, T
from teleopd.robots.ipc.segment import Segment, ordered


class Ring(Generic[T]):
    """`capacity` records of type T between one writer and one reader."""

    def __init__(self, segment: Segment, codec: Codec[T], capacity: int) -> None:
        counters = segment.data[:24].view(np.uint64)
        self._segment = segment
        self._codec = codec
        self._capacity = capacity
        self._written = counters[0:1]
        self._read = counters[1:2]
        self._dropped = counters[2:3]
        self._records = segment.data[64 : 64 + capacity * codec.size]
        self._scratch: npt.NDArray[np.uint8] = np.zeros(codec.size, dtype=np.uint8)
        self._views: list[npt.NDArray[Any]] = codec.views(self._scratch)

    @staticmethod
    def _bytes(codec: Codec[T], capacity: int) -> int:
        return 64 + capacity * codec.size

    @classmethod
    def create(cls, path: Path, codec: Codec[T], capacity: int) -> Ring[T]:
        """Create (or replace) the ring as its owner.

        Raises:
            ValueError: the capacity is not positive.
        """
        if capacity <= 0:
            raise ValueError(f"ring capacity is {capacity}; it must be positive")
        return cls(Segment.create(path, codec.schema_hash, cls._bytes(codec, capacity)), codec, capacity)

    @classmethod
    def attach(cls, path: Path, codec: Codec[T], capacity: int) -> Ring[T]:
        """Open a ring that another process created, with the same capacity."""
        return cls(Segment.attach(path, codec.schema_hash, cls._bytes(codec, capacity)), codec, capacity)

    @property
    def path(self) -> Path:
        return self._segment.path

    @property
    def dropped(self) -> int:
        """Values lost because the reader was behind."""
        return int(self._dropped[0])

    def push(self, value: T) -> bool:
        """Append `value`; False (and counted) when the ring is full."""
        written = int(self._written[0])
        if written - int(self._read[0]) >= self._capacity:
            self._dropped[0] += np.uint64(1)
            return False
        self._codec.pack(value, self._views)
        at = (written % self._capacity) * self._codec.size
        self._records[at : at + self._codec.size] = self._scratch
        ordered()
        self._written[0] = written + 1
        return True

    def drain(self) -> npt.NDArray[Any]:
        """All records not read yet, oldest first, as a structured array of the codec's dtype."""
        written, read = int(self._written[0]), int(self._read[0])
        count = written - read
        if count == 0:
            return np.empty(0, dtype=self._codec.dtype)
        ordered()
        records = self._records.view(self._codec.dtype)
        taken = records[np.arange(read, written) % self._capacity]
        ordered()
        self._read[0] = written
        return taken

    def unlink(self) -> None:
        """Remove the ring's name from the system."""
        self._segment.unlink()
