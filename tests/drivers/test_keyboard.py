"""Keyboard: a terminal's bytes to what is held, and a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.drivers.gamepad.keyboard import FIRST_NS, PIECES_NS, REPEAT_NS, KeyboardSource, Keys
from teleopd.drivers.gamepad.pad import PadError
from teleopd.drivers.source import SourceState, SourceUnavailable
from teleopd.safety.operator import OperatorWriter

MS = 1_000_000


def keys(*fed: tuple[int, bytes]) -> Keys:
    made = Keys(0.4, 0.6)
    for at_ms, data in fed:
        made.feed(data, at_ms * MS)
    return made


@pytest.mark.parametrize(
    ("key", "velocity"),
    [(b"w", (0.4, 0, 0)), (b"s", (-0.4, 0, 0)), (b"a", (0, 0.4, 0)), (b"d", (0, -0.4, 0)), (b"q", (0, 0, 0.6)),
     (b"e", (0, 0, -0.6)), (b" ", (0, 0, 0)), (b"W", (0.4, 0, 0)), (b"\x1b[A", (0.4, 0, 0)), (b"\x1b[B", (-0.4, 0, 0)),
     (b"\x1b[D", (0, 0, 0.6)), (b"\x1b[C", (0, 0, -0.6))],
)  # fmt: skip
def test_a_key_walks_and_is_the_deadman(key: bytes, velocity: tuple[float, float, float]):
    reading = keys((1000, key)).read(1001 * MS)
    assert reading[:4] == (*velocity, True)


def test_a_tap_holds_until_the_repetition_would_set_in_and_no_longer():
    tapped = keys((1000, b"w"))
    assert tapped.read(1000 * MS + FIRST_NS - 1).deadman
    assert tapped.read(1000 * MS + FIRST_NS)[:4] == (0.0, 0.0, 0.0, False)


def test_once_it_repeats_letting_go_counts_after_a_quarter_of_a_second():
    held = keys((1000, b"w"), (1660, b"w"), (1700, b"w"))
    assert held.read(1700 * MS + REPEAT_NS - 1).forward == 0.4
    assert not held.read(1700 * MS + REPEAT_NS).deadman


def test_another_key_takes_over_and_waits_for_its_own_repetition():
    reading = keys((1000, b"w"), (1660, b"w"), (1700, b"q")).read((1700 + 600) * MS)
    assert reading[:4] == (0.0, 0.0, 0.6, True)


def test_a_stop_lets_go_and_is_held_as_long_as_any_key():
    stopped = keys((1000, b"wx"))
    first = stopped.read(1001 * MS)
    assert (first.stop, first.deadman, first.forward) == (True, False, 0.0)
    assert stopped.read(1000 * MS + FIRST_NS - 1).stop
    assert not stopped.read(1000 * MS + FIRST_NS).stop


def test_a_stop_is_seen_however_late_and_ends_when_another_key_is_pressed():
    assert keys((1000, b"x")).read(5000 * MS).stop
    walked_on = keys((1000, b"xw"))
    first, second = walked_on.read(1001 * MS), walked_on.read(1021 * MS)
    assert (first.stop, second.stop, second.forward) == (True, False, 0.4)


class Slot:
    """An operator slot in memory."""

    value = None

    def read(self):
        return self.value

    def write(self, value):
        self.value = value


@pytest.mark.parametrize(
    ("bytes_at_ms", "stops", "damps"),
    [([0], 1, 0), ([0, *range(660, 720, 40)], 1, 0), ([0, *range(250, 700, 33)], 1, 0),
     ([0, *range(660, 1200, 40)], 1, 1), ([0, 800], 2, 0)],
)  # fmt: skip
def test_a_held_stop_key_repeats_itself_and_is_one_press(bytes_at_ms, stops, damps):
    """A second press damps a standing robot, and so does a second of holding; a key that repeats is neither."""
    held, slot = Keys(0.4, 0.6), Slot()
    writer = OperatorWriter(slot, 7)
    for tick_ms in range(0, 2000, 20):
        for at_ms in bytes_at_ms:
            if tick_ms - 20 < at_ms <= tick_ms:
                held.feed(b"x", (10_000 + at_ms) * MS)
        now_ns = (10_000 + tick_ms) * MS
        writer.stop_button(held.read(now_ns).stop, now_ns)
    assert (slot.value.stops, slot.value.damps) == (stops, damps)


def test_plus_and_minus_change_the_speed_within_bounds():
    slow = keys((1000, b"-----w"))
    assert slow.read(1001 * MS).forward == pytest.approx(0.2)
    slow.feed(b"-" * 20, 1002 * MS)
    assert slow.share == pytest.approx(0.1)
    slow.feed(b"+" * 20, 1002 * MS)
    assert slow.share == pytest.approx(1.0)


def test_an_arrow_that_comes_in_pieces_is_one_key_and_unknown_sequences_are_none():
    assert keys((1000, b"\x1b"), (1001, b"[A")).read(1002 * MS).forward == 0.4
    assert not keys((1000, b"\x1b[F")).read(1001 * MS).deadman


@pytest.mark.parametrize(
    "sequence",
    [b"\x1b[1;5D", b"\x1b[1;2A", b"\x1b[3~", b"\x1b[15;5~", b"\x1b[200~", b"\x1bOP", b"\x1bOQ", b"\x1b[<35;10;5M",
     b"\x1b[O", b"\x1b[1;3S"],
)  # fmt: skip
def test_keys_that_are_no_arrows_do_nothing_whatever_letters_they_end_in(sequence: bytes):
    """Ctrl and left arrow end in a D, Shift and up in an A, F1 is O and P."""
    for pieces in ([sequence], [bytes([byte]) for byte in sequence]):
        pressed = keys(*((1000 + i, piece) for i, piece in enumerate(pieces)))
        assert pressed.read(1020 * MS)[:5] == (0.0, 0.0, 0.0, False, False)
        assert pressed.share == 1.0


@pytest.mark.parametrize(("key", "forward", "turn"), [(b"\x1bOA", 0.4, 0.0), (b"\x1bOD", 0.0, 0.6)])
def test_arrows_of_a_terminal_in_application_mode_are_arrows(key: bytes, forward: float, turn: float):
    assert keys((1000, key)).read(1001 * MS)[:4] == (forward, 0.0, turn, True)


def test_a_key_is_no_end_of_an_escape_pressed_before():
    assert keys((1000, b"\x1b["), (1000 + PIECES_NS // MS + 1, b"x")).read(1200 * MS).stop
    assert keys((1000, b"\x1b"), (1001, b"x")).read(1002 * MS).stop


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_no_bytes_break_it(fed: list[bytes]):
    made = Keys(0.4, 0.6)
    for i, data in enumerate(fed):
        made.feed(data, i * 20 * MS)
        reading = made.read(i * 20 * MS)
        assert max(abs(reading.forward), abs(reading.left)) <= 0.4 and abs(reading.turn) <= 0.6
        assert reading.deadman or reading[:3] == (0.0, 0.0, 0.0)


def test_a_real_terminal_is_read_and_given_back_as_it_was():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)

    async def run() -> None:
        source = KeyboardSource(terminal=os.ttyname(theirs))
        assert source.state is SourceState.CLOSED
        await source.open()
        os.write(ours, b"w")
        async for command in source.commands():
            if command.forward:
                assert (command.forward, command.deadman, command.stop) == (0.4, True, False)
                assert source.state is SourceState.STREAMING
                await source.close()
        assert source.state is SourceState.CLOSED
        await source.close()

    try:
        asyncio.run(asyncio.wait_for(run(), 20.0))
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_a_killed_source_left_behind_is_not_taken_for_the_users_own():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)

    async def run() -> None:
        killed, next_one = (KeyboardSource(terminal=os.ttyname(theirs)) for _ in range(2))
        await killed.open()
        os.close(killed._fd)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        await next_one.open()
        await next_one.close()

    try:
        asyncio.run(asyncio.wait_for(run(), 20.0))
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


BEHIND = """
import asyncio, os, termios
from teleopd.drivers.gamepad.keyboard import KeyboardSource
from teleopd.drivers.source import SourceUnavailable
source = KeyboardSource()
try:
    asyncio.run(source.open())
    print("taken")
