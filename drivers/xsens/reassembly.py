"""Samples split over several datagrams, put together by (character, sample counter) and index; bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.xsens.wire import MAX_ITEMS, Header

MAX_PENDING = 4
"""Samples under assembly at once; parts of one sample arrive back to back, so more are lost ones."""


@dataclass(slots=True)
class _Pending:
    parts: dict[int, bytes] = field(default_factory=dict)
    items: int = 0
    last: int | None = None


class Reassembler:
    """Holds the parts of at most `MAX_PENDING` samples of at most `MAX_ITEMS` segments each."""

    def __init__(self) -> None:
        self.incomplete = 0
        """Samples given up because parts never came."""
        self._pending: dict[tuple[int, int], _Pending] = {}

    def add(self, header: Header, payload: memoryview) -> bytes | memoryview | None:
        """The whole sample's payload once its last missing part is here, else None. A repeated part changes nothing.

        Raises:
            ProtocolError: wrong_count, when the parts of a sample contradict each other; the sample is dropped.
        """
        if header.last and header.part == 0:
            return payload
        key = (header.character, header.sample)
        sample = self._pending.get(key)
        if sample is None:
            sample = self._begin(key)
        if header.part in sample.parts:
            return None
        sample.parts[header.part] = bytes(payload)
        sample.items += header.items
        if header.last:
            contradicts = sample.last is not None or max(sample.parts) > header.part
            sample.last = header.part
        else:
            contradicts = sample.last is not None and header.part > sample.last
        if contradicts or sample.items > MAX_ITEMS:
            del self._pending[key]
            raise ProtocolError("wrong_count", f"parts of sample {header.sample} do not fit together")
        if sample.last is None or len(sample.parts) <= sample.last:
            return None
        del self._pending[key]
        return b"".join(sample.parts[index] for index in range(sample.last + 1))

    def clear(self) -> None:
        """Forget every part: the sender started anew."""
        self._pending.clear()

    def _begin(self, key: tuple[int, int]) -> _Pending:
        if len(self._pending) >= MAX_PENDING:
            del self._pending[next(iter(self._pending))]
            self.incomplete += 1
        sample = self._pending[key] = _Pending()
        return sample
