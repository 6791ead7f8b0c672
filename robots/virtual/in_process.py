"""A link to a virtual robot in the same process, for lock step."""

from __future__ import annotations

from collections.abc import Callable

from teleopd.robots.link import require_permitted
from teleopd.robots.model import JointCommand, LowState
from teleopd.robots.virtual.robot import VirtualRobot


class InProcessLink:
    """RobotLink over a `VirtualRobot`. Time passes only when somebody advances the robot."""

    def __init__(self, robot: VirtualRobot, clock: Callable[[], int]) -> None:
        """`clock`: the simulation's monotonic time [ns], used as the receipt stamp."""
        self.robot = robot
        self._clock = clock
        self._last: LowState | None = None
        self._last_at = (-1, -1)
        self._closed = False

    def read(self) -> LowState | None:
        """State after the last physics step; the same object until the robot has moved on or was reset."""
        at = (self.robot.resets, self.robot.steps)
        if not self._closed and at != self._last_at:
            self._last = self.robot.low_state(self._clock())
            self._last_at = at
        return self._last

    def write(self, command: JointCommand) -> None:
        """Send one permitted command; ignored after `close`.

        Raises:
            TypeError: it was not built by the gate.
        """
        require_permitted(command)
        if not self._closed:
            self.robot.command(command.q, command.dq, command.tau, command.kp, command.kd)

    def close(self) -> None:
        """Stop talking to the robot, which keeps the last command."""
        self._closed = True
