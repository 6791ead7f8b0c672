"""When the recorder begins an episode and ends it, and what follows one that died."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.service.capture.conftest import MS, STREAMS, S, World, names

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture import manifest
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recorder import AFTERMATH_NS
from teleopd.service.capture.recording import FLUSH_NS
from teleopd.service.capture.records import ENDED, RECORDING, WAITING


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
