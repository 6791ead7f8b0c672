"""Gamepad: bytes to events, events to velocities, finding a pad, losing it and taking up another one."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.drivers.gamepad import devices, wire
from teleopd.drivers.gamepad.emulator import UINPUT, KernelPad, PipePad
from teleopd.drivers.gamepad.findings import PadFacts, findings
from teleopd.drivers.gamepad.pad import Pad, PadError, PadMap
from teleopd.drivers.gamepad.source import QUIET_S, GamepadSource
from teleopd.drivers.gamepad.wire import EV_ABS, EV_KEY, EV_SYN, REPORT, SYN_DROPPED, Event
from teleopd.drivers.source import SourceState, SourceUnavailable

MS = 1_000_000
EAST, RIGHT_BUMPER, LEFT_BUMPER = 0x131, 0x137, 0x136
ABS_Y, ABS_X, ABS_RX = 1, 0, 3


# Bytes


def test_an_event_is_24_bytes_on_64_bit_linux_and_decodes_field_by_field():
    raw = struct.pack("=qqHHi", 1_700_000_000, 250_000, 3, 1, -32768)
    assert wire.EVENT.size == len(raw) == 24
    assert list(wire.decode(raw)) == [Event(EV_ABS, ABS_Y, -32768)]
    assert wire.encode(Event(EV_ABS, ABS_Y, -32768), t_ns=1_700_000_000_250_000_000) == raw


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.integers(-(2**31), 2**31 - 1))),
       st.integers(0, 23))  # fmt: skip
def test_events_survive_the_wire_and_a_part_of_one_is_left(events: list[tuple[int, int, int]], extra: int):
    raw = wire.encode(*(Event(*event) for event in events)) + b"\x01" * extra
    assert list(wire.decode(raw)) == [Event(*event) for event in events]


def test_the_axis_ioctl_is_the_kernels():
    assert wire.get_abs(0) == 0x80184540
    assert wire.get_abs(5) == 0x80184545


def test_capability_words_are_read_highest_first():
    assert wire.bits("7fdb000000000000 0 0 0 0") == {304, 305, 307, 308, 310, 311, 312, 313, 314, 315, 316, 317, 318}
    assert wire.bits("3003f") == {0, 1, 2, 3, 4, 5, 16, 17}
    assert wire.bits("") == set()


# Meaning


def pad_with(*events: Event, **settings: object) -> Pad:
    pad = Pad(PadMap(**settings))  # type: ignore[arg-type]
    for event in events:
        pad.event(event)
    return pad


def test_at_first_it_says_nothing():
    reading = pad_with().read()
    assert reading == (0.0, 0.0, 0.0, False, False, frozenset())


def test_a_stick_pushed_up_left_walks_forward_left_and_turns_left():
    reading = pad_with(Event(EV_ABS, ABS_Y, -32768), Event(EV_ABS, ABS_X, -32768), Event(EV_ABS, ABS_RX, -32768)).read()
    assert reading[:3] == (0.6, 0.6, 0.8)
    reading = pad_with(Event(EV_ABS, ABS_Y, 32767), Event(EV_ABS, ABS_X, 32767), Event(EV_ABS, ABS_RX, 32767)).read()
    assert reading[:3] == pytest.approx((-0.6, -0.6, -0.8))


def test_the_dead_zone_is_nothing_and_what_lies_beyond_begins_at_zero():
    inside, beyond = round(-32767 * 0.119), round(-32767 * 0.56)
    assert pad_with(Event(EV_ABS, ABS_Y, inside)).read().forward == 0.0
    assert pad_with(Event(EV_ABS, ABS_Y, beyond)).read().forward == pytest.approx(0.6 * (0.56 - 0.12) / 0.88, abs=1e-4)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_no_value_and_no_range_goes_beyond_the_speed(value: int, low: int, high: int):
    pad = Pad(PadMap(), {"left_y": (low, high)})
    pad.event(Event(EV_ABS, ABS_Y, value))
    assert abs(pad.read().forward) <= 0.6


def test_an_axis_has_the_range_it_says():
    pad = Pad(PadMap(), {"left_y": (0, 255)})
    pad.event(Event(EV_ABS, ABS_Y, 0))
    assert pad.read().forward == 0.6


def test_the_bumper_is_the_deadman_only_while_it_is_down():
    pad = pad_with(Event(EV_KEY, RIGHT_BUMPER, 1))
    assert pad.read().deadman
    pad.event(Event(EV_KEY, RIGHT_BUMPER, 0))
    assert not pad.read().deadman
    assert not pad_with(Event(EV_KEY, LEFT_BUMPER, 1)).read().deadman


@pytest.mark.parametrize(
    ("setting", "one", "both"),
    [("left_bumper", True, True), ("either_bumper", True, True), ("both_bumpers", False, True)],
)
def test_which_bumper_counts_is_a_setting(setting: str, one: bool, both: bool):
    pad = pad_with(Event(EV_KEY, LEFT_BUMPER, 1), deadman=setting)
    assert pad.read().deadman is one
    pad.event(Event(EV_KEY, RIGHT_BUMPER, 1))
    assert pad.read().deadman is both


def test_a_stop_tapped_between_two_readings_is_seen_once():
    pad = pad_with(Event(EV_KEY, EAST, 1), Event(EV_KEY, EAST, 0))
    assert pad.read().stop
    assert not pad.read().stop


def test_a_stop_held_is_seen_as_long_as_it_is():
    pad = pad_with(Event(EV_KEY, EAST, 1))
    assert [pad.read().stop, pad.read().stop] == [True, True]


def test_after_lost_events_everything_counts_as_let_go_until_it_moves_again():
    pad = pad_with(Event(EV_KEY, RIGHT_BUMPER, 1), Event(EV_ABS, ABS_Y, -32768), Event(EV_SYN, SYN_DROPPED, 0),
                   Event(EV_KEY, RIGHT_BUMPER, 1))  # fmt: skip
    assert pad.read()[:4] == (0.0, 0.0, 0.0, False)
    for event in (REPORT, Event(EV_KEY, RIGHT_BUMPER, 1)):
        pad.event(event)
    assert pad.read().deadman


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"forward": "up"}, "forward is on axis 'up'; choose one of left_x, left_y, z, right_x, right_y, rz, hat_x, "
                            "hat_y, '-' turns it round"),
        ({"deadman": "east"}, "deadman is 'east'; choose one of right_bumper, left_bumper, either_bumper, "
                              "both_bumpers"),
        ({"dead_zone": 0.6}, "dead_zone is 0.6; give 0 to 0.5"),
        ({"speed": 0.7}, "speed is 0.7 m/s; give more than 0, at most 0.6"),
        ({"turn_speed": 0.0}, "turn_speed is 0 rad/s; give more than 0, at most 0.8"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], sentence: str):
    with pytest.raises(PadError) as error:
        GamepadSource(**settings)  # type: ignore[arg-type]
    assert str(error.value) == sentence


# Finding one


class Computer:
    """A /sys/class/input and a /dev/input of its own, with pads that are pipes."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.dev = root / "sys", root / "dev"
        self.sysfs.mkdir()
        self.dev.mkdir()
        self.pads: list[PipePad] = []

    def plug(self, number: int, name: str, *, keys: str = "7fdb000000000000 0 0 0 0", axes: str = "3003f",
             bus: str = "0003") -> PipePad:  # fmt: skip
        device = self.sysfs / f"event{number}" / "device"
        for folder in ("capabilities", "id"):
            (device / folder).mkdir(parents=True, exist_ok=True)
        for file, text in (("name", name), ("capabilities/key", keys), ("capabilities/abs", axes), ("id/bustype", bus)):
            (device / file).write_text(text + "\n")
        self.pads.append(PipePad(self.dev / f"event{number}"))
        return self.pads[-1]

    def unplug(self, number: int, pad: PipePad) -> None:
        for path in sorted((self.sysfs / f"event{number}").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self.sysfs / f"event{number}").rmdir()
        pad.path.unlink()
        self.pads.remove(pad)
        pad.close()

    def source(self, **settings: object) -> GamepadSource:
        return GamepadSource(sysfs=str(self.sysfs), dev=str(self.dev), **settings)  # type: ignore[arg-type]


