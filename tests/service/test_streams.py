"""The table of slots and rings: complete, consistent with the words it carries, and checked when it is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.ipc.segment import SchemaMismatch, SegmentMissing
from teleopd.robots.ipc.session import Session
from teleopd.safety.words import OPERATOR_WRITERS, Act, Mode, OperatorCommand
from teleopd.service.streams import LOOPS, Bus, CommandLog, ModeLog, streams


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("toy", tmp_path)


def test_the_parent_makes_every_stream_for_its_user_alone(session: Session):
    Bus(session, 3, create=True)
    files = {path.name for path in session.folder.iterdir()}
    assert files == set(streams(3))
    assert {path.stat().st_mode & 0o777 for path in session.folder.iterdir()} == {0o600}


def test_every_operator_writer_and_every_loop_has_a_slot_of_its_own():
    table = streams(3)
    assert {f"operator_{writer}" for writer in OPERATOR_WRITERS} <= set(table)
    assert {f"loop_{loop}" for loop in LOOPS} <= set(table)
    assert [name for name, stream in table.items() if stream.ring_capacity] == [
        "reference_log", "tick_log", "command_log", "mode_log",
    ]  # fmt: skip


def test_what_one_side_writes_the_other_reads(session: Session):
    ours, theirs = Bus(session, 3, create=True), Bus(session, 3)
    assert theirs.slot("operator_ctl").read() is None
    word = OperatorCommand(4, 99, 12345, int(Act.ARM), True)
    ours.slot("operator_ctl").write(word)
    assert theirs.slot("operator_ctl").read() == word
    ours.ring("mode_log").push(ModeLog(5, Mode.HOLD, 0))
    ours.ring("mode_log").push(ModeLog(6, Mode.RETURN, 1))
    rows = theirs.ring("mode_log").drain()
    assert rows["t_ns"].tolist() == [5, 6]
    assert rows["mode"].tolist() == [int(Mode.HOLD), int(Mode.RETURN)]
    assert len(theirs.ring("mode_log").drain()) == 0


def test_a_full_ring_drops_and_counts_and_never_waits(session: Session):
    bus = Bus(session, 3, create=True)
    ring, capacity = bus.ring("command_log"), streams(3)["command_log"].ring_capacity
    pushed = [ring.push(CommandLog(i, 0, 0, 5)) for i in range(capacity + 10)]
    assert pushed == [True] * capacity + [False] * 10
    assert ring.dropped == 10
    assert ring.drain()["targets_seq"].tolist() == list(range(capacity))


def test_a_stream_is_opened_once(session: Session):
    bus = Bus(session, 3, create=True)
    assert bus.slot("state") is bus.slot("state")


def test_a_slot_is_no_ring_and_a_ring_no_slot(session: Session):
    bus = Bus(session, 3, create=True)
    with pytest.raises(TypeError, match=r"^stream 'state' is a Slot, not a Ring$"):
        bus.ring("state")
    with pytest.raises(TypeError, match=r"^stream 'tick_log' is a Ring, not a Slot$"):
        bus.slot("tick_log")


def test_nobody_attaches_to_what_is_not_there_or_is_for_another_robot(session: Session):
    with pytest.raises(SegmentMissing):
        Bus(session, 3).slot("state")
    Bus(session, 3, create=True)
    with pytest.raises(SchemaMismatch):
        Bus(session, 4).slot("state")


def test_layouts_follow_the_number_of_joints():
    small, large = streams(3), streams(29)
    assert small["state"].codec.size < large["state"].codec.size
    assert small["operator_ctl"].codec.size == large["operator_ctl"].codec.size
    assert large["targets"].codec.dtype["q"].shape == (29,)
    assert np.dtype(large["tick_log"].codec.dtype)["reference_q"].shape == (29,)
