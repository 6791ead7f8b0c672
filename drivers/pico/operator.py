"""What the operator's fingers say: deadman and button names from both controllers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from teleopd.drivers.pico.messages import CONTROLLER_INPUT, Controllers, Tracking
from teleopd.drivers.source import SourceError

DEADMEN = ("either_grip", "left_grip", "right_grip", "both_grips")
RELEASE_BELOW = 0.1
"""Hysteresis: a held grip is let go this far below the threshold, so that it does not flutter around it."""
_FIELDS = {
    "primary_button": ("x", "a"),
    "secondary_button": ("y", "b"),
    "menu_button": ("left_menu", "right_menu"),
    "axis_click": ("left_stick", "right_stick"),
}
BUTTONS = (
    *(name for pair in _FIELDS.values() for name in pair),
    "left_trigger", "right_trigger", "left_grip", "right_grip",
)  # fmt: skip
"""Names of all buttons; a trigger or grip is one when pressed past the threshold."""
DEFAULT_NAMES: Mapping[str, str] = {"b": "stop", "y": "episode_toggle"}
"""The right controller's upper button is the soft stop; the left one's begins and ends an episode where one records."""


class OperatorError(SourceError, ValueError):
    """A deadman or button setting that does not exist."""


class Fingers(NamedTuple):
    """One frame's reading."""

    deadman: bool
    buttons: frozenset[str]


NOTHING = Fingers(False, frozenset())


class OperatorInput:
    """Reads controllers; remembers which grips are held, for the hysteresis."""

    def __init__(
        self, deadman: str = "either_grip", threshold: float = 0.6, names: Mapping[str, str] | None = None
    ) -> None:
        """`threshold`: press depth that counts, 0 to 1; `names`: button -> the name to report it by,
        `DEFAULT_NAMES` when not given.

        Raises:
            OperatorError: unknown deadman or button, threshold outside 0.2 to 1.
        """
        if deadman not in DEADMEN:
            raise OperatorError(f"deadman is '{deadman}'; choose one of {', '.join(DEADMEN)}")
        if not 0.2 <= threshold <= 1.0:
            raise OperatorError(f"grip threshold is {threshold}; give 0.2 to 1")
        names = DEFAULT_NAMES if names is None else names
        for button in names:
            if button not in BUTTONS:
                raise OperatorError(f"button '{button}' does not exist; there are {', '.join(BUTTONS)}")
        self._deadman = deadman
        self._threshold = threshold
        self._names = {button: names.get(button, button) for button in BUTTONS}
        self._held: set[str] = set()

    def release(self) -> None:
        """Forget what is held: what comes next must be pressed past the threshold again."""
        self._held.clear()

    def read(self, tracking: Tracking) -> Fingers:
        """Of one frame; nothing is held while the controllers are not the active input.

        They may be asleep or out of battery then, and the app goes on sending their last state.
        """
        sides = tracking.controller
        if sides is None or tracking.input != CONTROLLER_INPUT:
            self.release()
            return NOTHING
        self._squeeze(sides)
        pressed = set(self._held)
        for field, names in _FIELDS.items():
            for side, name in zip((sides.left, sides.right), names, strict=True):
                if side is not None and getattr(side, field):
                    pressed.add(name)
        return Fingers(self._is_held(), frozenset(self._names[name] for name in pressed))

    def _squeeze(self, sides: Controllers) -> None:
        for hand, side in (("left", sides.left), ("right", sides.right)):
            for part in ("trigger", "grip"):
                name = f"{hand}_{part}"
                depth = getattr(side, part) if side is not None else 0.0
                enough = self._threshold - (RELEASE_BELOW if name in self._held else 0.0)
                (self._held.add if depth >= enough else self._held.discard)(name)

    def _is_held(self) -> bool:
        grips = ("left_grip" in self._held, "right_grip" in self._held)
        if self._deadman == "both_grips":
            return all(grips)
        return any(grips) if self._deadman == "either_grip" else grips[self._deadman == "right_grip"]