@pytest.fixture
def computer(tmp_path: Path) -> Iterator[Computer]:
    made = Computer(tmp_path)
    yield made
    for pad in made.pads:
        pad.close()


def opened(source: GamepadSource) -> GamepadSource:
    asyncio.run(source.open())
    return source


def test_a_keyboard_and_a_mouse_are_no_gamepads_and_numbers_count_as_numbers(computer: Computer):
    computer.plug(0, "a keyboard", keys="402000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe", axes="0")
    computer.plug(10, "the second")
    computer.plug(9, "the first", bus="0005")
    found = devices.gamepads(computer.sysfs, computer.dev)
    assert [(pad.name, pad.path.name, pad.bluetooth) for pad in found] == [
        ("the first", "event9", True), ("the second", "event10", False),
    ]  # fmt: skip


def test_a_pad_is_chosen_by_a_part_of_its_name(computer: Computer):
    computer.plug(1, "Xbox Wireless Controller")
    computer.plug(2, "DualSense")
    assert opened(computer.source(pad="dual")).device == "DualSense"
    assert opened(computer.source()).device == "Xbox Wireless Controller"


def test_what_is_missing_is_said_in_one_sentence(computer: Computer):
    with pytest.raises(SourceUnavailable) as error:
        opened(computer.source())
    assert str(error.value) == (
        "no gamepad is connected; plug one in or pair it, or walk the robot with --source keyboard"
    )
    computer.plug(1, "DualSense")
    with pytest.raises(SourceUnavailable) as error:
        opened(computer.source(pad="xbox"))
    assert str(error.value) == "no gamepad is called 'xbox'; connected: 'DualSense'"
    with pytest.raises(SourceUnavailable, match="^no gamepad: /nowhere/input does not exist"):
        opened(GamepadSource(sysfs="/nowhere/sys", dev="/nowhere/input"))


