"""The emulated operator's hand: presses once the robot stands freely, holds while it follows, and lets go for good."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.network.wire import decode
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.launch.emulated_operator import Hand, check_hand, press_when_armed
from teleopd.launch.errors import CommandError
from teleopd.launch.operator_script import ENGAGE_AFTER_NS, PRESS_NS, Gantry, OperatorScript, Step
from teleopd.safety.words import Act, Mode, SafetyStatus

S, MS = 1_000_000_000, 1_000_000
START = 100 * S


def status(mode: Mode, now_ns: int, *, since_ns: int | None = None, ready_to_arm: bool = False) -> SafetyStatus:
    return SafetyStatus(
        now_ns, 1, int(mode), now_ns if since_ns is None else since_ns, -1, 0, 0, np.zeros(32, np.uint32),
        np.zeros(8, np.uint32), np.zeros(3, np.uint32), False, ready_to_arm, -1, 0, np.zeros(3), 0,
    )  # fmt: skip


def test_the_hand_presses_when_the_robot_stands_freely_and_not_before():
    hand, now = Hand(), START + ENGAGE_AFTER_NS
    assert not hand.holds(None, now)
    for mode in (Mode.BOOT, Mode.CHECK, Mode.IDLE, Mode.READY):
        assert not hand.holds(status(mode, now, since_ns=START), now)
    armed = status(Mode.ARMED, now, since_ns=START)
    assert not hand.holds(armed, now)
    assert hand.holds(armed, now + MS)
    assert not hand.holds(armed, now + PRESS_NS), "nothing happened: another press"
    assert hand.holds(status(Mode.ACTIVE, now), now) and hand.holds(status(Mode.HOLD, now), now)


def test_once_the_robot_has_stopped_following_the_hand_stays_open():
    hand, now = Hand(), START + ENGAGE_AFTER_NS + MS
    assert hand.holds(status(Mode.ACTIVE, now), now)
    assert not hand.holds(status(Mode.RETURN, now), now)
    assert not hand.holds(status(Mode.ARMED, now, since_ns=START), now)
    assert not hand.holds(status(Mode.ACTIVE, now), now)


def test_pressing_reaches_the_wire():
    clip = load_motion("wave")
    headset, source = PicoEmulator(clip, EmulatorOptions(rate_hz=60.0)), PicoSource()
    held = []
    for number, pressed in enumerate((False, True, True, False)):
        headset.pressed = pressed
        source.receive(headset.frame(number, 10**18), 10**12 + number * 16 * MS)
        pose = source.take()
        held.append(pose is not None and pose.deadman)
    assert held == [False, True, True, False]
    program = NetworkEmulator(clip)
    assert decode(program.frame(0)).deadman is False
    program.pressed = True
    assert decode(program.frame(1)).deadman is True


def test_without_a_service_nothing_is_pressed(tmp_path, monkeypatch):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    program = NetworkEmulator(load_motion("wave"))

    async def run() -> None:
        hand = asyncio.create_task(press_when_armed(program, "unitree_g1"))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not hand.done()
        hand.cancel()

    asyncio.run(run())
    assert program.pressed is False


def test_a_device_without_a_deadman_is_refused():
    with pytest.raises(CommandError) as error:
        check_hand(XsensEmulator(load_motion("wave")), "xsens")
    assert str(error.value) == "device xsens has no deadman to press; pico and network have"


def test_auto_arm_climbs_to_armed_and_never_engages():
    script = OperatorScript(auto_engage=False, auto_arm=True, virtual=True, countdown_s=0.6)
    assert script.step(status(Mode.IDLE, START), START) == Step(Act.READY)
    assert script.step(status(Mode.READY, START, ready_to_arm=True), START) == Step(Act.ARM)
    for since_ms in range(0, 5000, 50):
        now = START + since_ms * MS
        assert script.step(status(Mode.ARMED, now, since_ns=START), now) == Step(gantry=Gantry.RELEASE)
    assert script.step(status(Mode.ACTIVE, START), START) == Step(gantry=Gantry.RELEASE)
    assert script.step(status(Mode.IDLE, START), START, proven=False) == Step()
