from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.records import SHOWING, TILE_BYTES, CameraStatus, CameraTile, as_bytes
from teleopd.service.console.desk import ChooseSource, Desk
from teleopd.service.console.keeper import FIGURES_NS, Keeper
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.streams import Bus

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
