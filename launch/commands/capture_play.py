"""`teleop capture play`: a recorded episode in the browser view."""

from __future__ import annotations

import importlib.util
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from teleopd.drivers.home import expanded
from teleopd.launch.errors import CommandError


@dataclass(frozen=True, slots=True)
class Play:
    """Show a recorded episode in the browser view, with a scrubber: robot, reference, person, cameras, events."""

    path: Annotated[Path, tyro.conf.Positional]
    """Episode (MCAP), whole or torn."""
    view_port: int = 8765
    """Port of the page on 127.0.0.1."""
    at: float = 0.0
    """Begin at this time of the episode [s]."""
    paused: bool = False
    """Do not go on until the button is pressed."""

    def run(self) -> int:
        """Serve until Ctrl-C."""
        from teleopd.launch.commands.capture import _needs_mcap

        _needs_mcap()
        if importlib.util.find_spec("viser") is None:
            raise CommandError("the browser view needs viser; install it with: pip install 'teleopd[console]'")
        if not 0 < self.view_port <= 65535:
            raise CommandError(f"--view-port {self.view_port} is not between 1 and 65535")
        path = expanded(self.path, CommandError)
        if path.is_dir():
            raise CommandError(f"{path} is a folder; name one episode in it (*.mcap)")
        from teleopd.launch import registry
        from teleopd.robots.model import RobotModel
        from teleopd.service.capture.mcap_file import EpisodeError
        from teleopd.service.capture.reader import read_episode
        from teleopd.service.console.errors import ConsoleError
        from teleopd.service.console.playback import Playback
        from teleopd.service.console.player import Player

        try:
            with Console(stderr=True).status(f"reading {self.path.name}"):
                episode = read_episode(path)
            model: RobotModel = registry.load("robot", episode.robot)
            player = Player(model, Playback(episode, model), self.view_port, at_s=self.at, playing=not self.paused)
        except (EpisodeError, ConsoleError) as error:
            raise CommandError(str(error)) from None
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        print(f"{player.url} shows {self.path.name}, {episode.duration_s:.1f} s; Ctrl-C ends it", flush=True)
        try:
            player.run(stop.is_set)
        finally:
            player.close()
        return 0