def test_without_permission_the_group_is_named(computer: Computer, monkeypatch: pytest.MonkeyPatch):
    computer.plug(3, "DualSense")

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(devices.os, "open", refuse)
    monkeypatch.setattr(devices, "_group", lambda _path: "input")
    with pytest.raises(SourceUnavailable) as error:
        opened(computer.source())
    assert str(error.value) == (
        f"gamepad 'DualSense': {computer.dev}/event3 may not be read; add yourself to group 'input' "
        "(sudo usermod -aG input $USER) and log in again"
    )


# The source


def test_the_pads_bytes_become_commands(computer: Computer):
    pad = computer.plug(1, "DualSense")
    source = opened(computer.source())
    assert source.state is SourceState.CONNECTING
    quiet = source.tick(1000 * MS)
    pad.button("right_bumper", True)
    pad.axis("left_y", -1.0)
    pad.axis("right_x", 1.0)
    moving = source.tick(1020 * MS)
    assert quiet is not None and moving is not None
    assert quiet[:8] == (0, 1000 * MS, 0.0, 0.0, 0.0, False, False, 0)
    assert (moving.seq, moving.t_ns, moving.forward, moving.left) == (1, 1020 * MS, 0.6, 0.0)
    assert moving.turn == pytest.approx(-0.8) and moving.deadman and moving.buttons == {"right_bumper"}
    assert source.state is SourceState.STREAMING
    assert source.counters.received == 6  # each with its report


def test_a_bumper_held_before_the_source_was_opened_is_no_deadman(computer: Computer):
    computer.plug(1, "DualSense")
    source = opened(computer.source())
    command = source.tick(MS)
    assert command is not None and not command.deadman


