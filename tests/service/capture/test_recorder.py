"""The recorder's logic: when episodes begin and end, what operators wish, what a disk may do to it."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode
from teleopd.service.capture import manifest
from teleopd.service.capture.episode import Episode
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recorder import AFTERMATH_NS, RESERVE_BYTES, Recorder
from teleopd.service.capture.recording import FLUSH_NS, Inputs
from teleopd.service.capture.records import (
    ENDED,
    FAILED,
    RECORDING,
    VERBS,
    WAITING,
    EpisodeWish,
    RecorderStatus,
    as_text,
)
from teleopd.service.capture.writer import EpisodeHeader
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


def test_an_episode_begins_when_the_robot_is_armed_and_ends_a_second_after_the_policy_lost_the_motors(world: World):
    assert world.step(count=3).state == WAITING and names(world.folder) == []
    assert world.step(Mode.ARMED).state == RECORDING
    assert names(world.folder) == ["unitree_g1_20260921-141320.mcap.part"]
    world.step(Mode.ACTIVE, count=75)
    world.step(Mode.DAMPED, count=AFTERMATH_NS // (20 * MS))
    assert world.status.state == RECORDING
    assert world.step().state == WAITING
    assert names(world.folder) == ["manifest.jsonl", "unitree_g1_20260921-141320.mcap"]
    episode = world.episode()
    assert episode.metadata["ended"] == "the policy lost the motors" and episode.metadata["task"] == 'a/b "c" 👋'
    modes = [event["mode"] for _, event in episode.events if event["kind"] == "mode"]
    assert modes == ["ARMED", "ACTIVE", "DAMPED"]
    stream = episode.streams["command"]
    assert stream.n == 10 * (1 + 75 + 51) and set(np.diff(stream.t_ns)) == {2 * MS}
    np.testing.assert_array_equal(episode.streams["state"].columns["joint_pos"][0], MODEL.q_stand.astype(np.float32))


def test_arming_again_is_another_episode(world: World):
    world.step(Mode.ARMED, count=3)
    world.step(Mode.DAMPED, count=52)
    world.step(Mode.ARMED, count=2)
    status = world.recorder.end(world.inputs())
    assert (status.state, status.episodes) == (ENDED, 2)
    assert len(list(world.folder.glob("*.mcap"))) == 2


def test_what_is_written_is_on_the_disk_every_100_ms(world: World):
    world.step(Mode.ARMED, count=1 + FLUSH_NS // (20 * MS))
    torn = world.folder / "unitree_g1_20260921-141320.mcap.part"

    def on_the_disk() -> int:
        world.recorder.file.drain()
        return read_episode(torn).streams["command"].n

    assert on_the_disk() == 60
    world.step(count=4)
    assert on_the_disk() == 60
    world.step()
    assert on_the_disk() == 110


def test_stop_success_discard_and_start(world: World):
    world.step(Mode.ACTIVE, count=60)
    first = Path(as_text(world.wish("success").path))
    assert world.status.state == WAITING and world.says == f"{first.name}: keep"
    assert read_episode(first).metadata["success"] == "true"
    world.step(count=5)
    assert world.status.state == WAITING, "after an operator's word nothing begins by itself"
    assert world.wish("start").state == RECORDING
    assert world.step(Mode.DAMPED, count=60).state == RECORDING, "what an operator began an operator ends"
    second = Path(as_text(world.wish("stop").path))
    assert read_episode(second).metadata["success"] == ""
    world.wish("success")
    assert read_episode(second).metadata["success"] == "true" and world.says == f"{second.name}: success true"
    world.wish("discard")
    assert names(world.folder) == ["discarded", "manifest.jsonl", first.name]
    assert names(world.folder / "discarded") == [second.name]
    assert world.says == f"{second.name} is discarded (kept in discarded/)" and not world.status.refused
    assert manifest.rows(world.folder)[second.name]["discarded"] is True


def test_discarding_the_episode_that_runs_keeps_it_aside(world: World):
    world.step(Mode.ACTIVE, count=5)
    world.wish("discard")
    (kept,) = (world.folder / "discarded").iterdir()
    assert read_episode(kept).metadata["success"] == "false" and not list(world.folder.glob("*.mcap*"))


@pytest.mark.parametrize("verb", ["stop", "success", "discard"])
def test_without_an_episode_there_is_nothing_to_end(world: World, verb: str):
    assert world.wish(verb).refused and world.says == "no episode is being recorded"


def test_a_second_start_is_refused_and_the_episode_goes_on(world: World):
    world.step(Mode.ARMED)
    assert world.wish("start").refused
    assert world.says == "unitree_g1_20260921-141320.mcap is being recorded already"
    assert world.status.state == RECORDING and world.status.taken_ns == world.wishes[0].t_ns


def test_a_wish_counts_once_and_only_with_the_token(world: World):
    world.step(Mode.ARMED)
    world.wish("stop", token=TOKEN + 1)
    assert world.status.state == RECORDING and world.status.taken_ns == 0
    world.wish("stop")
    world.wishes[1] = EpisodeWish(1, world.now_ns + 1, TOKEN, VERBS.index("start"))
    world.step(count=3)
    assert world.status.state == RECORDING, "the old stop of the other writer is not taken again"


def test_two_writers_at_one_moment_are_both_heard(world: World):
    world.step(Mode.ARMED)
    world.wishes[0] = EpisodeWish(1, world.now_ns + 9, TOKEN, VERBS.index("stop"))
    world.wishes[1] = EpisodeWish(1, world.now_ns + 8, TOKEN, VERBS.index("start"))
    world.step()
    assert world.status.state == RECORDING and world.status.episodes == 1


def test_a_wish_that_is_none_is_nothing(world: World):
    world.wishes[0] = EpisodeWish(1, world.now_ns + 1, TOKEN, 99)
    assert world.step().state == WAITING


def test_lost_samples_are_counted_said_and_in_the_file(world: World):
    world.lost["state"] = 1000  # before the episode
    world.step(Mode.ACTIVE, count=60)
    world.lost |= {"state": 1003, "command": 2}
    world.step(count=60)
    assert world.status.lost == 5
    world.wish("stop")
    episode = world.episode()
    assert episode.dropped == {"state": 3, "command": 2}
    (drop,) = [event for _, event in episode.events if event["kind"] == "drop"]
    assert drop["text"] == "samples lost so far: 3 of state, 2 of command"
    assert json.loads(episode.metadata["verdict_reasons"]) == ["0.21% of the samples were lost"]
    assert episode.metadata["verdict"] == "maybe"


def test_causes_and_operators_are_in_the_events(world: World):
    world.step(Mode.ACTIVE)
    world.event(Mode.HOLD, int(Cause.SOURCE_STALE), 1 << Cause.SOURCE_STALE)
    world.step()
    world.event(Mode.ACTIVE, -1, 0)
    given = world.inputs()
    world.recorder.step(given._replace(acts=[("ctl", "STOP")]))
    world.wish("stop")
    told = [(event["kind"], event["text"]) for _, event in world.episode().events]
    assert told == [
        ("episode", "the episode begins"), ("mode", "ACTIVE"), ("mode", "HOLD (SOURCE_STALE)"),
        ("cause", "SOURCE_STALE begins"), ("mode", "ACTIVE"), ("cause", "SOURCE_STALE is over"),
        ("operator", "ctl: STOP"), ("episode", "the episode ends: the operator"),
    ]  # fmt: skip


def test_a_recorder_that_follows_one_that_died_goes_on_in_a_new_file_and_obeys_nothing_twice(tmp_path: Path):
    first = World(tmp_path)
    first.wish("start")
    first.step(count=19)
    first.recorder.file.drain()
    second = World(tmp_path, before=first.status)
    second.now_ns, second.mode, second.wishes = first.now_ns + 2 * S, Mode.ACTIVE, first.wishes
    second.step(count=2)
    assert second.status.state == RECORDING
    second.wish("stop")
    assert second.episode().metadata["continues"] == "unitree_g1_20260921-141320.mcap"
    assert read_episode(tmp_path / "unitree_g1_20260921-141320.mcap.part").streams["command"].n == 160


def test_without_a_robot_an_episode_begins_with_the_first_reference(tmp_path: Path):
    world = World(tmp_path, balances=False)
    world.mode = -1  # type: ignore[assignment]
    assert world.step(count=2).state == WAITING
    row = np.zeros(1, dtype=STREAMS["record_reference"].codec.dtype)
    row["t_ns"], row["t_published_ns"] = world.now_ns, world.now_ns + 5 * MS
    world.rows["reference"] = row
    world.now_ns += 20 * MS
    world.status = world.recorder.step(world.inputs())
    assert world.status.state == RECORDING
    world.status = world.recorder.end(world.inputs())
    stream = world.episode().streams["reference"]
    assert stream.columns["published_after_s"].tolist() == [[0.005]]


def test_the_persons_bodies_are_those_of_the_header(world: World):
    world.step(Mode.ARMED)
    rows = np.zeros(2, dtype=STREAMS["record_human"].codec.dtype)
    rows["t_ns"], rows["bodies"] = world.now_ns, (2, 3)
    rows["pos_w"][0, :2] = [[1, 2, 3], [4, 5, 6]]
    rows["valid"][0, :2] = [True, False]
    world.rows["human"] = rows
    world.wish("stop")
    human = world.episode().streams["human"].columns
    assert human["pos_w"].tolist() == [[1, 2, 3, 4, 5, 6]] and human["valid"].tolist() == [[1, 0]]


# Disks


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


def test_two_recorders_share_a_folder(tmp_path: Path):
    worlds = [World(tmp_path), World(tmp_path)]
    for world in worlds:
        world.step(Mode.ACTIVE, count=60)
    for world in worlds:
        world.wish("stop")
    assert names(tmp_path) == [
        "manifest.jsonl", "unitree_g1_20260921-141320.mcap", "unitree_g1_20260921-141320_2.mcap",
    ]  # fmt: skip
    assert len(manifest.rows(tmp_path)) == 2
    assert all(world.episode().streams["command"].n == 610 for world in worlds)


def test_the_manifest_says_what_an_episode_is(world: World):
    world.step(Mode.ACTIVE, count=120)
    world.wish("success")
    (row,) = manifest.rows(world.folder).values()
    said = {key: row[key] for key in ("file", "robot", "task", "success", "verdict", "split", "recorded", "dropped")}
    assert said == {
        "file": "unitree_g1_20260921-141320.mcap", "robot": "unitree_g1", "task": 'a/b "c" 👋', "success": "true",
        "verdict": "keep", "split": "train", "recorded": "2026-09-21T14:13:22Z", "dropped": {"state": 0, "command": 0},
    }  # fmt: skip


def test_numbers_that_are_none_do_not_stop_the_recording_and_the_verdict_is_drop(world: World):
    world.step(Mode.ACTIVE, count=120)
    world.now_ns += 20 * MS
    world.samples(10)
    world.rows["state"]["q"][3, 5] = np.nan
    bad = world.rows["state"]
    world.recorder.step(world.inputs())
    world.wish("stop")
    episode = world.episode()
    assert np.isnan(episode.streams["state"].columns["joint_pos"]).sum() == 1 and len(bad) == 10
    assert episode.metadata["verdict"] == "drop"
    assert json.loads(episode.metadata["verdict_reasons"]) == ["1 samples hold numbers that are none"]


