"""The hand of whoever runs a virtual robot: gantry, pushes, reset; and the view of what really happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from teleopd.robots.links.sim.wire import GantryMode, VirtualControl, VirtualTruth
from teleopd.robots.model import Array


class VirtualHand(ABC):
    """What can be done with a virtual robot, on whichever transport it is reached."""

    @abstractmethod
    def truth(self) -> VirtualTruth | None:
        """The newest truth, or None before the first."""

    @abstractmethod
    def is_virtual(self, now_ns: int) -> bool:
        """Whether the robot of this link has lately proved that it is a virtual one."""

    def objection(self, now_ns: int) -> str:
        """Why the robot is not taken for a virtual one, as the middle of a sentence; empty when it is."""
        return "" if self.is_virtual(now_ns) else "the robot has not shown that it is virtual"

    def close(self) -> None:  # noqa: B027  (nothing to let go on most transports)
        """Let go of the transport; safe to call twice."""

    @abstractmethod
    def _wanted(self) -> VirtualControl:
        """What was wanted last."""

    @abstractmethod
    def _want(self, control: VirtualControl) -> None:
        """Say what is wanted now."""

    def _change(self, **changes: Any) -> None:
        wanted = self._wanted()
        self._want(wanted._replace(seq=wanted.seq + 1, **changes))

    def hang(self) -> None:
        """Let the gantry pick the robot up where it is."""
        self._change(gantry=int(GantryMode.HANG))

    def lower(self, seconds: float) -> None:
        """Let the gantry hand the weight to the feet over `seconds` of simulated time, then let go."""
        self._change(gantry=int(GantryMode.LOWER), lower_s=float(seconds))

    def release(self) -> None:
        """Let the gantry let go now."""
        self._change(gantry=int(GantryMode.RELEASE))

    def push(self, force_w: Array, duration_s: float) -> None:
        """Push the pelvis with `force_w` (3,) [N], world frame."""
        self._change(push_seq=self._wanted().push_seq + 1, push_force_w=force_w, push_duration_s=float(duration_s))

    def reset(self) -> None:
        """Put the robot back to its start, on the gantry."""
        self._change(reset_seq=self._wanted().reset_seq + 1, gantry=int(GantryMode.HANG))
