"""The parent replaces the source process for the view, before arming only, and goes back where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from teleopd.launch import processes as table
from teleopd.launch.config_resolution import resolve
from teleopd.launch.processes import Processes, ProcessSpec
from teleopd.launch.setup_choice import SetupChoice, as_source, choices, command_with, facts_of
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture.records import as_bytes, as_text
from teleopd.service.console.facts import CHANGES_IN
from teleopd.service.setup_words import KINDS, SetupWish
from teleopd.service.streams import Bus

CONFIG = resolve({"source": "xsens", "host": "127.0.0.1", "port": 9763}, None)


SOURCE = """
import time

def still(session, make_source, operator):
    from teleopd.service.child import Ending, refuse
    if make_source == "optitrack":
        refuse(session, "source", "optitrack cannot be reached")
    if make_source == "vmc":
        raise SystemExit(1)
    ending = Ending()
    while not ending.now:
        time.sleep(0.01)
"""
"""Stands in for the source process: `make_source` is the source's name."""


class Parent:
    """As much of one as the choice needs."""

    def __init__(self, owner: SessionOwner) -> None:
        self.said: list[str] = []
        self.owner, self.bus = owner, Bus(owner.session, MODEL.n, create=True)
        self.processes = Processes(self.said.append)
        self.processes.start("source", session=owner.session, make_source="xsens", operator="")
        self.made: list[Any] = []
        self.seq = 0
        facts = facts_of(CONFIG, MODEL, None)._replace(drives=True)
        self.choice = SetupChoice(CONFIG, facts, owner.session, self.processes, self.bus, self.make, "")

    def make(self, config: Any) -> str:
        self.made.append(config)
        return str(config.source)

    def wish(self, kind: str, name: str, token: int | None = None) -> None:
        self.seq += 1
        given = self.owner.session.token if token is None else token
        self.bus.slot("setup_console").write(SetupWish(self.seq, 1, given, KINDS.index(kind), as_bytes(name, 64)))

    def look(self, make_status: Any, mode: Mode | None = Mode.IDLE) -> tuple[bool, str, str, str]:
        self.choice.look(None if mode is None else make_status(mode))
        said = self.bus.slot("setup_status").read()
        return said.refused, as_text(said.source), as_text(said.operator), as_text(said.sentence)


@pytest.fixture
def parent(owner: SessionOwner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    (tmp_path / "stand_in_source.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    spec = ProcessSpec("source", "stand_in_source:still", "restart", 0)
    monkeypatch.setattr(table, "TABLE", {"source": spec})
    made = Parent(owner)
    yield made
    made.processes.end()


@pytest.fixture
def status():
    from types import SimpleNamespace

    return lambda mode: SimpleNamespace(mode=int(mode))


def test_another_source_takes_over_with_options_of_its_own(parent: Parent, status):
    before = parent.processes.children["source"].process
    assert parent.look(status) == (False, "xsens", "", "")
    parent.wish("source", "pico")
    assert parent.look(status) == (False, "pico", "", "source pico from now on, chosen in the browser view")
    assert not before.is_alive() and parent.processes.alive("source")
    assert (parent.made[-1].host, parent.made[-1].port) == ("", 0), "the address was the suit's"
    assert parent.said == ["source pico from now on, chosen in the browser view"]
    parent.look(status)
    assert len(parent.made) == 1, "a wish is answered once"
    parent.wish("source", "xsens")
    parent.look(status)
    assert parent.made[-1].port == 9763, "the run's own source comes back as it was configured"


@pytest.mark.parametrize("mode", [None, *(mode for mode in Mode if mode not in CHANGES_IN)])
def test_nothing_is_replaced_once_the_robot_is_armed(parent: Parent, status, mode: Mode | None):
    before = parent.processes.children["source"].process
    parent.wish("source", "pico")
    refused, source, _, sentence = parent.look(status, mode)
    assert refused and source == "xsens" and ("the robot is" in sentence or "has not started" in sentence)
    assert parent.processes.children["source"].process is before and before.is_alive() and parent.made == []
    assert not parent.look(status)[1] == "pico", "and not later either"


@pytest.mark.parametrize(("bad", "why"), [("optitrack", "optitrack cannot be reached"), ("vmc", "source vmc did not")])
def test_a_source_that_does_not_start_is_replaced_by_the_one_before(parent: Parent, status, bad: str, why: str):
    parent.wish("source", bad)
    parent.look(status)
    parent.processes.children["source"].process.join(60)
    refused, source, _, sentence = parent.look(status)
    assert refused and source == "xsens" and sentence.startswith(why) and sentence.endswith("; back to source xsens")
    assert parent.processes.alive("source") and parent.processes.children["source"].arguments["make_source"] == "xsens"
    assert not parent.owner.session.path("source.refused").exists()


def test_a_strangers_wish_and_one_that_is_no_choice_change_nothing(parent: Parent, status):
    parent.wish("source", "pico", token=parent.owner.session.token + 1)
    assert parent.look(status)[1] == "xsens" and parent.made == []
    for kind, name in (("source", "nokia"), ("", "pico")):
        parent.wish(kind, name)
        refused, source, _, sentence = parent.look(status)
        assert refused and source == "xsens" and sentence.endswith("cannot be chosen")


def test_a_stored_body_is_used_by_a_fresh_source_process(
    parent: Parent, status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path))
    parent.wish("operator", "nobody")
    refused, _, operator, sentence = parent.look(status)
    assert refused and operator == "" and sentence.startswith("operator 'nobody' has no calibration")
    monkeypatch.setattr("teleopd.launch.setup_choice.load_operator", lambda _path: None)
    parent.wish("operator", "anna")
    assert parent.look(status)[:3] == (False, "xsens", "anna")
    assert parent.processes.children["source"].arguments["operator"] == str(tmp_path / "anna.toml")
    parent.wish("source", "pico")
    assert parent.look(status)[:3] == (False, "pico", "anna"), "the body stays with another source"


def test_the_choices_are_what_needs_nothing_more():
    found = choices(CONFIG)
    assert {"xsens", "pico", "optitrack", "network"} <= set(found)
    assert not {"tap", "motion_file", "gamepad", "keyboard", "stick"} & set(found)
    assert "motion_file" in choices(resolve({"source": "motion_file", "motion": "walk"}, None))
    assert as_source(CONFIG, "pico").host == "" and as_source(CONFIG, "xsens") is CONFIG
    assert choices(resolve({"source": "gamepad"}, None)) == ("gamepad",)


def test_a_run_that_records_keeps_its_source():
    assert "records" in facts_of(resolve({"source": "xsens", "record": "x"}, None), MODEL, None).keeps
    assert "taps" in facts_of(resolve({"source": "xsens", "tap": "x"}, None), MODEL, None).keeps
    assert "no source" in facts_of(CONFIG, MODEL, None, has_source=False).keeps
    assert facts_of(CONFIG, MODEL, None).keeps == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/usr/bin/teleop", "serve"], "teleop serve --policy b"),
        (["teleop", "serve", "--policy", "a", "--seed", "1"], "teleop serve --seed 1 --policy b"),
        (["teleop", "serve", "--policy=a", "--task", "pick it up"], "teleop serve --task 'pick it up' --policy b"),
    ],
)
def test_the_command_to_restart_with_can_be_typed_as_it_stands(words: list[str], expected: str):
    assert command_with(words, "b") == expected
