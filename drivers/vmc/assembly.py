"""Bones that arrive in several datagrams -> whole frames. Pure; time passed in.

The protocol numbers no frames and marks no end of one. A frame is whole when every bone of the frames before it has
arrived; it ends without being whole when a bone comes again, or when nothing came for half a period.
"""

from __future__ import annotations

from collections.abc import Mapping

from teleopd.drivers.vmc.wire import Transform

MAX_BONES = 128
"""Kept in one frame; a humanoid has 55 and a root."""
MAX_DATAGRAMS = 64
"""Of one frame that are told from repeated ones; as many bones, sent one by one."""
SHRINK_AFTER = 10
"""So many frames in a row with the same bones missing, and they are no longer waited for."""
PAUSE_SHARE = 0.5
"""Datagrams of one frame leave together; after this share of a period the next one belongs to another."""


class FrameAssembler:
    """Collects one frame at a time."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames begun and ended, whole or not."""
        self.incomplete = 0
        """Of them, those that were not whole."""
        self.duplicated = 0
        """Datagrams that repeated one of their own frame."""
        self._expected: frozenset[str] = frozenset()
        self._pending: dict[str, Transform] = {}
        self._raw: set[int] = set()
        self._newest_ns = 0
        self._short: frozenset[str] = frozenset()
        self._short_run = 0

    def clear(self) -> None:
        """Forget the bones: another sender."""
        self._expected = frozenset()
        self._pending = {}
        self._raw.clear()

    def add(
        self, transforms: Mapping[str, Transform], raw: bytes, now_ns: int, period_ns: float
    ) -> dict[str, Transform] | None:
        """Take one datagram's bones; the frame that they made whole, or None.

        `raw`: its bytes, by which a repeated datagram is known; `period_ns`: the frame period as far as known.
        """
        if now_ns - self._newest_ns > PAUSE_SHARE * period_ns:
            self._end()
            self._raw.clear()
        self._newest_ns = now_ns
        known = hash(raw)
        if known in self._raw:
            self.duplicated += 1
            return None
        if not self._pending.keys().isdisjoint(transforms):
            self._end()
            self._raw.clear()
        if len(self._raw) >= MAX_DATAGRAMS:
            self._raw.clear()
        self._raw.add(known)
        self._pending.update(transforms)
        if len(self._pending) > MAX_BONES:
            self._end()
            return None
        if not self._expected:
            return None
        if not self._expected.issuperset(self._pending):
            self._expected |= self._pending.keys()
        if len(self._pending) < len(self._expected):
            return None
        whole, self._pending = self._pending, {}
        self.frames += 1
        self._short_run = 0
        return whole

    def _end(self) -> None:
        """The pending frame will not become whole."""
        if not self._pending:
            return
        bones, self._pending = frozenset(self._pending), {}
        self.frames += 1
        if not self._expected:  # the first: from it the others are known
            self._expected = bones if len(bones) <= MAX_BONES else frozenset()
            return
        self.incomplete += 1
        self._short_run = self._short_run + 1 if bones == self._short else 1
        self._short = bones
        if self._short_run >= SHRINK_AFTER:
            self._expected, self._short_run = bones, 0
