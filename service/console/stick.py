"""The stick of the browser view: six buttons that walk the robot while they are held, and how fast.

Each button is a deadman of its own, as the page's "hold to run" is: the browser repeats a message while the pointer is
down, and what is not repeated for 250 ms is let go. A page can press one button at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from teleopd.drivers.gamepad.stick import EXPIRES_NS, NOTHING, Said

if TYPE_CHECKING:
    import viser

HOLD_HZ = 20.0
DIRECTIONS: dict[str, tuple[int, int, int]] = {
    "forward": (1, 0, 0), "back": (-1, 0, 0), "step left": (0, 1, 0), "step right": (0, -1, 0),
    "turn left": (0, 0, 1), "turn right": (0, 0, -1),
}  # fmt: skip
"""Button -> forward, left, turn."""
SLOWEST, USUAL = 0.2, 0.6
"""Shares of the largest speed; the slider begins at the second."""


class Stick:
    """What the buttons say."""

    def __init__(self, speeds: tuple[float, float, float]) -> None:
        """`speeds`: at full share, forward, left [m/s] and turn [rad/s]."""
        self._speeds = speeds
        self.share = USUAL
        """Of the largest speeds."""
        self._direction = (0, 0, 0)
        self._heard_ns = 0

    def heard(self, button: str, now_ns: int) -> None:
        """The browser says that this button is down."""
        self._direction, self._heard_ns = DIRECTIONS[button], now_ns

    def said(self, now_ns: int) -> Said:
        """The word of this moment, as old as the browser's message."""
        if not self._heard_ns or now_ns - self._heard_ns >= EXPIRES_NS:
            return NOTHING._replace(t_ns=self._heard_ns)
        forward, left, turn = (
            self.share * most * way for most, way in zip(self._speeds, self._direction, strict=True)
        )
        return Said(self._heard_ns, forward, left, turn, True)

    def add_to(self, server: viser.ViserServer) -> None:
        """Put buttons and slider on the page."""
        gui = server.gui
        with gui.add_folder("walk (hold a button)"):
            slider = gui.add_slider("speed", min=SLOWEST, max=1.0, step=0.1, initial_value=USUAL)
            for label in DIRECTIONS:
                self._button(gui, label)

        async def changed(_event: Any) -> None:
            self.share = min(max(float(slider.value), SLOWEST), 1.0)

        slider.on_update(changed)

    def _button(self, gui: Any, label: str) -> None:
        button = gui.add_button(label, color="green", hint="walks while held; let go to stop")

        async def heard(_event: Any) -> None:
            self.heard(label, time.monotonic_ns())

        button.on_hold(heard, callback_hz=HOLD_HZ)
