"""The writing end of an operator slot: `teleop ctl`, the console, `teleop serve` and gamepads all use this."""

from __future__ import annotations

from typing import Protocol

from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Act, OperatorCommand

HEARTBEAT_NS = 80_000_000
"""How often a held deadman is said again: three times within the 250 ms that robot-io waits."""
BOUNCE_NS = 50_000_000
"""A stop button that opens for less than this was held: a second press damps, and nobody presses twice that fast."""


class OperatorSlot(Protocol):
    """What this needs of a slot."""

    def read(self) -> OperatorCommand | None:
        """Newest value, or None."""

    def write(self, value: OperatorCommand) -> object:
        """Replace it."""


class OperatorWriter:
    """One writer's acts and deadman. Counting goes on where the slot's last writer stopped, so nothing is a replay."""

    def __init__(self, slot: OperatorSlot, token: int) -> None:
        last = slot.read()
        self._slot, self._token = slot, token
        self._seq, self._stops, self._damps = (last.seq, last.stops, last.damps) if last is not None else (0, 0, 0)
        self._act = Act.NONE
        self._held = False
        self._written_ns = 0
        self._stop_since_ns = self._released_ns = 0
        self._stop_damped = False
        self._long_press_ns = Thresholds().ns("stop_long_press")

    def act(self, act: Act, now_ns: int) -> None:
        """Ask for one act."""
        if act is Act.NONE:
            return
        self._seq += 1
        self._stops += act is Act.STOP
        self._damps += act is Act.DAMP
        self._act = act
        self._write(now_ns)

    def hold(self, held: bool, now_ns: int) -> None:
        """Say whether the deadman is held; call it often: it writes on every change and as the heartbeat."""
        if held != self._held or (held and now_ns - self._written_ns >= HEARTBEAT_NS):
            self._held = held
            self._write(now_ns)

    def stop_button(self, pressed: bool, now_ns: int) -> None:
        """The soft-stop button's state: a press stops, holding it for a second damps. Call it often."""
        if not pressed:
            self._released_ns = self._released_ns or now_ns
            return
        anew = not self._stop_since_ns or (self._released_ns and now_ns - self._released_ns >= BOUNCE_NS)
        self._released_ns = 0
        if anew:
            self._stop_since_ns, self._stop_damped = now_ns, False
            self.act(Act.STOP, now_ns)
        elif not self._stop_damped and now_ns - self._stop_since_ns >= self._long_press_ns:
            self._stop_damped = True
            self.act(Act.DAMP, now_ns)

    def _write(self, now_ns: int) -> None:
        self._written_ns = now_ns
        self._slot.write(OperatorCommand(
            self._seq, now_ns, self._token, int(self._act), self._held, self._stops, self._damps
        ))  # fmt: skip
