"""A recorder and the robot it is shown, in time that is a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.service.capture.small_episodes import Begin, begin_in

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture.episode import Episode
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recorder import Recorder
from teleopd.service.capture.recording import Inputs
from teleopd.service.capture.records import VERBS, EpisodeWish, RecorderStatus, as_text
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter
from teleopd.service.streams import recording_streams

N, MS, S = MODEL.n, 1_000_000, 1_000_000_000
TOKEN, T0, WALL = 77, 100 * S, 1_790_000_000 * S
BODIES = ("Pelvis", "Head")
STREAMS = recording_streams(N)


class World:
    """A recorder and what it is shown: time goes on by 20 ms a step."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        header = EpisodeHeader("unitree_g1", MODEL.joint_names, BODIES, {"task": 'a/b "c" 👋'}, {"robot.xml": b"<m/>"})
        self.recorder = Recorder(folder, header, MODEL, TOKEN, **options)
        self.now_ns, self.mode, self.wish_ns = T0, Mode.READY, 0
        self.lost = dict.fromkeys(("state", "command"), 0)
        self.rows: dict[str, Any] = {}
        self.wishes: list[EpisodeWish | None] = [None, None, None]
        self.status: RecorderStatus = self.recorder.status(T0)

    def inputs(self) -> Inputs:
        rows, self.rows = self.rows, {}
        wall_ns = WALL + self.now_ns - T0
        return Inputs(self.now_ns, wall_ns, int(self.mode), rows, dict(self.lost), list(self.wishes))

    def step(self, mode: Mode | None = None, count: int = 1) -> RecorderStatus:
        for _ in range(count):
            self.now_ns += 20 * MS
            if mode is not None and mode != self.mode:
                self.event(mode, -1)
            self.samples(10)
            self.status = self.recorder.step(self.inputs())
        return self.status

    def event(self, mode: Mode, cause: int, causes: int = 0) -> None:
        self.mode = mode
        row = np.zeros(1, dtype=STREAMS["record_event"].codec.dtype)
        row[0] = self.now_ns, int(mode), cause, causes
        self.rows["event"] = np.concatenate([self.rows["event"], row]) if "event" in self.rows else row

    def samples(self, count: int) -> None:
        """`count` states and commands up to now, 2 ms apart."""
        t_ns = self.now_ns - 2 * MS * np.arange(count - 1, -1, -1)
        state = np.zeros(count, dtype=STREAMS["record_state"].codec.dtype)
        state["t_ns"], state["quat_w"][:, 0], state["q"] = t_ns, 1.0, MODEL.q_stand
        command = np.zeros(count, dtype=STREAMS["record_command"].codec.dtype)
        command["t_ns"], command["mode"], command["sent"] = t_ns, int(self.mode), True
        self.rows |= {"state": state, "command": command}

    def wish(self, verb: str, token: int = TOKEN, writer: int = 0) -> RecorderStatus:
        self.wishes[writer] = EpisodeWish(1, self.now_ns + 1, token, VERBS.index(verb))
        return self.step()

    @property
    def says(self) -> str:
        return as_text(self.status.sentence)

    def episode(self) -> Episode:
        return read_episode(Path(as_text(self.status.path)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begins a small episode: stem, folder and metadata -> its writer."""

    def start(stem: str = "toy", folder: Path = tmp_path, **metadata: str) -> EpisodeWriter:
        return begin_in(folder, stem, **metadata)

    return start
