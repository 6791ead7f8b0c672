"""What operators wish of the recorder: start, stop, success and discard, once each, with the session's token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.service.capture.conftest import TOKEN, World, names

from teleopd.safety.words import Mode
from teleopd.service.capture import manifest
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import RECORDING, VERBS, WAITING, EpisodeWish, as_text


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
