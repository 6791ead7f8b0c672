"""The checksum at the end of Unitree's low-level messages.

CRC-32 with polynomial 0x04C11DB7, start value 0xFFFFFFFF, no reflection and no final inversion, over the little-endian
32-bit words of the vendor's C struct, most significant bit of each word first. The struct has padding that the message
on the wire (CDR) has not; the padding counts as zero bytes. A robot drops a command with a wrong checksum silently.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

_REVERSE = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
"""Each byte with its bits in reverse order."""


def crc32(words: bytes | bytearray) -> int:
    """Checksum of whole little-endian words.

    zlib computes the reflected form: fed with bit-reversed bytes in big-endian order, and its result reversed and
    inverted back, it gives this one.

    Raises:
        ValueError: not a whole number of words.
    """
    if len(words) % 4:
        raise ValueError(f"{len(words)} bytes are not a whole number of 4-byte words")
    return _of_swapped(np.frombuffer(words, "<u4").byteswap().tobytes())


def _of_swapped(big_endian: bytes | bytearray) -> int:
    reflected = zlib.crc32(big_endian.translate(_REVERSE)) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSE), "big")


Body = bytes | bytearray | memoryview


class StructCrc:
    """CRC of a CDR body, which is of its C struct: in it motor 0's mode byte lies farther on and is padded."""

    def __init__(self, first: int, gap: int, end: int) -> None:
        """`first`: where that byte lies in the body; in the struct `gap` bytes later. `end`: start of the crc field."""
        self._first, self._gap, self._end = first, gap, end
        self._resume = (first + 4) & ~3
        """Where body and struct run together again."""

    def __call__(self, body: Body) -> int:
        """From any thread."""
        first = self._first
        return crc32(b"".join(
            (body[:first], b"\0" * self._gap, body[first : first + 1], b"\0" * 3, body[self._resume : self._end])
        ))  # fmt: skip

    def reusing(self) -> Callable[[Body], int]:
        """The same in arrays made once, for one thread: a third cheaper in the loop, where every new array is cold."""
        first, mode, resume, end = self._first, self._first + self._gap, self._resume, self._end
        struct = bytearray(mode + 4 + end - resume)
        swapped = bytearray(len(struct))
        words, big_endian = np.frombuffer(struct, "<u4"), np.frombuffer(swapped, ">u4")

        def crc(body: Body) -> int:
            struct[:first], struct[mode], struct[mode + 4 :] = body[:first], body[first], body[resume:end]
            big_endian[:] = words
            return _of_swapped(swapped)

        return crc


hg_low_cmd = StructCrc(2, 2, 996)
"""Checksum of a CDR body of 1000 bytes without its encapsulation header."""
hg_low_state = StructCrc(70, 2, 2084)
"""Checksum of a CDR body of 2088 bytes."""
go_low_cmd = StructCrc(22, 2, 804)
"""Checksum of a CDR body of 808 bytes."""
go_low_state = StructCrc(77, 3, 1172)
"""Checksum of a CDR body of 1176 bytes."""
