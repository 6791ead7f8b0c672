"""Buttons of the operator's page that begin and end episodes. They reach the recorder only; nothing moves by them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import viser

from teleopd.service.capture.records import RECORDING
from teleopd.service.console.snapshot import Snapshot

START, STOP = "start episode", "stop episode"
HINTS = {
    "success": "ends the episode as a success, or calls the last one so",
    "discard": "moves the episode, or the last one, to discarded/",
}
MOST = 8
"""Presses that wait."""


class EpisodeKeys:
    """Start and stop in one button, success and discard; pressed in the page's thread, passed on by `serve`."""

    def __init__(self, server: viser.ViserServer, wish: Callable[[str], object]) -> None:
        self._wish, self._pressed = wish, deque[str](maxlen=MOST)
        self._recording = False
        self._toggle = server.gui.add_button(START, color="teal", hint="record; nothing moves by it")
        self._toggle.on_click(self._hear("toggle"))
        for verb, hint in HINTS.items():
            server.gui.add_button(verb, color="gray", hint=hint).on_click(self._hear(verb))

    def _hear(self, verb: str) -> Callable[[object], None]:
        def heard(_event: object) -> None:
            self._pressed.append(verb)

        return heard

    def serve(self) -> None:
        """Pass on one press: the recorder's slot holds one wish, and it looks more often than this is called."""
        if self._pressed:
            verb = self._pressed.popleft()
            if verb == "toggle":
                verb = "stop" if self._recording else "start"
            self._wish(verb)

    def show(self, snapshot: Snapshot) -> None:
        """The button says what it would do now."""
        recording = snapshot.recorder is not None and snapshot.recorder.state == RECORDING
        if recording != self._recording:
            self._recording = recording
            self._toggle.label = STOP if recording else START
            self._toggle.color = "red" if recording else "teal"
