"""A bounded reader over one datagram: every count is checked against the bytes that are left before it is used."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from teleopd.drivers.natnet.messages import POINT, Records
from teleopd.drivers.source import ProtocolError

_I32 = struct.Struct("<i")
MAX_NAME = 256
"""Longest name read [B], as in the fixed fields of CONNECT."""


class Cursor:
    """Position in `data`; `limit` ends the section that is read."""

    __slots__ = ("at", "budget", "data", "limit")

    def __init__(self, data: bytes, at: int, budget: int) -> None:
        """`budget`: how many items may be walked one by one, so that no datagram costs more than milliseconds."""
        self.data = data
        self.at = at
        self.limit = len(data)
        self.budget = budget

    @property
    def left(self) -> int:
        """Bytes left in the section."""
        return self.limit - self.at

    def take(self, layout: struct.Struct) -> tuple[int | float, ...]:
        """Read one fixed layout.

        Raises:
            ProtocolError: truncated.
        """
        at = self.at
        end = at + layout.size
        if end > self.limit:
            raise self._short(end)
        self.at = end
        return layout.unpack_from(self.data, at)

    def i32(self) -> int:
        """Read an int32; raises ProtocolError: truncated."""
        at = self.at
        if at + 4 > self.limit:
            raise self._short(at + 4)
        self.at = at + 4
        value: int = _I32.unpack_from(self.data, at)[0]
        return value

    def count(self, smallest: int, what: str, *, walked: bool = True) -> int:
        """Read an int32 count of items of at least `smallest` bytes each.

        Raises:
            ProtocolError: truncated; wrong_count when negative or more than fit; too_many when the budget is spent.
        """
        count = self.i32()
        if not 0 <= count <= self.left // smallest:
            raise ProtocolError("wrong_count", f"{count} {what} are declared but {self.left} B are left for them")
        if walked:
            self.spend(count, what)
        return count

    def spend(self, items: int, what: str) -> None:
        """Charge so many items to the budget; raises ProtocolError: too_many when it is spent."""
        self.budget -= items
        if self.budget < 0:
            raise ProtocolError("too_many", f"{items} {what} are declared, more than a datagram may hold")

    def records(self, layout: np.dtype[np.void], count: int) -> Records:
        """View of `count` packed records; raises ProtocolError: truncated."""
        at = self.at
        end = at + count * layout.itemsize
        if end > self.limit:
            raise self._short(end)
        self.at = end
        return np.frombuffer(self.data, layout, count, at)

    def floats(self, count: int) -> npt.NDArray[np.float32]:
        """View of `count` float32; raises ProtocolError: truncated."""
        at = self.at
        end = at + 4 * count
        if end > self.limit:
            raise self._short(end)
        self.at = end
        return np.frombuffer(self.data, POINT, count, at)

    def points(self, what: str) -> npt.NDArray[np.float32]:
        """An int32 count and so many points [m], (n, 3); raises ProtocolError: truncated, wrong_count."""
        count = self.count(12, what, walked=False)
        return self.floats(3 * count).reshape(count, 3)

    def text(self) -> str:
        """Read a zero-terminated string.

        Raises:
            ProtocolError: bad_string when it does not end within `MAX_NAME` bytes.
        """
        at = self.at
        end = self.data.find(b"\0", at, min(self.limit, at + MAX_NAME))
        if end < 0:
            raise ProtocolError("bad_string", f"the name at byte {at} does not end within {min(self.left, MAX_NAME)} B")
        self.at = end + 1
        return self.data[at:end].decode("utf-8", "replace")

    def skip(self, size: int) -> None:
        """Pass over `size` bytes; raises ProtocolError: truncated."""
        if not 0 <= size <= self.left:
            raise self._short(self.at + size)
        self.at += size

    def enter(self, what: str) -> int:
        """Read an int32 size and confine reading to so many bytes; returns what `leave` needs.

        Raises:
            ProtocolError: truncated; section_size when there are not so many.
        """
        size = self.i32()
        if not 0 <= size <= self.left:
            raise ProtocolError("section_size", f"{what} declare {size} B but {self.left} B are left")
        outer, self.limit = self.limit, self.at + size
        return outer

    def leave(self, outer: int) -> None:
        """End behind the section, whatever was left unread in it."""
        self.at, self.limit = self.limit, outer

    def _short(self, end: int) -> ProtocolError:
        return ProtocolError("truncated", f"message ends at byte {self.limit}, {end} are needed")
