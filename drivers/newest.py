"""The one pose a consumer has not read yet: a newer one takes its place, so that a slow consumer never falls behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.source import SourceCounters

SETTLE_S = 0.002
"""So long a pose that was held up waits for the newest of those right behind it [s]."""


class NewestPose:
    """Between a driver that receives and the one consumer of its `poses()`."""

    def __init__(self, counters: SourceCounters, held_up_ns: int | None = None) -> None:
        """
        Args:
            counters: where a pose that was handed on is counted as delivered.
            held_up_ns: a pose received so much later than the least delayed ones was held up, and over TCP more are
                right behind it [ns]; None: datagrams, which do not wait for one another.
        """
        self._counters, self._held_up_ns = counters, held_up_ns
        self._pose: HumanPose | None = None
        self._fresh = asyncio.Event()
        self.is_open = False

    @property
    def pending(self) -> HumanPose | None:
        """What was not read yet."""
        return self._pose

    def put(self, pose: HumanPose) -> None:
        """A new pose, instead of one that waits. A press that began and ended between two reads still has to be seen:
        it may be the soft stop."""
        unread = self._pose.buttons if self._pose is not None else frozenset()
        self._pose = pose._replace(buttons=pose.buttons | unread) if unread else pose
        self._fresh.set()

    def take(self) -> HumanPose | None:
        """What was not read yet, once."""
        pose, self._pose = self._pose, None
        return pose

    def begin(self) -> None:
        """`poses()` has something to wait for."""
        self.is_open = True

    def end(self) -> None:
        """End `poses()`."""
        self.is_open = False
        self._fresh.set()

    async def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until `end`. One consumer."""
        while self.is_open:
            await self._fresh.wait()
            self._fresh.clear()
            if self.is_open and self._was_held_up():
                await asyncio.sleep(SETTLE_S)
                self._fresh.clear()
            pose = self.take()
            if self.is_open and pose is not None:
                self._counters.delivered += 1
                yield pose

    def _was_held_up(self) -> bool:
        pose, most_ns = self._pose, self._held_up_ns
        return pose is not None and most_ns is not None and pose.t_ns - pose.t_source_ns > most_ns
