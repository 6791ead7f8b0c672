"""The hand of an emulated operator: watches the robot of this computer's service and holds the device's deadman."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.operator_script import would_hold
from teleopd.robots.ipc.segment import SchemaMismatch, SegmentMissing
from teleopd.robots.ipc.session import session_of
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.streams import Bus

LOOK_S = 0.02
"""How often the robot is looked at."""
SILENT_NS = 1_000_000_000
"""A robot that has said nothing for so long is not there."""


def check_hand(emulator: Any, device: str) -> None:
    """Refuse a device that has no deadman.

    Raises:
        CommandError: with one sentence.
    """
    if not hasattr(emulator, "pressed"):
        raise CommandError(f"device {device} has no deadman to press; pico and network have")


class Hand:
    """Presses once the robot stands freely, again and again until it follows; once let go it stays let go."""

    def __init__(self) -> None:
        self._followed = self._done = False

    def holds(self, status: SafetyStatus | None, now_ns: int) -> bool:
        """Whether the deadman is held at `now_ns`, the robot being in this state."""
        if status is None:
            return False
        mode = Mode(status.mode)
        self._followed |= mode is Mode.ACTIVE
        self._done |= self._followed and mode not in (Mode.ACTIVE, Mode.HOLD)
        return not self._done and would_hold(mode, now_ns - status.mode_since_ns)


async def press_when_armed(emulator: Any, robot: str) -> None:
    """Work the emulator's deadman until cancelled; the service may start later, or never."""
    n, hand = registry.load("robot", robot).n, Hand()
    bus: Bus | None = None
    emulator.pressed = False
    while True:
        bus = bus or Bus(session_of(robot), n)
        try:
            status: SafetyStatus | None = bus.slot("safety_status").read()
        except (SegmentMissing, SchemaMismatch):
            bus, status = None, None
        now_ns = time.monotonic_ns()
        if status is not None and now_ns - status.t_ns > SILENT_NS:
            bus, status = None, None  # what a dead service left behind; the next one makes its own
        emulator.pressed = hand.holds(status, now_ns)
        await asyncio.sleep(LOOK_S)
