"""Codec, segment, slot and ring within one process: layout, boundaries, and damage."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.robots.ipc import segment as segment_module
from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.rings import Ring
from teleopd.robots.ipc.segment import HEADER, HEADER_SIZE, MAGIC, SchemaMismatch, Segment, SegmentMissing
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import Array, LowState, low_state_fields


class Point(NamedTuple):
    seq: int
    ok: bool
    x: Array


class Other(NamedTuple):
    seq: int
    ok: bool
    x: Array


FIELDS = [("seq", "<i8"), ("ok", "?"), ("x", "<f8", (5,))]
CODEC = Codec(Point, FIELDS)


def point(seq: int) -> Point:
    return Point(seq, seq % 2 == 0, np.full(5, float(seq)))


def raw(slot: Slot[Point]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Head counter, payload and tail counter of the file behind a slot, as a writer of another process sees them."""
    size = slot.path.stat().st_size
    file = np.memmap(slot.path, dtype=np.uint8, mode="r+")
    return (
        file[HEADER_SIZE : HEADER_SIZE + 8].view(np.uint64),
        file[HEADER_SIZE + 8 : HEADER_SIZE + 8 + CODEC.size],
        file[size - 8 : size].view(np.uint64),
    )


# -- codec


def test_codec_refuses_a_layout_that_is_not_the_types():
    with pytest.raises(ValueError) as caught:
        Codec(Point, [("seq", "<i8"), ("x", "<f8", (5,))])
    assert str(caught.value) == "layout of Point has fields ('seq', 'x'); the type has ('seq', 'ok', 'x')"


def test_schema_hash_depends_on_name_shape_and_type_only():
    assert Codec(Point, FIELDS).schema_hash == CODEC.schema_hash
    others = [
        Codec(Other, FIELDS),
        Codec(Point, [("seq", "<i4"), ("ok", "?"), ("x", "<f8", (5,))]),
        Codec(Point, [("seq", "<i8"), ("ok", "?"), ("x", "<f8", (6,))]),
    ]
    assert len({codec.schema_hash for codec in [CODEC, *others]}) == 4


@settings(max_examples=50, deadline=None)
@given(
    seq=st.integers(-(2**63), 2**63 - 1),
    ok=st.booleans(),
    x=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=5, max_size=5),
)
def test_codec_round_trip_is_bit_exact_and_typed(seq: int, ok: bool, x: list[float]):
    buffer = np.zeros(CODEC.size, dtype=np.uint8)
    views = CODEC.views(buffer)
    CODEC.pack(Point(seq, ok, np.array(x)), views)
    back = CODEC.unpack(views)
    assert (back.seq, back.ok) == (seq, ok) and type(back.seq) is int and type(back.ok) is bool
    assert back.x.tobytes() == np.array(x).tobytes()
    buffer[:] = 0
    assert back.x.tobytes() == np.array(x).tobytes(), "an unpacked value must not change with the buffer"


# -- segment


def test_segment_is_private_and_zero_filled(tmp_path: Path):
    made = Segment.create(tmp_path / "s", 1, 100)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert made.data.shape == (100,) and not made.data.any()
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"], "no scratch file stays behind"


def test_a_full_memory_file_system_is_an_error_at_once_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="no room for 164 bytes of shared memory"):
        Segment.create(tmp_path / "s", 1, 100)
    assert list(tmp_path.iterdir()) == []


def test_the_memory_of_a_segment_is_there_from_the_start(tmp_path: Path):
    made = Segment.create(tmp_path / "s", 1, 1 << 20)
    assert made.path.stat().st_blocks * 512 >= 1 << 20


def test_missing_segment_says_which(tmp_path: Path):
    with pytest.raises(SegmentMissing) as caught:
        Segment.attach(tmp_path / "gone", 1, 8)
    assert str(caught.value) == f"no shared memory {tmp_path / 'gone'}; is the process that owns it running?"


def test_schema_mismatch_shows_both_layouts(tmp_path: Path):
    Segment.create(tmp_path / "s", 0xABC, 104)
    with pytest.raises(SchemaMismatch) as caught:
        Segment.attach(tmp_path / "s", 0xDEF, 8)
    assert str(caught.value) == (
        f"{tmp_path / 's'} has layout 0000000000000abc of 104 bytes, expected 0000000000000def of 8; "
        "were the processes started from different versions?"
    )


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 200, HEADER.pack(MAGIC, 1, 8).ljust(70, b"\0")])
def test_foreign_or_truncated_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(SchemaMismatch, match=rf"is not a teleopd segment \({len(content)} bytes\)"):
        Segment.attach(path, 1, 8)


def test_replaced_segment_leaves_the_old_mapping_alone(tmp_path: Path):
    old = Segment.create(tmp_path / "s", 1, 8)
    old.data[:] = 7
    new = Segment.create(tmp_path / "s", 1, 8)
    new.data[:] = 9
    assert old.data.tolist() == [7] * 8
    assert Segment.attach(tmp_path / "s", 1, 8).data.tolist() == [9] * 8


def test_unlink_keeps_mapped_sides_and_is_safe_twice(tmp_path: Path):
    made = Segment.create(tmp_path / "s", 1, 8)
    made.unlink()
    made.unlink()
    made.data[:] = 1
    assert not made.path.exists()


# -- slot


def test_slot_is_none_until_written_then_newest_wins(tmp_path: Path):
    writer = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    assert reader.read() is None and reader.seq == 0
    assert [writer.write(point(i)) for i in (1, 2, 3)] == [1, 2, 3]
    got = reader.read()
    assert got is not None and got.seq == 3 and got.x.tolist() == [3.0] * 5
    assert reader.seq == 3


