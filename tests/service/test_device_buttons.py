"""A device's buttons reach the operator's slots."""

from __future__ import annotations

from pathlib import Path

import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act
from teleopd.service.device_buttons import DeviceButtons
from teleopd.service.streams import Bus, PolicyStatus

MS = 1_000_000
START = 10**12


@pytest.fixture
def bus(tmp_path: Path) -> Bus:
    (tmp_path / "token").write_text("42")
    return Bus(Session("unitree_g1", tmp_path), MODEL.n, create=True)


@pytest.fixture
def buttons(tmp_path: Path, bus: Bus) -> DeviceButtons:
    return DeviceButtons(Session("unitree_g1", tmp_path), bus)


def acts(bus: Bus, buttons: DeviceButtons, held_ms: list[tuple[int, set[str]]]) -> list[Act]:
    """What the operator's slot asked for, one entry a new sequence number."""
    found, seq = [], 0
    for ms, pressed in held_ms:
        buttons.step(pressed, START + ms * MS)
        word = bus.slot("operator_device").read()
        if word is not None and word.seq != seq:
            assert (word.token, word.engage_held) == (42, False), "a stop button engages nothing"
            seq = word.seq
            found.append(Act(word.act))
    return found


def test_a_press_is_one_soft_stop_however_many_frames_show_it(bus: Bus, buttons: DeviceButtons):
    frames: list[tuple[int, set[str]]] = [(0, set()), (10, {"stop"}), (20, {"stop", "x"}), (500, {"stop"})]
    assert acts(bus, buttons, frames) == [Act.STOP]


def test_a_long_press_damps_and_two_presses_are_two_stops(bus: Bus, buttons: DeviceButtons):
    assert acts(bus, buttons, [(t, {"stop"}) for t in range(0, 1500, 10)]) == [Act.STOP, Act.DAMP]
    assert acts(bus, buttons, [(1500, set()), (1560, {"stop"}), (1600, set()), (1660, {"stop"})])[-2:] == [Act.STOP] * 2


def test_other_buttons_stop_nothing(bus: Bus, buttons: DeviceButtons):
    assert acts(bus, buttons, [(0, {"x", "b", "left_grip"}), (10, {"STOP"})]) == []


def test_the_force_limit_goes_up_and_down_by_a_newton_a_press(bus: Bus, buttons: DeviceButtons):
    setting = bus.slot("compliance_device")
    buttons.step(set(), START)
    buttons.step({"force_limit_up"}, START + MS)
    assert setting.read() is None, "no policy with a force limit runs"
    bus.slot("policy_status").write(PolicyStatus(START, 0, 0.0, 0.0, 10.0, False))
    asked = []
    for ms, pressed in enumerate([set(), {"force_limit_up"}, {"force_limit_up"}, set(), {"force_limit_up"}, set(),
                                  {"force_limit_down"}]):  # fmt: skip
        buttons.step(pressed, START + (10 + ms) * MS)
        word = setting.read()
        asked.append(None if word is None else (word.token, word.force_limit_n))
    assert asked == [None, (42, 11.0), (42, 11.0), (42, 11.0), (42, 12.0), (42, 12.0), (42, 11.0)]
