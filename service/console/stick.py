"""The stick of the browser view: six buttons that walk the robot while they are held, and how fast.

Each button is a deadman of its own, as the page's "hold to run" is: the browser repeats a message while the pointer is
down; what is not repeated for 250 ms has ended, and takes a new press. A page can press one button at a time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from teleopd.drivers.gamepad.stick import NOTHING, Said

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
    """What the buttons say. Silence is left to the source to judge; a release is the click that ends every press."""

    def __init__(self, speeds: tuple[float, float, float]) -> None:
        """`speeds`: at full share, forward, left [m/s] and turn [rad/s]."""
        self._speeds = speeds
        self.share = USUAL
        """Of the largest speeds."""
        self._direction = (0, 0, 0)
        self._heard_ns = 0
        self._held = self._let_go = False
        self._page: object = None

    def heard(self, button: str, now_ns: int, page: object = None) -> None:
        """A page says that this button is down."""
        self._let_go |= page != self._page
        self._direction, self._heard_ns, self._held, self._page = DIRECTIONS[button], now_ns, True, page

    def let_go(self) -> None:
        """The pointer was lifted."""
        self._held = False

    def said(self) -> Said:
        """The word of this moment, as old as the browser's message; before a press on another page, a release."""
        if self._let_go or not self._held:
            self._let_go = False
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

        async def heard(event: Any) -> None:
            self.heard(label, time.monotonic_ns(), event.client_id)

        async def let_go(_event: Any) -> None:
            self.let_go()

        button.on_hold(heard, callback_hz=HOLD_HZ)
        button.on_click(let_go)
