"""An emulated device's frames at absolute deadlines, each leaving when the fault plan says."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable


class Pacer:
    """Calls for frames on time and sends what is on its way; a deadline missed by a whole period is skipped."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.skipped = 0
        """Frames whose deadline had passed by a whole period."""
        self._send = send
        self._on_the_way: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()

    def leave(self, at_ns: int, datagram: bytes) -> None:
        """Have a datagram sent at `at_ns` [monotonic]."""
        heapq.heappush(self._on_the_way, (at_ns, next(self._order), datagram))

    async def play(
        self,
        frames: int,
        fps: float,
        emit: Callable[[int, int], None],
        *,
        seconds: float | None,
        loop: bool,
        progress: Callable[[float], None] | None,
    ) -> None:
        """Call `emit(running frame number, deadline [ns])` for a clip once, or again and again, for at most `seconds`.

        `progress` hears the stream time [s].
        """
        total = frames if seconds is None else round(seconds * fps)
        if not loop:
            total = min(total, frames)
        elif seconds is None:
            total = 1 << 62
        period_ns, start_ns, frame = 1e9 / fps, time.monotonic_ns(), 0
        while frame < total:
            due_ns = start_ns + int(frame * period_ns)
            await self._sleep_until(due_ns)
            late = min(int((time.monotonic_ns() - due_ns) / period_ns), total - 1 - frame)
            self.skipped += late
            frame += late
            emit(frame, start_ns + int(frame * period_ns))
            self._send_due(time.monotonic_ns())
            frame += 1
            if progress is not None:
                progress(frame / fps)
        while self._on_the_way:
            await self._sleep_until(self._on_the_way[0][0])

    async def _sleep_until(self, due_ns: int) -> None:
        """Sleep to a deadline, sending what leaves before it."""
        while True:
            now_ns = time.monotonic_ns()
            self._send_due(now_ns)
            if now_ns >= due_ns:
                return
            next_ns = min(due_ns, self._on_the_way[0][0]) if self._on_the_way else due_ns
            await asyncio.sleep(max(0, next_ns - now_ns) / 1e9)

    def _send_due(self, now_ns: int) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= now_ns:
            self._send(heapq.heappop(self._on_the_way)[2])
