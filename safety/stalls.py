"""Ages that do not hold this host's own stalls against anybody.

When the whole host stops for a moment (suspended virtual machine, starved scheduler), the robot, the policy and the
source stopped with it or could not be heard: on waking, every stamp looks old. Rule: the time in which robot-io itself
did not run is subtracted from every age that spans it, so that the others get as long after the stall as they had
before it. Only a bounded part of any second is excused: a host that is always late excuses nothing.
"""

from __future__ import annotations

from collections import deque

from teleopd.safety.thresholds import Thresholds

FUTURE_NS = 50_000_000
"""A stamp further ahead of now than this is not from this clock."""
NEVER_NS = 1 << 62
"""Age of what never arrived, or whose stamp makes no sense."""
_WINDOW_NS = 1_000_000_000


class Stalls:
    """The stalls of the last second."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._shortest_ns = thresholds.ns("own_lateness")
        self._budget_ns = thresholds.ns("stall_budget")
        self._excused: deque[tuple[int, int]] = deque(maxlen=64)

    def note(self, stall_ns: int, now_ns: int) -> bool:
        """This loop did not run for `stall_ns` before now; True when that is a stall worth the name."""
        while self._excused and now_ns - self._excused[0][1] > _WINDOW_NS:
            self._excused.popleft()
        if stall_ns <= self._shortest_ns:
            return False
        left_ns = self._budget_ns - sum(end - start for start, end in self._excused)
        excused_ns = min(stall_ns, left_ns)
        if excused_ns > 0:
            self._excused.append((now_ns - excused_ns, now_ns))
        return True

    def age_ns(self, stamp_ns: int, now_ns: int) -> int:
        """Age of a stamp without the excused stalls; `NEVER_NS` for a stamp of 0 or from the future."""
        age = now_ns - stamp_ns
        if stamp_ns <= 0 or age < -FUTURE_NS:
            return NEVER_NS
        for start, end in self._excused:
            first, last = max(start, stamp_ns), min(end, now_ns)
            if last > first:
                age -= last - first
        return max(age, 0)