except SourceUnavailable as error:
    print(error)
"""
AT_A_TERMINAL = """
import fcntl, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
subprocess.run([sys.executable, "-c", sys.argv[1]], process_group=0, timeout=30)
subprocess.run([sys.executable, "-c", sys.argv[1]], timeout=30)
"""


def test_in_the_background_it_is_refused_instead_of_stopping_every_process():
    """A job behind `&` that sets its terminal is stopped by the kernel, all of it."""
    ours, theirs = pty.openpty()
    try:
        told = subprocess.run(
            [sys.executable, "-c", AT_A_TERMINAL, BEHIND], stdin=theirs, stdout=subprocess.PIPE, start_new_session=True,
            timeout=90, check=True, text=True,
        ).stdout  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert told.splitlines() == ["the keyboard is read in the foreground only; start it without '&'", "taken"]


def test_without_a_terminal_it_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SourceUnavailable) as error:
        asyncio.run(KeyboardSource(terminal=str(tmp_path / "file")).open())
    assert str(error.value) == f"the keyboard needs a terminal, and {tmp_path}/file is none; start it in one"


def test_speeds_out_of_range_are_refused():
    with pytest.raises(PadError) as error:
        KeyboardSource(speed=0.7)
    assert str(error.value) == "speed 0.7 m/s, turn_speed 0.6 rad/s; give more than 0, at most 0.6 and 0.8"
