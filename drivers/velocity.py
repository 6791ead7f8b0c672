"""`VelocityCommand`: what a stick or a keyboard says, the one other word a source may speak beside `HumanPose`.

Body frame: X forward, Y left, Z up; metres a second and radians a second; times `time.monotonic_ns()`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from teleopd.drivers.source import SourceCounters, SourceState


class VelocityCommand(NamedTuple):
    """How the robot should walk now. A device that is there says it at a steady rate, moved or not."""

    seq: int
    """Counts commands, from 0."""
    t_ns: int
    """Monotonic time at which the device was read."""
    forward: float
    """[m/s]"""
    left: float
    """[m/s]"""
    turn: float
    """To the left [rad/s]."""
    deadman: bool
    """The operator holds the deadman; without it nothing walks."""
    stop: bool
    """The stop button is down, or was since the last command."""
    resets: int
    """Increases when another device, or the same one again, took over."""
    buttons: frozenset[str]
    """Pressed buttons by name."""


class VelocitySource(Protocol):
    """An async producer of velocity commands; states, counters and errors as those of a `Source`."""

    name: str
    counters: SourceCounters
    delivers: str
    """'velocity': by this the service tells it from a source of poses."""

    @property
    def nominal_hz(self) -> float:
        """Commands a second [Hz]."""

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""

    async def open(self) -> None:
        """Find the device.

        Raises:
            SourceUnavailable: with one sentence saying what is missing.
        """

    def commands(self) -> AsyncIterator[VelocityCommand]:
        """Yield the command of now at the nominal rate while the device is there, until the source is closed."""

    async def close(self) -> None:
        """Stop; safe to call twice."""
