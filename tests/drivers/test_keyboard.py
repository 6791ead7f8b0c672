"""Keyboard: a terminal's bytes to what is held, and a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.drivers.gamepad.keyboard import FIRST_NS, REPEAT_NS, KeyboardSource, Keys
from teleopd.drivers.gamepad.pad import PadError
from teleopd.drivers.source import SourceState, SourceUnavailable

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


def test_a_stop_is_seen_once_and_lets_go():
    stopped = keys((1000, b"wx"))
    first, second = stopped.read(1001 * MS), stopped.read(1021 * MS)
    assert (first.stop, first.deadman, first.forward) == (True, False, 0.0)
    assert not second.stop


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


def test_without_a_terminal_it_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SourceUnavailable) as error:
        asyncio.run(KeyboardSource(terminal=str(tmp_path / "file")).open())
    assert str(error.value) == f"the keyboard needs a terminal, and {tmp_path}/file is none; start it in one"


def test_speeds_out_of_range_are_refused():
    with pytest.raises(PadError) as error:
        KeyboardSource(speed=0.7)
    assert str(error.value) == "speed 0.7 m/s, turn_speed 0.6 rad/s; give more than 0, at most 0.6 and 0.8"
