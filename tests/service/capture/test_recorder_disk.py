"""What a disk may do to the recorder: refuse, be slow, be full, vanish."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from tests.service.capture.conftest import World, names

from teleopd.safety.words import Mode
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recorder import RESERVE_BYTES
from teleopd.service.capture.records import FAILED, RECORDING


class Disk:
    """`os.write` to recorded files fails from now on, with that error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int, text: str) -> None:
        def write(_fd: int, _data: bytes) -> int:
            raise OSError(error, text)

        monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize(
    ("error", "text"), [(28, "No space left on device"), (30, "Read-only file system"), (5, "Input/output error")]
)
def test_a_disk_that_refuses_ends_the_recording_with_the_reason_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, error: int, text: str
):
    world.step(Mode.ACTIVE, count=60)
    world.recorder.file.drain()
    Disk(monkeypatch, error, text)
    deadline = time.monotonic() + 30.0
    while world.step().state != FAILED:  # the disk's word comes from a thread
        assert time.monotonic() < deadline
        time.sleep(0.001)
    torn = "unitree_g1_20260921-141320.mcap.part"
    assert world.says == f"recording stopped: {text}; what was written is in {torn} (teleop capture recover)"
    assert world.step(count=50).state == FAILED, "nothing begins by itself on such a disk"
    monkeypatch.undo()
    assert read_episode(world.folder / torn).streams["command"].n == 560
    assert world.wish("start").state == RECORDING, "an operator may try again"


def test_a_disk_that_takes_seconds_for_a_write_costs_no_sample(world: World, monkeypatch: pytest.MonkeyPatch):
    world.step(Mode.ACTIVE, count=60)
    awake, write = threading.Event(), os.write

    def slow(fd: int, data: bytes) -> int:
        awake.wait(60.0)
        return write(fd, data)

    monkeypatch.setattr(os, "write", slow)
    world.step(count=400)
    assert world.status.state == RECORDING and world.recorder.file.waiting_bytes > 0
    awake.set()
    world.wish("stop")
    world.step(count=2)
    episode = world.episode()
    assert episode.metadata["complete"] == "true" and sum(episode.dropped.values()) == 0
    assert episode.streams["command"].n == 4610, "ten a step, the last one's too"


def test_a_disk_that_refuses_from_the_start_leaves_no_file(world: World, monkeypatch: pytest.MonkeyPatch):
    Disk(monkeypatch, 28, "No space left on device")
    assert world.step(Mode.ARMED).state == FAILED
    assert world.says == "recording stopped: No space left on device" and names(world.folder) == []


def test_a_sync_that_fails_is_a_disk_that_fails(world: World):
    world.step(Mode.ACTIVE, count=60)
    world.recorder.disk_failed(OSError(5, "Input/output error"))
    assert world.step().state == FAILED and "Input/output error" in world.says


def test_a_disk_that_gets_full_ends_the_episode_while_there_is_room_for_its_end(tmp_path: Path):
    left = [RESERVE_BYTES]
    world = World(tmp_path, space=lambda _folder: left[0])
    world.step(Mode.ACTIVE, count=60)
    left[0] -= 1
    world.step(count=50)
    assert world.status.state == FAILED
    assert world.says == (
        f"recording stopped: less than 64 MB are left on {tmp_path}; unitree_g1_20260921-141320.mcap is whole"
    )
    assert world.episode().metadata["ended"] == "the disk is full" and world.episode().metadata["complete"] == "true"
    world.wish("start")
    assert world.status.refused and world.says == f"cannot record: less than 64 MB are left on {tmp_path}"


def test_a_folder_that_vanished_or_may_not_be_written(tmp_path: Path):
    world = World(tmp_path / "gone")
    assert world.step(Mode.ARMED).state == FAILED
    assert world.says == "recording stopped: No such file or directory"
    world = World(Path("/proc"), space=lambda _folder: 1 << 40)
    world.step(Mode.ARMED)
    assert world.status.state == FAILED and world.says.startswith("cannot record in /proc: ")


def test_a_manifest_that_cannot_be_written_costs_no_episode(world: World):
    (world.folder / "manifest.jsonl").mkdir()
    world.step(Mode.ACTIVE, count=60)
    world.wish("stop")
    assert world.says.endswith("; the manifest cannot be written: Is a directory")
    assert world.episode().streams["command"].n == 610
