from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture.records import SHOWING, TILE_BYTES, CameraStatus, CameraTile, as_bytes, as_text
from teleopd.service.console.desk import Calibrate, CancelCalibration, ChooseSource, Desk, ForceLimit
from teleopd.service.console.facts import CHANGES_IN, RunFacts
from teleopd.service.console.keeper import FIGURES_NS, Keeper
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.setup_words import KINDS, SetupStatus
from teleopd.service.streams import Bus, PolicyStatus

MS = 1_000_000
NOW = 50_000 * MS


@pytest.fixture
def bus(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    owner = SessionOwner("unitree_g1")
    yield Bus(owner.session, MODEL.n, create=True)
    owner.close()


def step(keeper: Keeper, bus: Bus, now_ns: int) -> None:
    keeper.serve(keeper.complete(read_snapshot(bus, now_ns)))


def show(bus: Bus, number: int, t_ns: int, data: bytes) -> None:
    padded = np.zeros(TILE_BYTES, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    bus.slot(f"camera_tile_{number}").write(CameraTile(t_ns, len(data), padded))


def test_nothing_is_told_while_nobody_hears(bus: Bus):
    desk = Desk()
    step(Keeper(MODEL, bus, desk, asks=True), bus, NOW)
    assert desk.message == b""


def test_figures_are_told_ten_times_a_second(bus: Bus):
    desk = Desk()
    desk.watchers = 1
    keeper = Keeper(MODEL, bus, desk, asks=True)
    step(keeper, bus, NOW)
    first = desk.message
    step(keeper, bus, NOW + FIGURES_NS - 1)
    assert desk.message is first and json.loads(first)["t_s"] == NOW / 1e9
    step(keeper, bus, NOW + FIGURES_NS)
    assert desk.message is not first


def test_the_newest_picture_of_each_camera_lies_on_the_desk_under_the_cameras_own_number(bus: Bus):
    desk = Desk()
    desk.watchers = 1
    keeper = Keeper(MODEL, bus, desk, asks=True)
    said = CameraStatus(NOW, SHOWING, 30.0, 9, 0, 0, 64, 48, as_bytes("wrist", 32), as_bytes("", 400))
    bus.slot("camera_status_2").write(said)
    step(keeper, bus, NOW)
    assert desk.pictures == {} and json.loads(desk.message)["cameras"][0]["words"] == "no picture"
    show(bus, 2, NOW - 40 * MS, b"jpeg one")
    step(keeper, bus, NOW + FIGURES_NS)
    tile = json.loads(desk.message)["cameras"][0]
    assert desk.pictures == {2: b"jpeg one"}
    assert (tile["number"], tile["name"], tile["age_ms"], tile["words"]) == (2, "wrist", 140, "")
    assert tile["seq"] == (NOW - 40 * MS) // 1000


def test_a_view_that_only_looks_on_is_asked_in_vain(bus: Bus):
    desk = Desk()
    Keeper(MODEL, bus, desk, asks=False)
    assert desk.ask(ChooseSource("vmc")) == (False, "this view only looks on")


FACTS = RunFacts("xsens", "", "twist2", ("pico", "xsens"))


def desk_of(bus: Bus, facts: RunFacts = FACTS) -> tuple[Desk, Keeper]:
    desk = Desk()
    desk.watchers = 1
    return desk, Keeper(MODEL, bus, desk, asks=True, token=77, facts=facts)


def see(keeper: Keeper, snapshot, mode: Mode | None, make, **changes) -> None:
    safety = None if mode is None else make["status"](mode)
    keeper.serve(snapshot._replace(safety=safety, **changes))


def test_a_source_is_asked_of_the_parent_with_the_sessions_token(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus)
    see(keeper, snapshot, Mode.IDLE, make)
    assert desk.ask(ChooseSource("pico")) == (True, "source pico: asked for")
    see(keeper, snapshot, Mode.IDLE, make)
    wish = bus.slot("setup_console").read()
    assert (wish.seq, wish.token, KINDS[wish.kind], as_text(wish.name)) == (1, 77, "source", "pico")
    see(keeper, snapshot, Mode.IDLE, make, now_ns=snapshot.now_ns + FIGURES_NS)
    shown = json.loads(desk.message)["setup"]
    assert shown == {"source": "xsens", "operator": "", "sentence": "", "why_not": "", "waits": True}
    answer = SetupStatus(1, 1, False, as_bytes("pico", 64), as_bytes("anna", 64), as_bytes("done", 400))
    bus.slot("setup_status").write(answer)
    see(keeper, snapshot, Mode.IDLE, make, now_ns=snapshot.now_ns + 2 * FIGURES_NS)
    shown = json.loads(desk.message)["setup"]
    assert shown == {"source": "pico", "operator": "anna", "sentence": "done", "why_not": "", "waits": False}


@pytest.mark.parametrize("mode", [None, *(mode for mode in Mode if mode not in CHANGES_IN)])
def test_the_source_stays_once_the_robot_is_armed(bus: Bus, snapshot, make, mode: Mode | None):
    desk, keeper = desk_of(bus)
    see(keeper, snapshot, mode, make)
    taken, sentence = desk.ask(ChooseSource("pico"))
    started = "the robot loop has not started yet"
    changed = "source and operator are changed in IDLE, READY, DAMPED"
    assert not taken and sentence == (started if mode is None else f"the robot is {mode.name}; {changed}")
    see(keeper, snapshot, mode, make)
    assert bus.slot("setup_console").read() is None


def test_a_source_that_is_no_choice_or_a_run_that_keeps_its_own_is_refused(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus)
    see(keeper, snapshot, Mode.IDLE, make)
    assert desk.ask(ChooseSource("nokia")) == (
        False, "source nokia cannot be chosen here; there are: pico, xsens"
    )  # fmt: skip
    desk, keeper = desk_of(bus, FACTS._replace(keeps="this run records"))
    see(keeper, snapshot, Mode.IDLE, make)
    assert desk.ask(ChooseSource("pico")) == (False, "this run records")


def test_without_a_robot_the_source_may_be_changed_at_any_time(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus, FACTS._replace(drives=False))
    see(keeper, snapshot, None, make)
    assert desk.ask(ChooseSource("pico")).taken


def test_the_force_limit_goes_to_the_policy_within_its_range_only(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus)
    see(keeper, snapshot, Mode.ACTIVE, make)
    why = "nothing limits the force: the policy has no limit and compliance.admittance is off"
    assert desk.ask(ForceLimit(8.0)) == (False, why)
    limited = PolicyStatus(1, 0, 0.0, 0.0, 10.0, False)
    see(keeper, snapshot, Mode.ACTIVE, make, policy=limited)
    assert desk.ask(ForceLimit(80.0)) == (False, "force limit 80 N is not between 5 and 15 N")
    assert desk.ask(ForceLimit(float("nan"))) == (False, "force limit nan N is not between 5 and 15 N")
    assert bus.slot("compliance_console").read() is None
    assert desk.ask(ForceLimit(8.0)) == (True, "force limit: to 8 N at 1 N/s")
    see(keeper, snapshot, Mode.ACTIVE, make, policy=limited)
    written = bus.slot("compliance_console").read()
    assert (written.token, written.force_limit_n) == (77, 8.0)
    assert desk.ask(ForceLimit(None)).taken
    see(keeper, snapshot, Mode.ACTIVE, make, policy=limited)
    assert np.isnan(bus.slot("compliance_console").read().force_limit_n)


def test_a_stored_body_is_used_at_once_where_it_can_be_and_else_at_the_next_start(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus)
    keeper._measured.append("anna")
    see(keeper, snapshot, Mode.ARMED, make)
    assert "used at the next start, with --operator anna: the robot is ARMED" in keeper._wizard.sentence
    assert bus.slot("setup_console").read() is None
    keeper._measured.append("anna")
    see(keeper, snapshot, Mode.READY, make)
    wish = bus.slot("setup_console").read()
    assert (KINDS[wish.kind], as_text(wish.name)) == ("operator", "anna")


def test_a_calibration_is_begun_and_cancelled_from_the_page(bus: Bus, snapshot, make):
    desk, keeper = desk_of(bus)
    see(keeper, snapshot, Mode.IDLE, make)
    assert desk.ask(Calibrate("anna", "t")) == (True, "T-pose: measuring in 5 s")
    see(keeper, snapshot, Mode.IDLE, make, now_ns=snapshot.now_ns + FIGURES_NS)
    assert json.loads(desk.message)["calibration"]["stage"] == "countdown"
    assert desk.ask(CancelCalibration()).taken
    see(keeper, snapshot, Mode.IDLE, make, now_ns=snapshot.now_ns + 2 * FIGURES_NS)
    assert json.loads(desk.message)["calibration"]["sentence"] == "cancelled; nothing was stored"
