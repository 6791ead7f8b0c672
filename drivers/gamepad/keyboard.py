"""The terminal's keyboard as a source of velocity commands: a held key walks and is the deadman.

A terminal says that a key was pressed, repeats it while it is held, and never says that it was let go. So a key counts
as held for a moment after its last byte: 0.7 s after the first one, until the repetition sets in, then 0.25 s.
"""

from __future__ import annotations

import asyncio
import os
import re
import termios
import time
from collections.abc import AsyncIterator
from typing import Any

from teleopd.drivers.gamepad.pad import FASTEST, PadError, Reading
from teleopd.drivers.gamepad.source import PERIOD_NS, RATE_HZ, _pause, command_of
from teleopd.drivers.source import SourceCounters, SourceState, SourceUnavailable
from teleopd.drivers.velocity import VelocityCommand

FIRST_NS, REPEAT_NS = 700_000_000, 250_000_000
"""X11's repetition begins after 660 ms at the latest and comes 25 times a second."""
KEYS = {
    "w": (1, 0, 0), "s": (-1, 0, 0), "a": (0, 1, 0), "d": (0, -1, 0), "q": (0, 0, 1), "e": (0, 0, -1), " ": (0, 0, 0),
    "up": (1, 0, 0), "down": (-1, 0, 0), "left": (0, 0, 1), "right": (0, 0, -1),
}  # fmt: skip
"""Key -> forward, left, turn; the space bar is held without walking."""
STOP, FASTER, SLOWER = "x", "+", "-"
STEP = 0.1
"""Share of the largest speed by which + and - change it."""
_ARROWS = {b"A": "up", b"B": "down", b"D": "left", b"C": "right"}
_ARROW = re.compile(rb"\x1b[\[O]([ABCD])")
_SEQUENCE = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|O[!-~])")
"""Of a key that is no character (ECMA-48, 5.4; with O: keypads): read as a whole, lest Ctrl and an arrow be a D."""
_BEGUN = re.compile(rb"\x1b(\[[0-?]*[ -/]*|O)?")
PIECES_NS = 100_000_000
"""What came of a sequence waits so long for the rest; after that it was the Escape key."""
_LONGEST = 64
"""Bytes of an escape sequence kept while waiting for its end."""


_LINES = termios.ICANON | termios.ECHO
"""A terminal that hands out whole lines and shows what is typed."""