def test_slot_returns_the_same_object_until_something_new(tmp_path: Path):
    writer = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    writer.write(point(1))
    first = reader.read()
    assert reader.read() is first
    writer.write(point(1))
    assert reader.read() is not first, "equal content written again is a new value"
    assert first is not None and first.x.tolist() == [1.0] * 5


def test_two_slots_of_one_process_may_share_the_object_for_reading_and_writing(tmp_path: Path):
    slot = Slot.create(tmp_path / "s", CODEC)
    for i in range(1, 5):
        slot.write(point(i))
        got = slot.read()
        assert got is not None and got.seq == i


def test_writer_restart_goes_on_counting(tmp_path: Path):
    first = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    second = Slot.attach(tmp_path / "s", CODEC)
    first.write(point(1))
    first.write(point(2))
    assert reader.read() is not None
    assert second.write(point(3)) == 3, "attached before the others were written, yet it must not count backwards"
    got = reader.read()
    assert got is not None and got.seq == 3


def test_writer_that_dies_in_the_middle_costs_only_news(tmp_path: Path):
    writer = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    writer.write(point(1))
    before = reader.read()
    head, payload, _ = raw(writer)
    head[0] = 3  # odd: the second value is being written
    payload[:] = 0xFF  # and half of it is there
    assert reader.read() is before
    late = Slot.attach(tmp_path / "s", CODEC)
    assert late.read() is None, "who comes now must not see the torn value"
    restarted = Slot.attach(tmp_path / "s", CODEC)
    assert restarted.write(point(2)) == 2
    for side in (reader, late):
        got = side.read()
        assert got is not None and got.seq == 2 and got.x.tolist() == [2.0] * 5


def test_writer_that_dies_between_tail_and_head_shows_the_old_value(tmp_path: Path):
    writer = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    writer.write(point(1))
    before = reader.read()
    head, _, tail = raw(writer)
    head[0], tail[0] = 3, 4
    assert reader.read() is before
    head[0] = 4
    assert reader.read() is not before


def test_value_that_does_not_fit_publishes_nothing(tmp_path: Path):
    writer = Slot.create(tmp_path / "s", CODEC)
    writer.write(point(1))
    with pytest.raises(ValueError):
        writer.write(Point(2, True, np.zeros(6)))
    with pytest.raises(OverflowError):
        writer.write(Point(2**70, True, np.zeros(5)))
    reader = Slot.attach(tmp_path / "s", CODEC)
    got = reader.read()
    assert writer.seq == 1 and got is not None and got.seq == 1 and got.x.tolist() == [1.0] * 5


def test_slot_of_another_robot_is_refused(tmp_path: Path):
    Slot.create(tmp_path / "s", Codec(LowState, low_state_fields(29)))
    with pytest.raises(SchemaMismatch, match="were the processes started from different versions"):
        Slot.attach(tmp_path / "s", Codec(LowState, low_state_fields(27)))


def test_slot_works_with_the_barrier_of_weakly_ordered_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment_module, "_STRONG_ORDER", False)
    writer = Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    for i in range(1, 20):
        writer.write(point(i))
        got = reader.read()
        assert got is not None and got.seq == i
    assert not segment_module._fence.locked()


# -- ring


def test_ring_keeps_order_over_the_wrap(tmp_path: Path):
    writer = Ring.create(tmp_path / "r", CODEC, 4)
    reader = Ring.attach(tmp_path / "r", CODEC, 4)
    assert len(reader.drain()) == 0
    seen: list[int] = []
    for i in range(1, 31):
        assert writer.push(point(i))
        if i % 3 == 0:
            taken = reader.drain()
            seen += taken["seq"].tolist()
            assert (taken["x"] == taken["seq"][:, None]).all()
    assert seen == list(range(1, 31)) and writer.dropped == 0


def test_full_ring_drops_the_newest_and_counts(tmp_path: Path):
    writer = Ring.create(tmp_path / "r", CODEC, 4)
    reader = Ring.attach(tmp_path / "r", CODEC, 4)
    assert [writer.push(point(i)) for i in range(1, 8)] == [True] * 4 + [False] * 3
    assert reader.dropped == writer.dropped == 3
    assert reader.drain()["seq"].tolist() == [1, 2, 3, 4]
    assert writer.push(point(8)) and reader.drain()["seq"].tolist() == [8]
    assert reader.dropped == 3


def test_drained_records_do_not_change_when_the_ring_goes_round(tmp_path: Path):
    ring = Ring.create(tmp_path / "r", CODEC, 2)
    ring.push(point(1))
    taken = ring.drain()
    for i in range(2, 6):
        ring.push(point(i))
        ring.drain()
    assert taken["seq"].tolist() == [1]


def test_ring_of_another_capacity_is_refused(tmp_path: Path):
    Ring.create(tmp_path / "r", CODEC, 4)
    with pytest.raises(SchemaMismatch):
        Ring.attach(tmp_path / "r", CODEC, 5)


def test_ring_needs_a_capacity(tmp_path: Path):
    with pytest.raises(ValueError, match="ring capacity is 0; it must be positive"):
        Ring.create(tmp_path / "r", CODEC, 0)


def test_ring_reader_that_comes_back_goes_on_where_it_was(tmp_path: Path):
    writer = Ring.create(tmp_path / "r", CODEC, 8)
    writer.push(point(1))
    assert Ring.attach(tmp_path / "r", CODEC, 8).drain()["seq"].tolist() == [1]
    writer.push(point(2))
    assert Ring.attach(tmp_path / "r", CODEC, 8).drain()["seq"].tolist() == [2]
    writer.unlink()
    assert os.listdir(tmp_path) == []
