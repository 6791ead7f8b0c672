"""A gamepad as a source of velocity commands, 50 a second while it is there."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from teleopd.drivers.gamepad import devices, wire
from teleopd.drivers.gamepad.pad import Pad, PadMap, Reading
from teleopd.drivers.reconnect import Phase, Reconnect
from teleopd.drivers.source import SourceCounters, SourceState, SourceUnavailable
from teleopd.drivers.velocity import VelocityCommand

RATE_HZ = 50.0
PERIOD_NS = round(1e9 / RATE_HZ)
READ_BYTES = 64 * wire.EVENT.size
READS_A_TICK = 16
"""More than a pad can say in 20 ms; a flood waits for the next tick."""
QUIET_S = 3.0
"""A Bluetooth pad out of reach shows its last state for ever: silent for so long, its sticks count as centred."""


class GamepadSource:
    """The first pad, or a chosen one; unplugged, it is gone until it or another one is back."""

    name = "gamepad"
    nominal_hz = RATE_HZ
    delivers = "velocity"

    def __init__(
        self, *, pad: str = "", forward: str = "-left_y", left: str = "-left_x", turn: str = "-right_x",
        deadman: str = "right_bumper", stop: str = "east", dead_zone: float = 0.12, speed: float = 0.6,
        turn_speed: float = 0.8, sysfs: str = str(devices.SYSFS), dev: str = str(devices.DEV),
    ) -> None:  # fmt: skip
        """Nothing is opened yet.

        Args:
            pad: part of its name or its path (/dev/input/event5); '': the first one.
            forward, left, turn: axes, '-' before one turns it round.
            deadman, stop: buttons.
            dead_zone: share of the stick's way that does nothing.
            speed, turn_speed: at the stick's end [m/s, rad/s].
            sysfs, dev: where the kernel lists input devices.

        Raises:
            PadError: an axis or button that does not exist, a number out of range.
        """
        self._map = PadMap(forward, left, turn, deadman, stop, dead_zone, speed, turn_speed)
        self._wanted, self._sysfs, self._dev = pad, Path(sysfs), Path(dev)
        self.counters = SourceCounters()
        self.resets = 0
        self.reconnect = Reconnect()
        self._opened: devices.Opened | None = None
        self._pad = Pad(self._map)
        self._rest = b""
        self._heard_ns = 0
        self._seq = 0
        self._open = False
        self._closing = asyncio.Event()

    @property
    def device(self) -> str:
        """Name of the pad that is read; '' without one."""
        return self._opened.found.name if self._opened else ""

    @property
    def trouble(self) -> str:
        """Why there is no pad now, as a sentence; '' with one."""
        return "" if self._opened else self.reconnect.last_failure

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        if not self._open:
            return SourceState.CLOSED
        if not self._seq:
            return SourceState.CONNECTING
        return SourceState.STREAMING if self._opened else SourceState.STALE

    async def open(self) -> None:
        """Find the pad.

        Raises:
            SourceUnavailable: there is none, or it may not be read.
        """
        self._attempt(time.monotonic_ns())
        if self._opened is None:
            raise SourceUnavailable(self.reconnect.last_failure)
        self._open = True

    def _attempt(self, now_ns: int) -> None:
        self.reconnect.begin(now_ns)
        try:
            opened = devices.open_pad(devices.choose(self._wanted, self._sysfs, self._dev))
        except SourceUnavailable as error:
            self.reconnect.failed(now_ns, str(error))
            return
        self.reconnect.connected(now_ns)
        self._opened, self._pad, self._rest = opened, Pad(self._map, opened.ranges), b""
        self._heard_ns = now_ns
        self.resets += self.reconnect.connections > 1

    async def commands(self) -> AsyncIterator[VelocityCommand]:
        """One command every 20 ms while there is a pad; it looks for one again otherwise. One consumer."""
        due_ns = time.monotonic_ns()
        while self._open:
            now_ns = time.monotonic_ns()
            command = self.tick(now_ns)
            if command is not None:
                self.counters.delivered += 1
                yield command
            due_ns = max(due_ns + PERIOD_NS, time.monotonic_ns())  # a slow consumer catches nothing up
            await _pause(self._closing, due_ns)

    async def close(self) -> None:
        """Stop reading and end `commands()`; safe to call twice."""
        self._open = False
        self._closing.set()
        self._drop()

    def tick(self, now_ns: int) -> VelocityCommand | None:
        """Read what the pad said since the last tick; None without a pad."""
        if self._opened is None:
            if self.reconnect.wait_ns(now_ns) == 0 and self.reconnect.phase is Phase.WAITING:
                self._attempt(now_ns)
            return None
        try:
            self._read(self._opened.fd, now_ns)
        except OSError as error:
            name = self._opened.found.name
            self._drop()
            self.reconnect.failed(now_ns, f"gamepad '{name}' is gone ({error.strerror or 'unplugged'})")
            self.counters.last_rejection = self.reconnect.last_failure
            return None
        reading = self._pad.read()
        if self._quiet(now_ns):
            reading = reading._replace(forward=0.0, left=0.0, turn=0.0)
        command = command_of(reading, self._seq, now_ns, self.resets)
        self._seq += 1
        return command

    def _quiet(self, now_ns: int) -> bool:
        assert self._opened is not None
        return self._opened.found.bluetooth and now_ns - self._heard_ns > QUIET_S * 1e9

    def _read(self, fd: int, now_ns: int) -> None:
        """Raises OSError when the pad is gone."""
        for _ in range(READS_A_TICK):
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                raise OSError(0, "")
            self._heard_ns = now_ns
            data = self._rest + data
            for event in wire.decode(data):
                self.counters.received += 1
                self._pad.event(event)
            self._rest = data[len(data) - len(data) % wire.EVENT.size :]

    def _drop(self) -> None:
        if self._opened is not None:
            os.close(self._opened.fd)
            self._opened = None


def command_of(reading: Reading, seq: int, now_ns: int, resets: int) -> VelocityCommand:
    """A reading with its stamps."""
    return VelocityCommand(
        seq, now_ns, reading.forward, reading.left, reading.turn, reading.deadman, reading.stop, resets,
        reading.buttons,
    )  # fmt: skip


async def _pause(closing: asyncio.Event, due_ns: int, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
    """Wait until `due_ns`, or until the source is closed."""
    try:
        await asyncio.wait_for(closing.wait(), max((due_ns - clock_ns()) * 1e-9, 0.0))
    except TimeoutError:
        return
