"""An episode in the browser view: the same stage as live, a scrubber, the cameras, what was said."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable
from html import escape
from typing import Any

from teleopd.robots.model import RobotModel
from teleopd.robots.rates import Rate
from teleopd.service.console.local_page import HOST, open_page
from teleopd.service.console.panel import MODE_COLOUR
from teleopd.service.console.playback import Instant, Playback
from teleopd.service.console.stage import Stage

VIEW_HZ = 30.0
SPEEDS = {"0.25x": 0.25, "0.5x": 0.5, "1x": 1.0, "2x": 2.0, "4x": 4.0}
STEP_S = 0.02
"""Of the scrubber."""


class Player:
    """One page; `step` draws it, in the thread that calls it."""

    def __init__(
        self, robot: RobotModel, playback: Playback, port: int, *, at_s: float = 0.0, playing: bool = True
    ) -> None:
        """
        Raises:
            PortTaken: another program listens on the port.
        """
        self._playback, self._playing, self._speed = playback, playing, 1.0
        self._t_s = min(max(at_s, 0.0), playback.duration_s)
        self._wanted_s: float | None = None
        self._drawn: tuple[float, int] = (-1.0, 0)
        self.server = open_page(port)
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        self._head = gui.add_html(head_html(playback, self._t_s))
        end_s = max(1, math.ceil(playback.duration_s / STEP_S - 1e-6)) * STEP_S
        self._slider: Any = gui.add_slider("time [s]", 0.0, end_s, STEP_S, min(self._t_s, end_s))
        self._button = gui.add_button("pause" if playing else "play", color="blue")
        self._speeds = gui.add_dropdown("speed", tuple(SPEEDS), initial_value="1x")
        self._facts = gui.add_html(facts_html(playback, playback.at(self._t_s)))
        self._images: dict[str, Any] = {}
        self._stage = Stage(self.server, robot)
        self._listen()

    @property
    def url(self) -> str:
        """Address to open."""
        return f"http://{HOST}:{self.server.get_port()}"

    @property
    def t_s(self) -> float:
        """Time in the episode [s]."""
        return self._t_s

    @property
    def playing(self) -> bool:
        """It goes on by itself."""
        return self._playing

    def step(self, elapsed_s: float) -> None:
        """Go on by so much time of the viewer's [s], and draw what is new."""
        wanted, self._wanted_s = self._wanted_s, None
        if wanted is not None:
            self._t_s = wanted
        elif self._playing:
            self._t_s = min(self._t_s + elapsed_s * self._speed, self._playback.duration_s)
            if self._t_s >= self._playback.duration_s:
                self._pause(True)
        self._draw()

    def run(self, ended: Callable[[], bool]) -> None:
        """Until told to end."""
        rate, before = Rate(VIEW_HZ), time.monotonic()
        while not ended():
            rate.wait()
            now = time.monotonic()
            self.step(now - before)
            before = now

    def close(self) -> None:
        """Stop serving."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def _listen(self) -> None:
        async def moved(event: Any) -> None:
            if event.client is not None:  # by a person, not by us
                self._wanted_s = min(float(self._slider.value), self._playback.duration_s)

        async def pressed(_event: Any) -> None:
            if not self._playing and self._t_s >= self._playback.duration_s:
                self._wanted_s = 0.0
            self._pause(self._playing)

        async def chosen(_event: Any) -> None:
            self._speed = SPEEDS[self._speeds.value]

        self._slider.on_update(moved)
        self._button.on_click(pressed)
        self._speeds.on_update(chosen)

    def _pause(self, pause: bool) -> None:
        self._playing = not pause
        self._button.label = "play" if pause else "pause"

    def _draw(self) -> None:
        seen = len(self.server.get_clients())
        if not seen or self._drawn == (self._t_s, seen):
            return
        self._drawn = self._t_s, seen
        instant = self._playback.at(self._t_s)
        self._stage.show(instant.scene)
        self._head.content = head_html(self._playback, self._t_s)
        self._facts.content = facts_html(self._playback, instant)
        if abs(self._slider.value - self._t_s) > STEP_S / 2:
            self._slider.value = round(self._t_s / STEP_S) * STEP_S
        t_ns = self._playback.episode.t_start_ns + round(self._t_s * 1e9)
        for name, camera in self._playback.cameras.items():
            picture = camera.at(t_ns)
            if picture is not None and name not in self._images:
                self._images[name] = self.server.gui.add_image(picture, label=name, format="jpeg")
            elif picture is not None:
                self._images[name].image = picture


def head_html(playback: Playback, t_s: float) -> str:
    """Mode, large, and the time."""
    mode = playback.at(t_s).scene.mode
    name, colour = ("NO MODE", "#868e96") if mode is None else (mode.name, MODE_COLOUR[mode])
    return (
        f'<div style="padding:0 14px"><div style="background:{colour};color:white;border-radius:8px;padding:10px;'
        f'text-align:center;font-size:26px;font-weight:700">{name}</div>'
        f'<div style="margin:8px 2px 0;font-size:15px">{t_s:.2f} of {playback.duration_s:.2f} s</div></div>'
    )


def facts_html(playback: Playback, instant: Instant) -> str:
    """What is known of the episode, and what was said last."""
    metadata = playback.episode.metadata
    rows = [("episode", playback.episode.path.name)]
    rows += [(key, metadata[key]) for key in ("task", "operator", "success", "verdict", "policy") if metadata.get(key)]
    cells = "".join(
        f'<tr><td style="color:#868e96;padding:2px 10px 2px 2px">{escape(label)}</td><td>{escape(value)}</td></tr>'
        for label, value in rows
    )
    said = "".join(f"<div>{t_s:.2f} s &nbsp; {escape(text)}</div>" for t_s, text in instant.said)
    return (
        f'<div style="padding:0 14px;font-size:13px"><table style="border-collapse:collapse">{cells}</table>'
        f'<div style="margin-top:8px;color:#495057">{said}</div></div>'
    )