def test_half_an_event_waits_for_its_other_half(computer: Computer):
    pad = computer.plug(1, "DualSense")
    source = opened(computer.source())
    raw = wire.encode(Event(EV_KEY, RIGHT_BUMPER, 1))
    os.write(pad.fd, raw[:10])
    first = source.tick(MS)
    os.write(pad.fd, raw[10:])
    second = source.tick(21 * MS)
    assert first is not None and second is not None
    assert (first.deadman, second.deadman) == (False, True)


def test_unplugged_it_falls_silent_and_another_pad_is_taken_up_with_its_bumper_up(computer: Computer):
    start = time.monotonic_ns()
    pad = computer.plug(1, "DualSense")
    source = opened(computer.source())
    pad.button("right_bumper", True)
    held = source.tick(start + 20 * MS)
    computer.unplug(1, pad)
    lost = [source.tick(start + n * MS) for n in (40, 60, 80)]
    assert held is not None and held.deadman
    assert lost == [None, None, None]
    assert source.state is SourceState.STALE
    assert source.trouble == "gamepad 'DualSense' is gone (unplugged)"
    computer.plug(4, "Xbox")
    assert source.tick(start + 300 * MS) is None  # the attempt itself
    back = source.tick(start + 320 * MS)
    assert back is not None
    assert (source.device, back.deadman, back.resets, source.state) == ("Xbox", False, 1, SourceState.STREAMING)


def test_attempts_to_find_a_pad_again_grow_further_apart(computer: Computer):
    pad = computer.plug(1, "DualSense")
    source = opened(computer.source())
    start = time.monotonic_ns()
    source.tick(start)
    computer.unplug(1, pad)
    for n in range(500):  # 10 s
        source.tick(start + n * 20 * MS)
    assert source.reconnect.attempts == 1 + 5  # after 0.25, 0.75, 1.75, 3.75 and 7.75 s
    assert source.trouble == "no gamepad is connected; plug one in or pair it, or walk the robot with --source keyboard"


@pytest.mark.parametrize(("bus", "forward"), [("0005", 0.0), ("0003", 0.6)])
def test_a_silent_bluetooth_pad_stops_walking_and_a_wired_one_goes_on(computer: Computer, bus: str, forward: float):
    pad = computer.plug(1, "DualSense", bus=bus)
    source = opened(computer.source())
    start = time.monotonic_ns()
    pad.button("right_bumper", True)
    pad.axis("left_y", -1.0)
    moving, later = source.tick(start), source.tick(start + round((QUIET_S + 0.1) * 1e9))
    assert moving is not None and later is not None
    assert (moving.forward, later.forward, later.deadman) == (0.6, forward, True)


@pytest.mark.hardware
def test_a_real_pad_of_the_kernel_is_found_and_read():
    """`pytest -m hardware`, on a machine whose /dev/uinput may be written."""
    assert os.access(UINPUT, os.W_OK), f"{UINPUT} may not be written: no pad can be made here"
    pad = KernelPad("teleopd test pad")
    try:
        source = GamepadSource(pad="teleopd test pad")
        for _ in range(100):  # until the device node is there
            try:
                opened(source)
                break
            except SourceUnavailable:
                source = GamepadSource(pad="teleopd test pad")
                time.sleep(0.02)
        pad.button("right_bumper", True)
        pad.axis("left_y", -1.0)
        deadline = time.monotonic() + 5.0
        command = source.tick(time.monotonic_ns())
        while (command is None or not command.forward) and time.monotonic() < deadline:
            command = source.tick(time.monotonic_ns())
        assert command is not None
        assert (command.forward, command.deadman) == (0.6, True)
    finally:
        pad.close()


# The doctor


def test_what_the_doctor_says():
    assert findings(PadFacts("gamepad", 3.0, refused="no gamepad"))[0].what == "no gamepad"
    found = findings(PadFacts("gamepad", 3.0, device="Xbox", commands=150))
    assert [finding.level for finding in found] == ["note", "note", "ok"]
    assert found[-1].what == "'Xbox' is read: 150 commands in 3 s"
    good = findings(PadFacts("keyboard", 3.0, commands=150, deadman=True, moved=True))
    assert [finding.what for finding in good] == ["the keyboard is read: 150 commands in 3 s"]
