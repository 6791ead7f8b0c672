"""Link to a virtual robot in another process of this host, over shared memory."""

from __future__ import annotations

import time

from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.link import LinkOptions, LinkUnavailable, require_permitted
from teleopd.robots.links.sim.wire import COMMAND, STATE, MotorCommand, command_codec, state_codec
from teleopd.robots.model import JointCommand, LowState, RobotModel


class SimLink:
    """RobotLink to the virtual robot of a session. Reading and writing cost microseconds and never wait."""

    def __init__(self, session: Session, model: RobotModel, options: LinkOptions | None = None) -> None:
        """`options`: none concerns this link.

        Raises:
            LinkUnavailable: the session has no virtual robot.
            SchemaMismatch: it has one of another version or another robot.
        """
        self._n = model.n
        try:
            self._state: Slot[LowState] = Slot.attach(session.path(STATE), state_codec(model.n))
            self._command: Slot[MotorCommand] = Slot.attach(session.path(COMMAND), command_codec(model.n))
        except SegmentMissing:
            raise LinkUnavailable(
                f"the session of {session.robot} has no virtual robot ({session.path(STATE)} is missing)"
            ) from None
        last = self._command.read()
        self._seq = last.seq if last is not None else 0
        self._closed = False

    def read(self) -> LowState | None:
        """Newest state, or None before the first; the same object while there is no newer one."""
        return self._state.read()

    def write(self, command: JointCommand) -> None:
        """Send one permitted command; ignored after `close`.

        Raises:
            TypeError: it was not built by the gate.
        """
        require_permitted(command)
        if self._closed:
            return
        self._seq += 1
        self._command.write(
            MotorCommand(time.monotonic_ns(), self._seq, command.q, command.dq, command.tau, command.kp, command.kd)
        )

    def close(self) -> None:
        """Stop writing; the robot keeps the last command. The slots belong to whoever created them."""
        self._closed = True
