"""Latest value in shared memory under a sequence lock: one writer, any number of readers, nobody waits.

The writer makes the counter odd, copies, makes it even; a reader that saw an odd or changed counter tries again.
The tail counter says which value was complete last, so that a writer that died in the middle costs its readers nothing
but news. Between the steps stands `ordered`, which keeps aarch64 from reordering them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from teleopd.robots.ipc import futex
from teleopd.robots.ipc.codec import Codec, T
from teleopd.robots.ipc.segment import Segment, ordered

READ_TRIES = 64
"""A write takes under 5 us; a reader that loses this often faces a writer that died in the middle."""


class Slot(Generic[T]):
    """One latest-wins value of type T."""

    def __init__(self, segment: Segment, codec: Codec[T]) -> None:
        size = codec.size
        self._segment = segment
        self._codec = codec
        self._head = segment.data[:8].view(np.uint64)
        self._payload = segment.data[8 : 8 + size]
        self._tail = segment.data[-8:].view(np.uint64)
        self._tail_at: int = self._tail.ctypes.data
        self._out: npt.NDArray[np.uint8] = np.zeros(size, dtype=np.uint8)
        self._out_views: list[npt.NDArray[Any]] = codec.views(self._out)
        self._in: npt.NDArray[np.uint8] = np.zeros(size, dtype=np.uint8)
        self._in_views: list[npt.NDArray[Any]] = codec.views(self._in)
        self._last: T | None = None
        self._last_seq = 0

    @staticmethod
    def _bytes(codec: Codec[T]) -> int:
        return 8 + (codec.size + 7) // 8 * 8 + 8

    @classmethod
    def create(cls, path: Path, codec: Codec[T]) -> Slot[T]:
        """Create (or replace) the slot as its owner."""
        return cls(Segment.create(path, codec.schema_hash, cls._bytes(codec)), codec)

    @classmethod
    def attach(cls, path: Path, codec: Codec[T]) -> Slot[T]:
        """Open a slot that another process owns.

        Raises:
            SegmentMissing, SchemaMismatch: see `Segment.attach`.
        """
        return cls(Segment.attach(path, codec.schema_hash, cls._bytes(codec)), codec)

    @property
    def path(self) -> Path:
        return self._segment.path

    @property
    def seq(self) -> int:
        """Number of values written so far."""
        return int(self._tail[0]) // 2

    def write(self, value: T) -> int:
        """Publish `value`; returns its number, from 1. A value that does not fit raises and publishes nothing.

        The number goes on from whatever was written last, so that one writer may follow another.
        """
        self._codec.pack(value, self._out_views)
        count = int(self._tail[0]) // 2 + 1
        self._head[0] = 2 * count - 1
        ordered()
        self._payload[:] = self._out
        ordered()
        self._tail[0] = 2 * count
        self._head[0] = 2 * count
        return count

    def read(self) -> T | None:
        """Newest value, or None before the first write. Returns the same object while nothing new was written."""
        for _ in range(READ_TRIES):
            tail = int(self._tail[0])
            if tail == self._last_seq:  # nothing newer is complete, even if a writer is at work or died at it
                return self._last
            ordered()
            self._in[:] = self._payload
            ordered()
            if int(self._head[0]) == tail:
                self._last = self._codec.unpack(self._in_views)
                self._last_seq = tail
                return self._last
        return self._last

    def wait(self, deadline_ns: int) -> bool:
        """Sleep until something newer than what was read last is complete; False: there is none at the deadline.

        `deadline_ns` is of `time.monotonic_ns`. Only a writer that calls `wake` is noticed before it.
        """
        if int(self._tail[0]) == self._last_seq:
            futex.wait(self._tail_at, self._last_seq, deadline_ns)
        return int(self._tail[0]) != self._last_seq

    def wake(self) -> None:
        """Wake who waits for what was written."""
        futex.wake(self._tail_at)

    def unlink(self) -> None:
        """Remove the slot's name from the system."""
        self._segment.unlink()
