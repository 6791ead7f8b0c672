"""The stick of the browser view as a source of velocity commands: a held button walks and is the deadman."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from teleopd.drivers.gamepad.pad import Reading
from teleopd.drivers.gamepad.source import PERIOD_NS, RATE_HZ, _pause, command_of
from teleopd.drivers.source import SourceCounters, SourceState
from teleopd.drivers.velocity import VelocityCommand

EXPIRES_NS = 250_000_000
"""A page that has fallen silent holds nothing: the deadman's heartbeat of the console."""


class Said(NamedTuple):
    """What the page's buttons say."""

    t_ns: int
    """Monotonic time at which the browser last said so; 0: never."""
    forward: float
    """[m/s]"""
    left: float
    """[m/s]"""
    turn: float
    """To the left [rad/s]."""
    held: bool
    """A button is down."""


NOTHING = Said(0, 0.0, 0.0, 0.0, False)


class StickSource:
    """Fifty commands a second of what the page last said; standing and let go where it says nothing."""

    name = "stick"
    nominal_hz = RATE_HZ
    delivers = "velocity"

    def __init__(self) -> None:
        """The service connects it with the page by `listen`."""
        self.counters = SourceCounters()
        self._read: Callable[[], Said | None] = lambda: None
        self._heard_ns = 0
        self._must_let_go = True
        self._seq = 0
        self._open = False
        self._closing = asyncio.Event()

    def listen(self, read: Callable[[], Said | None]) -> None:
        """Where the newest word of the page is found; None before its first."""
        self._read = read

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        if not self._open:
            return SourceState.CLOSED
        return SourceState.STREAMING if self._seq else SourceState.CONNECTING

    async def open(self) -> None:
        """Nothing can be missing: the page belongs to the service."""
        self._open = True

    async def commands(self) -> AsyncIterator[VelocityCommand]:
        """One command every 20 ms until the source is closed. One consumer."""
        due_ns = time.monotonic_ns()
        while self._open:
            self.counters.delivered += 1
            yield self.tick(time.monotonic_ns())
            due_ns = max(due_ns + PERIOD_NS, time.monotonic_ns())
            await _pause(self._closing, due_ns)

    def tick(self, now_ns: int) -> VelocityCommand:
        """The command of this moment."""
        said = self._read() or NOTHING
        if said.t_ns != self._heard_ns:
            self._heard_ns = said.t_ns
            self.counters.received += 1
        fresh = abs(now_ns - said.t_ns) < EXPIRES_NS  # a word may be written just after `now_ns` was read
        # A press that fell silent, or began before this source, has ended: it must be let go before another counts.
        self._must_let_go = said.held and (self._must_let_go or not fresh)
        if self._must_let_go or not fresh:
            said = NOTHING
        reading = Reading(said.forward, said.left, said.turn, said.held, False, frozenset())
        self._seq += 1
        return command_of(reading, self._seq - 1, now_ns, 0)

    async def close(self) -> None:
        """End `commands()`; safe to call twice."""
        self._open = False
        self._closing.set()
