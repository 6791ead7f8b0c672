"""A motion file or a built-in motion as a live source: plays in real time, or answers for any time in lock step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np

from teleopd.drivers.human_pose import Array, HumanPose, Skeleton
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.motion_file.looping import Loop
from teleopd.drivers.source import SourceCounters, SourceState, state_of


class MotionFileSource:
    """Implements `Source`. Frames have absolute deadlines; a late consumer gets the newest, the rest count as lost."""

    def __init__(
        self,
        motion: str,
        *,
        lead_in_s: float = 0.0,
        lead_out_s: float = 0.0,
        loop: bool = False,
        unit_m: float | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Load the motion; clock and sleep are injected by tests.

        Args:
            motion: built-in name or BVH path.
            lead_in_s, lead_out_s: standing before and after [s], see `with_leads`.
            loop: again and again without a seam (`looping.py`), with `resets` increased where a travelling motion
                begins anew at the origin; otherwise the source closes at the end.
            unit_m: metres per unit of the BVH, where it is not that of its skeleton family.

        Raises:
            MotionFileError: the motion cannot be used.
        """
        self.clip: MotionClip = with_leads(load_motion(motion, unit_m=unit_m), lead_in_s, lead_out_s)
        self.name = f"motion file {self.clip.name}"
        self.skeleton: Skeleton = self.clip.skeleton
        self.nominal_hz: float = self.clip.fps
        self.counters = SourceCounters()
        self._loop = loop
        self._looped: tuple[MotionClip, Loop] | None = None
        self._quat: Array | None = None
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._open = False
        self._newest_ns: int | None = None

    @property
    def _laps(self) -> Loop | None:
        """The clip without a seam; None when it plays once."""
        if self._loop and (self._looped is None or self._looped[0] is not self.clip):
            self._looped = self.clip, Loop(self.clip)
        return self._looped[1] if self._looped is not None else None

    @property
    def state(self) -> SourceState:
        """CONNECTING once open, STREAMING, STALE when nobody took a frame for 3 periods, CLOSED before and after."""
        now_ns = self._clock_ns()
        return state_of(is_open=self._open, newest_ns=self._newest_ns, now_ns=now_ns, hz=self.clip.fps)

    async def open(self) -> None:
        """Start anew; the file was read at construction."""
        self._open = True
        self._newest_ns = None

    async def close(self) -> None:
        """Stop; safe to call twice."""
        self._open = False

    async def poses(self) -> AsyncIterator[HumanPose]:
        """Each frame at its time from now on; ends, and closes the source, after the last frame unless looping."""
        clip, start_ns, delivered = self.clip, self._clock_ns(), -1
        while self._open:
            now_ns = self._clock_ns()
            due = int((now_ns - start_ns) * clip.fps / 1e9 + 1e-6)
            if not self._loop:
                due = min(due, clip.frames - 1)
            if due > delivered:
                self.counters.received += due - delivered
                self.counters.lost += due - delivered - 1
                self.counters.delivered += 1
                delivered, self._newest_ns = due, now_ns
                yield self._frame(due, now_ns, start_ns + round(due * 1e9 / clip.fps))
            elif delivered == clip.frames - 1 and not self._loop:
                break
            deadline_ns = start_ns + round((delivered + 1) * 1e9 / clip.fps)
            await self._sleep(max(deadline_ns - self._clock_ns(), 0) / 1e9)
        self._open = False

    def frame_at(self, t_s: float, *, t_ns: int = 0) -> HumanPose:
        """The frame due t_s after the start, stamped t_ns: for lock step, without a clock."""
        count = max(int(t_s * self.clip.fps + 1e-6), 0)
        return self._frame(count if self._loop else min(count, self.clip.frames - 1), t_ns, t_ns)

    def _frame(self, count: int, t_ns: int, t_source_ns: int) -> HumanPose:
        """The count-th frame since the start."""
        if self._laps is None:
            return self.clip.pose(count, seq=count, t_ns=t_ns)._replace(t_source_ns=t_source_ns)
        pos, quat, resets = self._laps.frame(count)
        if self._quat is not None:  # keep to the hemisphere of the pose before, over the seam too
            quat = np.where(np.vecdot(quat, self._quat)[:, None] < 0.0, -quat, quat)
        self._quat = quat
        valid = np.ones(len(pos), dtype=np.bool_)
        return HumanPose(self.skeleton, count, t_ns, t_source_ns, pos, quat, valid, False, resets, frozenset())
