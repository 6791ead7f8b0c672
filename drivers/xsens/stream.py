"""Datagrams one after another in a byte stream (TCP), cut by their length fields; bounded memory. Pure."""

from __future__ import annotations

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.xsens.wire import HEADER_SIZE, datagram_size

_MAGIC = b"MXTP"


class StreamFramer:
    """Takes bytes in any pieces. What is no datagram is skipped to the next one and reported once."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._lost = False

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes | ProtocolError]:
        """Whole datagrams that these bytes complete, in order, and why bytes between them had to be skipped."""
        held, found, at = self._bytes, list[bytes | ProtocolError](), 0
        held += data
        while len(held) - at >= HEADER_SIZE:
            try:
                size = datagram_size(held[at : at + HEADER_SIZE])
            except ProtocolError as error:
                if not self._lost:
                    found.append(error)
                self._lost = True
                at = _next_magic(held, at + 1)
                continue
            if len(held) - at < size:
                break
            found.append(bytes(held[at : at + size]))
            self._lost = False
            at += size
        del held[:at]
        return found


def _next_magic(held: bytearray, start: int) -> int:
    """Where the next datagram may begin; the last three bytes could be the beginning of one."""
    at = held.find(_MAGIC, start)
    return at if at >= 0 else max(start, len(held) - len(_MAGIC) + 1)
