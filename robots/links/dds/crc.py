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
    swapped = np.frombuffer(words, "<u4").byteswap().tobytes()
    reflected = zlib.crc32(swapped.translate(_REVERSE)) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSE), "big")


def _padded(first: int, gap: int, end: int) -> Callable[[bytes | bytearray | memoryview], int]:
    """CRC of a CDR body: motor 0's mode byte lies at `first`, in the struct `gap` bytes later and padded to a word.

    `end` is where the crc field of the body starts.
    """
    head, after = b"\0" * gap, b"\0" * 3
    resume = (first + 4) & ~3

    def crc(body: bytes | bytearray | memoryview) -> int:
        return crc32(b"".join((body[:first], head, body[first : first + 1], after, body[resume:end])))

    return crc


hg_low_cmd = _padded(2, 2, 996)
"""Checksum of a CDR body of 1000 bytes without its encapsulation header."""
hg_low_state = _padded(70, 2, 2084)
"""Checksum of a CDR body of 2088 bytes."""
go_low_cmd = _padded(22, 2, 804)
"""Checksum of a CDR body of 808 bytes."""
go_low_state = _padded(77, 3, 1172)
"""Checksum of a CDR body of 1176 bytes."""
