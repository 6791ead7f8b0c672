"""Where a frame stands by the headset's clock: next, repeated, late, or first after the clock was set. Pure.

The wire has no counter. A frame's stamp is the headset's wall clock, which a time service may set at any moment; that
is no motion, so it only makes the clock map begin anew.
"""

from __future__ import annotations

from collections import deque

from teleopd.drivers.sequence import Order

BACK_NS = 200_000_000
"""A frame that much older than the newest is no late one: nothing holds a frame so long in front of others."""
RESTART_RUN = 5
"""So many older frames in a row, each newer than the one before, are a clock set back a little."""
APART_NS = 1_000_000_000
"""A clock ahead by so much against the receiver's was set forward."""
BEHIND_FOR_NS = 1_000_000_000
"""A clock behind for so long was set back; frames held up by the network are through in less."""
GAPS = 31
"""Gaps whose median is the period: half of them may be losses."""
LOSS_WITHIN_NS = 1_000_000_000
"""A longer gap is a pause."""


class StampOrder:
    """Judges frames by their stamps [ns] and estimates how many never came, from the gaps between the others."""

    def __init__(self) -> None:
        self.lost = 0
        """Estimated: gaps in device time over the usual gap, less the late frames that filled one."""
        self._newest: int | None = None
        self._newest_ns = 0
        self._gaps: deque[int] = deque(maxlen=GAPS)
        self._run, self._run_newest = 0, 0
        self._offset_ns = 0
        self._behind_since_ns: int | None = None
        self._away = False

    def paused(self) -> None:
        """The device was away: what it did not send was not lost."""
        self._away = True

    def judge(self, stamp_ns: int, now_ns: int) -> Order:
        """Order of the frame with this stamp, received at `now_ns`; RESTART means that the headset's clock was set."""
        if self._newest is None:
            return self._use(stamp_ns, now_ns, Order.NEXT)
        ahead, passed = stamp_ns - self._newest, now_ns - self._newest_ns
        if ahead == 0:
            return Order.DUPLICATE
        if ahead < 0:
            if ahead <= -BACK_NS or self._is_run(stamp_ns):
                return self._use(stamp_ns, now_ns, Order.RESTART)
            self.lost = max(0, self.lost - 1)
            return Order.REORDERED
        if ahead - passed > APART_NS and now_ns - stamp_ns < self._offset_ns - APART_NS:
            return self._use(stamp_ns, now_ns, Order.RESTART)
        if self._is_behind(stamp_ns, now_ns):
            return self._use(stamp_ns, now_ns, Order.RESTART)
        if not self._away:
            self._count_lost(ahead)
        return self._use(stamp_ns, now_ns, Order.NEXT)

    def _is_run(self, stamp_ns: int) -> bool:
        """Late frames come one at a time between new ones; a clock set back gives nothing but older ones."""
        self._run = self._run + 1 if self._run and stamp_ns > self._run_newest else 1
        self._run_newest = stamp_ns
        return self._run >= RESTART_RUN

    def _is_behind(self, stamp_ns: int, now_ns: int) -> bool:
        if now_ns - stamp_ns - self._offset_ns <= APART_NS:
            self._behind_since_ns = None
        elif self._behind_since_ns is None:
            self._behind_since_ns = now_ns
        return self._behind_since_ns is not None and now_ns - self._behind_since_ns > BEHIND_FOR_NS

    def _count_lost(self, gap_ns: int) -> None:
        if gap_ns < LOSS_WITHIN_NS and len(self._gaps) == GAPS:
            period_ns = sorted(self._gaps)[GAPS // 2]
            self.lost += max(0, round(gap_ns / period_ns) - 1)
        if gap_ns < LOSS_WITHIN_NS:
            self._gaps.append(gap_ns)

    def _use(self, stamp_ns: int, now_ns: int, order: Order) -> Order:
        offset_ns = now_ns - stamp_ns
        first = self._newest is None or order is Order.RESTART
        self._offset_ns = offset_ns if first else min(self._offset_ns, offset_ns)
        self._newest, self._newest_ns, self._run, self._away = stamp_ns, now_ns, 0, False
        if first:
            self._behind_since_ns = None
        return order
