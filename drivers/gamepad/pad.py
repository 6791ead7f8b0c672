"""What a gamepad's sticks and buttons mean, event by event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from teleopd.drivers.gamepad import wire
from teleopd.drivers.gamepad.wire import Event
from teleopd.drivers.source import SourceError

STANDARD_RANGE = (-32768, 32767)
"""Of an axis that says nothing about itself."""
DEADMEN = ("right_bumper", "left_bumper", "either_bumper", "both_bumpers")
AXIS_NAMES = tuple(wire.AXES.values())
BUTTON_NAMES = tuple(wire.BUTTONS.values())
FASTEST = (0.6, 0.6, 0.8)
"""Forward, left [m/s], turn [rad/s]: no setting goes beyond."""


class PadError(SourceError, ValueError):
    """A setting of the gamepad that does not exist or is out of range."""


@dataclass(frozen=True, slots=True)
class PadMap:
    """Which stick moves what. A '-' before an axis turns it round; pushed up and left is negative on the wire."""

    forward: str = "-left_y"
    left: str = "-left_x"
    turn: str = "-right_x"
    deadman: str = "right_bumper"
    stop: str = "east"
    dead_zone: float = 0.12
    """Share of the stick's way that does nothing."""
    speed: float = 0.6
    """Forward and sideways at the stick's end [m/s]."""
    turn_speed: float = 0.8
    """[rad/s]"""

    def __post_init__(self) -> None:
        """Raises PadError for a name that does not exist and a number out of range."""
        for what in ("forward", "left", "turn"):
            axis = getattr(self, what)
            if axis.removeprefix("-") not in AXIS_NAMES:
                raise PadError(f"{what} is on axis '{axis}'; choose one of {', '.join(AXIS_NAMES)}, '-' turns it round")
        if self.deadman not in DEADMEN:
            raise PadError(f"deadman is '{self.deadman}'; choose one of {', '.join(DEADMEN)}")
        if self.stop not in BUTTON_NAMES:
            raise PadError(f"stop is '{self.stop}'; choose one of {', '.join(BUTTON_NAMES)}")
        if not 0.0 <= self.dead_zone <= 0.5:
            raise PadError(f"dead_zone is {self.dead_zone:g}; give 0 to 0.5")
        if not 0.0 < self.speed <= FASTEST[0]:
            raise PadError(f"speed is {self.speed:g} m/s; give more than 0, at most {FASTEST[0]:g}")
        if not 0.0 < self.turn_speed <= FASTEST[2]:
            raise PadError(f"turn_speed is {self.turn_speed:g} rad/s; give more than 0, at most {FASTEST[2]:g}")


class Reading(NamedTuple):
    """What the pad says now."""

    forward: float
    left: float
    turn: float
    deadman: bool
    stop: bool
    buttons: frozenset[str]


class Pad:
    """State of one pad. Whatever was held before it was opened counts as let go until it moves."""

    def __init__(self, mapping: PadMap, ranges: Mapping[str, tuple[int, int]] | None = None) -> None:
        """`ranges`: axis name -> smallest and largest value."""
        self._map, self._ranges = mapping, dict(ranges or {})
        self._axes: dict[str, float] = {}
        self._down: set[str] = set()
        self._stop_pressed = False
        self._lost = False

    def event(self, event: Event) -> None:
        """Take one event; unknown ones are nothing."""
        kind, code, value = event
        if kind == wire.EV_SYN and code == wire.SYN_DROPPED:
            self.let_go()
            self._lost = True
        elif kind == wire.EV_SYN and code == wire.SYN_REPORT:
            self._lost = False
        elif self._lost:
            return
        elif kind == wire.EV_KEY and code in wire.BUTTONS:
            self._button(wire.BUTTONS[code], value != 0)
        elif kind == wire.EV_ABS and code in wire.AXES:
            self._axes[wire.AXES[code]] = self._share(wire.AXES[code], value)

    def let_go(self) -> None:
        """Sticks centred, no button down: after events were lost, nobody knows better."""
        self._axes.clear()
        self._down.clear()

    def _button(self, name: str, down: bool) -> None:
        (self._down.add if down else self._down.discard)(name)
        self._stop_pressed = self._stop_pressed or (down and name == self._map.stop)

    def _share(self, axis: str, value: int) -> float:
        """-1 to 1 outside the dead zone, 0 within it."""
        low, high = self._ranges.get(axis, (-1, 1) if axis.startswith("hat") else STANDARD_RANGE)
        if high <= low:
            return 0.0
        raw = min(max((2.0 * value - low - high) / (high - low), -1.0), 1.0)
        zone = self._map.dead_zone
        if abs(raw) <= zone:
            return 0.0
        return (abs(raw) - zone) / (1.0 - zone) * (1.0 if raw > 0.0 else -1.0)

    def read(self) -> Reading:
        """What it says now; a stop pressed and let go since the last reading is seen once."""
        stop = self._stop_pressed or self._map.stop in self._down
        self._stop_pressed = False
        return Reading(
            self._map.speed * self._axis(self._map.forward), self._map.speed * self._axis(self._map.left),
            self._map.turn_speed * self._axis(self._map.turn), self._held(), stop, frozenset(self._down),
        )  # fmt: skip

    def _axis(self, name: str) -> float:
        share = self._axes.get(name.removeprefix("-"), 0.0)
        return -share if name.startswith("-") else share

    def _held(self) -> bool:
        left, right = "left_bumper" in self._down, "right_bumper" in self._down
        return {"left_bumper": left, "right_bumper": right, "either_bumper": left or right,
                "both_bumpers": left and right}[self._map.deadman]  # fmt: skip
