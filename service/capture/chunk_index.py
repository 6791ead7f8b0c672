"""The index of a recording in a quarter of its memory: a recorder that runs for hours hardly grows.

An MCAP writer keeps an entry for each chunk until the end of the file, and a recorder closes ten chunks a second.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from mcap.records import ChunkIndex


class PackedIndex:
    """A `ChunkIndex` as bytes; it writes what the original would have written."""

    __slots__ = ("_compression", "_numbers")

    def __init__(self, index: ChunkIndex) -> None:
        self._compression = index.compression
        self._numbers = np.array([
            index.message_start_time, index.message_end_time, index.chunk_start_offset, index.chunk_length,
            index.message_index_length, index.compressed_size, index.uncompressed_size,
            *chain.from_iterable(index.message_index_offsets.items()),
        ], dtype=np.uint64).tobytes()  # fmt: skip

    def unpacked(self) -> ChunkIndex:
        """The original."""
        start, end, offset, length, index_length, compressed, uncompressed, *offsets = np.frombuffer(
            self._numbers, dtype=np.uint64
        ).tolist()
        return ChunkIndex(
            message_start_time=start, message_end_time=end, chunk_start_offset=offset, chunk_length=length,
            message_index_offsets=dict(zip(offsets[::2], offsets[1::2], strict=True)),
            message_index_length=index_length, compression=self._compression, compressed_size=compressed,
            uncompressed_size=uncompressed,
        )  # fmt: skip

    def write(self, builder: Any) -> None:
        """As of `ChunkIndex`."""
        self.unpacked().write(builder)


def pack_newest(writer: Any) -> None:
    """Pack the entries that a `mcap.writer.Writer` has made since the last call; nothing where it keeps none."""
    entries: list[Any] = getattr(writer, "_Writer__chunk_indices", [])
    for at in range(len(entries) - 1, -1, -1):
        if isinstance(entries[at], PackedIndex):
            return
        entries[at] = PackedIndex(entries[at])
