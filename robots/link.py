"""How robot-io talks to a robot: one small protocol, whatever the transport."""

from __future__ import annotations

from typing import Protocol

from teleopd.robots.model import JointCommand, LowState


class RobotLinkError(Exception):
    """Root of what can go wrong between robot-io and the robot."""


class LinkUnavailable(RobotLinkError, ConnectionError):
    """The transport cannot be opened: says which, and what would make it work."""


class LinkTimeout(RobotLinkError, TimeoutError):
    """Nothing was heard from the robot in the time given."""


class RobotLink(Protocol):
    """A transport to one robot. Only the robot-io process owns one. Nothing here blocks."""

    def read(self) -> LowState | None:
        """Newest state received so far, or None before the first; its arrays stay unchanged after the next read."""

    def write(self, command: JointCommand) -> None:
        """Send one permitted command."""

    def close(self) -> None:
        """Release the transport; safe to call twice."""
