"""What robot-io publishes of its link: a record of shared memory."""

from __future__ import annotations

from typing import NamedTuple

from teleopd.robots.model import Field


class LinkStatus(NamedTuple):
    """What passed and what was refused on the way to the robot: `robots.link.LinkCounters` of this process."""

    t_ns: int
    mode_machine: int
    """Hardware variant the robot reports; -1 before it was heard."""
    received: int
    bad_length: int
    bad_crc: int
    frozen: int
    sent: int
    held_back: int
    send_failed: int
    foreign_commands: int
    hardware_changes: int
    late: int = 0
    battery: int = -1
    """State of charge [%]; -1 where the link does not tell, or has not heard it."""


COUNTS = LinkStatus._fields[2:-1]
"""The counters among them."""
LINK_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("mode_machine", "<i4"), ("received", "<i8"), ("bad_length", "<i8"), ("bad_crc", "<i8"),
    ("frozen", "<i8"), ("sent", "<i8"), ("held_back", "<i8"), ("send_failed", "<i8"), ("foreign_commands", "<i8"),
    ("hardware_changes", "<i8"), ("late", "<i8"), ("battery", "<i4"),
]  # fmt: skip
