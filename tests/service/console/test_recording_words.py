"""What displays say about a recording."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from teleopd.robots.ipc.session import Session
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.records import (
    FAILED,
    NO_PICTURE,
    OPENING,
    RECORDING,
    SHOWING,
    WAITING,
    CameraStatus,
    RecorderStatus,
    as_bytes,
)
from teleopd.service.console.panel import facts_html
from teleopd.service.console.snapshot import (
    NOTHING_YET,
    RECORDER_SILENT_NS,
    Snapshot,
    read_snapshot,
    recording_words,
    warnings,
)
from teleopd.service.console.status_line import render_status
from teleopd.service.streams import Bus

S = 1_000_000_000


def seen(state: int, sentence: str = "", lost: int = 0) -> Snapshot:
    path = as_bytes("/data/<b>/walk.mcap", 1024)
    status = RecorderStatus(20 * S, state, 8 * S, 0, lost, 0, False, path, as_bytes(sentence, 400))
    return NOTHING_YET._replace(now_ns=20 * S, recorder=status)


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (NOTHING_YET, ""),
        (seen(RECORDING, "x"), "REC 12 s walk.mcap"),
        (seen(RECORDING, lost=3), "REC 12 s walk.mcap, 3 samples lost"),
        (seen(WAITING, "recording begins when the robot is armed"), "recording begins when the robot is armed"),
        (seen(FAILED, "recording stopped: No space left on device"), "recording stopped: No space left on device"),
    ],
)
def test_words(snapshot: Snapshot, words: str):
    assert recording_words(snapshot) == words
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(render_status(snapshot))
    text = console.export_text()
    assert (words in text) if words else ("recording" not in text)
    assert (words or "none") in facts_html(snapshot)


def test_a_failure_is_a_warning():
    assert warnings(seen(FAILED, "recording stopped: x")) == ["recording stopped: x"]
    assert warnings(seen(RECORDING, "recording stopped: x")) == []


def test_a_recorder_that_is_silent_is_not_shown(tmp_path: Path):
    bus = Bus(Session("unitree_g1", tmp_path), MODEL.n, create=True)
    status = seen(RECORDING).recorder
    assert status is not None
    bus.slot("recorder_status").write(status)
    assert read_snapshot(bus, status.t_ns + RECORDER_SILENT_NS - 1).recorder is not None
    assert read_snapshot(bus, status.t_ns + RECORDER_SILENT_NS).recorder is None


def camera(state: int, sentence: str = "", age_s: float = 0.0) -> Snapshot:
    name, words = as_bytes("<i>", 32), as_bytes(sentence, 400)
    status = CameraStatus(20 * S - round(age_s * S), state, 29.97, 90, 0, 0, 640, 480, name, words)
    return NOTHING_YET._replace(now_ns=20 * S, cameras=(status,))


def test_a_camera_is_seen_and_what_is_wrong_with_it_too():
    assert warnings(camera(SHOWING)) == []
    assert "camera &lt;i&gt;" in facts_html(camera(SHOWING)) and "30 Hz, 640x480" in facts_html(camera(SHOWING))
    assert warnings(camera(NO_PICTURE, "camera 'x' sends nothing")) == ["camera 'x' sends nothing"]
    assert warnings(camera(OPENING, age_s=11.0)) == ["camera '<i>' hangs"]


def test_a_look_at_the_slots_finds_the_cameras(tmp_path: Path):
    (tmp_path / "token").write_text("1")
    bus = Bus(Session("unitree_g1", tmp_path), MODEL.n, create=True)
    assert read_snapshot(bus, 5).cameras == ()
    bus.slot("camera_status_0").write(camera(SHOWING).cameras[0])
    assert [found.width for found in read_snapshot(bus, 5).cameras] == [640]