class Keys:
    """Which key is held, from what the terminal says. Pure."""

    def __init__(self, speed: float, turn_speed: float) -> None:
        """`speed`, `turn_speed`: at full share [m/s, rad/s]."""
        self._speed, self._turn_speed = speed, turn_speed
        self.share = 1.0
        """Of the speeds; + and - change it."""
        self._key = ""
        self._until_ns = 0
        self._stop, self._stop_until_ns = False, 0
        self._rest, self._rest_ns = b"", 0

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the bytes that came."""
        if now_ns - self._rest_ns <= PIECES_NS:
            data = self._rest + data
        self._rest, self._rest_ns = b"", now_ns
        while data:
            if sequence := _SEQUENCE.match(data):
                if arrow := _ARROW.fullmatch(sequence[0]):
                    self._press(_ARROWS[arrow[1]], now_ns)
                data = data[sequence.end() :]
            elif _BEGUN.fullmatch(data):
                self._rest = data if len(data) <= _LONGEST else b""
                return
            else:
                self._press(chr(data[0]).lower(), now_ns)
                data = data[1:]

    def _press(self, key: str, now_ns: int) -> None:
        if key == STOP:
            self._stop = True
            self._stop_until_ns = now_ns + (REPEAT_NS if now_ns < self._stop_until_ns else FIRST_NS)
            self._until_ns = 0
        elif key in (FASTER, "=", SLOWER):
            self.share = min(max(self.share + (-STEP if key == SLOWER else STEP), STEP), 1.0)
        elif key in KEYS:
            repeated = key == self._key and now_ns < self._until_ns
            self._until_ns = now_ns + (REPEAT_NS if repeated else FIRST_NS)
            self._key, self._stop_until_ns = key, 0

    def read(self, now_ns: int) -> Reading:
        """What is held now; a stop is seen even if it was let go since. Its repetition is no second press, which damps.
        """
        stop, self._stop = self._stop or now_ns < self._stop_until_ns, False
        held = now_ns < self._until_ns
        if not held:
            self._key = ""
        forward, left, turn = KEYS.get(self._key, (0, 0, 0))
        speed, turning = self.share * self._speed, self.share * self._turn_speed
        buttons = frozenset({self._key or "space"}) if held else frozenset()
        return Reading(speed * forward, speed * left, turning * turn, held, stop, buttons)


class KeyboardSource:
    """Reads /dev/tty key by key; Ctrl-C stays what it is."""

    name = "keyboard"
    nominal_hz = RATE_HZ
    delivers = "velocity"

    def __init__(self, *, speed: float = 0.4, turn_speed: float = 0.6, terminal: str = "/dev/tty") -> None:
        """
        Args:
            speed, turn_speed: while a key is held [m/s, rad/s]; + and - change them.
            terminal: which.

        Raises:
            PadError: a speed out of range.
        """
        if not 0.0 < speed <= FASTEST[0] or not 0.0 < turn_speed <= FASTEST[2]:
            raise PadError(
                f"speed {speed:g} m/s, turn_speed {turn_speed:g} rad/s; give more than 0, at most {FASTEST[0]:g} "
                f"and {FASTEST[2]:g}"
            )
        self.counters = SourceCounters()
        self._terminal, self._keys = terminal, Keys(speed, turn_speed)
        self._fd = -1
        self._before: list[Any] = []
        self._seq = 0
        self._closing = asyncio.Event()

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        if self._fd < 0:
            return SourceState.CLOSED
        return SourceState.STREAMING if self._seq else SourceState.CONNECTING

    async def open(self) -> None:
        """Take the terminal.

        Raises:
            SourceUnavailable: there is none.
        """
        try:
            self._fd = os.open(self._terminal, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            self._before = termios.tcgetattr(self._fd)
        except (OSError, termios.error):
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
            raise SourceUnavailable(
                f"the keyboard needs a terminal, and {self._terminal} is none; start it in one"
            ) from None
        if _in_background(self._fd):
            os.close(self._fd)
            self._fd = -1
            raise SourceUnavailable("the keyboard is read in the foreground only; start it without '&'")
        raw = termios.tcgetattr(self._fd)
        raw[3] &= ~_LINES
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 0, 0
        if raw == self._before:  # as a source that was killed left it
            self._before[3] |= _LINES
            self._before[6][termios.VMIN] = 1
        termios.tcsetattr(self._fd, termios.TCSANOW, raw)

    async def commands(self) -> AsyncIterator[VelocityCommand]:
        """One command every 20 ms until the terminal is gone. One consumer."""
        due_ns = time.monotonic_ns()
        while self._fd >= 0:
            now_ns = time.monotonic_ns()
            if not self._read(now_ns):
                await self.close()
                return
            reading = self._keys.read(now_ns)
            self.counters.delivered += 1
            self._seq += 1
            yield command_of(reading, self._seq - 1, now_ns, 0)
            due_ns = max(due_ns + PERIOD_NS, time.monotonic_ns())
            await _pause(self._closing, due_ns)

    def _read(self, now_ns: int) -> bool:
        """Whether the terminal is still there. While another job has it, no key is held."""
        if _in_background(self._fd):
            return True
        try:
            data = os.read(self._fd, 256)
        except BlockingIOError:
            return True
        except OSError as error:
            self.counters.last_rejection = f"the terminal is gone ({error.strerror})"
            return False
        self.counters.received += len(data)
        self._keys.feed(data, now_ns)
        return True

    async def close(self) -> None:
        """Give the terminal back as it was; safe to call twice."""
        self._closing.set()
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if not _in_background(fd):  # there the shell has its own settings in force
                termios.tcsetattr(fd, termios.TCSANOW, self._before)
        except (OSError, termios.error):
            pass  # it is gone
        finally:
            os.close(fd)


def _in_background(fd: int) -> bool:
    """Another job has the terminal: to read or to set it now would stop every process of this one."""
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:
        return False  # not the terminal that controls this process, so that jobs mean nothing to it
