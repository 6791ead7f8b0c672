"""The hand on the virtual robot of a session, over shared memory."""

from __future__ import annotations

from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.links.sim.wire import (
    CONTROL,
    TRUTH,
    VirtualControl,
    VirtualTruth,
    control_codec,
    proves_virtual,
    truth_codec,
)


class SimControl(VirtualHand):
    """The one writer of `sim_control`, and a reader of `sim_truth`."""

    def __init__(self, session: Session) -> None:
        """
        Raises:
            SegmentMissing, SchemaMismatch: the session has no virtual robot, or one of another version.
        """
        self._control: Slot[VirtualControl] = Slot.attach(session.path(CONTROL), control_codec())
        self._truth: Slot[VirtualTruth] = Slot.attach(session.path(TRUTH), truth_codec())

    def _wanted(self) -> VirtualControl:
        wanted = self._control.read()
        assert wanted is not None, "create_sim_streams writes the first one"
        return wanted

    def _want(self, control: VirtualControl) -> None:
        self._control.write(control)

    def stop(self) -> None:
        """End the virtual robot's process."""
        self._change(stop=True)

    def truth(self) -> VirtualTruth | None:
        """The newest truth, or None before the first."""
        return self._truth.read()

    def is_virtual(self, now_ns: int) -> bool:
        """Whether a virtual robot of this host has shown the nonce of this session within the last second."""
        return proves_virtual(self._control.read(), self._truth.read(), now_ns)
