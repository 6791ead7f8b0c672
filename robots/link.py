"""How robot-io talks to a robot: one small protocol, whatever the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from teleopd.robots.model import JointCommand, LowState


class RobotLinkError(Exception):
    """Root of what can go wrong between robot-io and the robot."""


class LinkUnavailable(RobotLinkError, ConnectionError):
    """The transport cannot be opened: says which, and what would make it work."""


class LinkTimeout(RobotLinkError, TimeoutError):
    """Nothing was heard from the robot in the time given."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What a run decides about its link. Picklable; each link reads what concerns it."""

    interface: str = ""
    """Network interface of the robot."""
    domain: int = 0
    """DDS domain."""
    release: bool = False
    """Take the motors from the robot's own controller; the robot goes limp."""
    simulator: bool = False
    """The peer is a third-party simulator: its checksum, tick and hardware variant are not checked."""
    arms: bool = False
    """Only the arms are commanded, blended into what the robot's own controller does."""
    lcm_url: str = ""
    """Of link lcm; empty: LCM's own group, on this computer only."""
    at_once: bool = False
    """This link replaces one whose process died: ask nothing, so that damping starts with the first report."""


@dataclass(slots=True)
class LinkCounters:
    """What passed and what was refused since the link was opened."""

    received: int = 0
    """States that were good."""
    bad_length: int = 0
    bad_crc: int = 0
    frozen: int = 0
    """States whose tick was that of the one before: not taken for new."""
    sent: int = 0
    held_back: int = 0
    """Commands not sent because no state had been heard, so that the hardware variant was unknown."""
    send_failed: int = 0
    foreign_commands: int = 0
    """Commands that somebody else sent to the robot, as far as they were seen: at most one a look (100 Hz on DDS)."""
    hardware_changes: int = 0
    """How often mode_machine changed after the first state."""
    late: int = 0
    """States that had been on the way for too long, or came after a newer one."""


class RobotLink(Protocol):
    """A transport to one robot. Only the robot-io process owns one. Nothing here blocks."""

    def read(self) -> LowState | None:
        """Newest state received so far, or None before the first; its arrays stay unchanged after the next read."""

    def write(self, command: JointCommand) -> None:
        """Send one permitted command."""

    def close(self) -> None:
        """Release the transport; safe to call twice."""


def require_permitted(command: object) -> None:
    """What every link asks first.

    Raises:
        TypeError: it was not built by the gate.
    """
    if type(command) is not JointCommand:
        raise TypeError(f"a RobotLink writes a JointCommand built by the gate, not {type(command).__name__}")


def counters_of(link: Any) -> LinkCounters:
    """The counters a link keeps in its attribute `counters`; zeros that stay zero for one that keeps none."""
    found = getattr(link, "counters", None)
    return found if isinstance(found, LinkCounters) else LinkCounters()
