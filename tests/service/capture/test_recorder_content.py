"""What an episode says of the run: losses, causes, operators, the person, the manifest's row."""

from __future__ import annotations

import json

import numpy as np
from tests.service.capture.conftest import MS, STREAMS, World

from teleopd.safety.words import Cause, Mode
from teleopd.service.capture import manifest


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
