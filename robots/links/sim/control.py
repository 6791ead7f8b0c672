"""The hand of whoever started the virtual robot: gantry, pushes, reset, stop; and the view of what really happens."""

from __future__ import annotations

from typing import Any

from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.links.sim.wire import (
    CONTROL,
    TRUTH,
    GantryMode,
    VirtualControl,
    VirtualTruth,
    control_codec,
    proves_virtual,
    truth_codec,
)
from teleopd.robots.model import Array


class SimControl:
    """The one writer of `sim_control`, and a reader of `sim_truth`."""

    def __init__(self, session: Session) -> None:
        """
        Raises:
            SegmentMissing, SchemaMismatch: the session has no virtual robot, or one of another version.
        """
        self._control: Slot[VirtualControl] = Slot.attach(session.path(CONTROL), control_codec())
        self._truth: Slot[VirtualTruth] = Slot.attach(session.path(TRUTH), truth_codec())

    def _change(self, **changes: Any) -> None:
        wanted = self._control.read()
        assert wanted is not None, "create_sim_streams writes the first one"
        self._control.write(wanted._replace(seq=wanted.seq + 1, **changes))

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
        wanted = self._control.read()
        assert wanted is not None, "create_sim_streams writes the first one"
        self._change(push_seq=wanted.push_seq + 1, push_force_w=force_w, push_duration_s=float(duration_s))

    def reset(self) -> None:
        """Put the robot back to its start, on the gantry."""
        wanted = self._control.read()
        assert wanted is not None, "create_sim_streams writes the first one"
        self._change(reset_seq=wanted.reset_seq + 1, gantry=int(GantryMode.HANG))

    def stop(self) -> None:
        """End the virtual robot's process."""
        self._change(stop=True)

    def truth(self) -> VirtualTruth | None:
        """The newest truth, or None before the first."""
        return self._truth.read()

    def is_virtual(self, now_ns: int) -> bool:
        """Whether a virtual robot of this host has shown the nonce of this session within the last second."""
        return proves_virtual(self._control.read(), self._truth.read(), now_ns)
