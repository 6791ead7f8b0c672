"""The packed index of a recording: the same file, in a quarter of the memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mcap.records import ChunkIndex

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture import writer as writer_module
from teleopd.service.capture.chunk_index import PackedIndex, pack_newest
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

STREAMS = ("state", "command", "target", "shaped_reference", "reference")
INDEX = ChunkIndex(
    chunk_length=7, chunk_start_offset=1 << 40, compression="zstd", compressed_size=5, message_end_time=(1 << 63) + 1,
    message_index_length=99, message_index_offsets={3: 1 << 41, 1: 12}, message_start_time=0, uncompressed_size=6,
)  # fmt: skip


def begun(folder: Path) -> EpisodeWriter:
    header = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",))
    return EpisodeWriter(PartFile(folder, "episode"), header, 10**9, 10**18)


def write_chunks(writer: EpisodeWriter, count: int) -> None:
    for i in range(count):
        for name in STREAMS:
            columns = writer._channels[name].columns
            writer.write(name, np.array([i * 10**8]), [np.full((1, column.size), 0.1 * i) for column in columns])
        writer.flush()


def test_an_entry_comes_back_as_it_was():
    assert PackedIndex(INDEX).unpacked() == INDEX


def test_each_entry_is_packed_once():
    class Writer:
        _Writer__chunk_indices = [PackedIndex(INDEX), INDEX, INDEX]

    pack_newest(Writer)
    assert all(isinstance(entry, PackedIndex) for entry in Writer._Writer__chunk_indices)
    pack_newest(object())  # another version of the library keeps them elsewhere: nothing is packed


def test_the_file_is_the_same_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = []
    for name in ("packed", "plain"):
        (tmp_path / name).mkdir()
        writer = begun(tmp_path / name)
        write_chunks(writer, 12)
        files.append(writer.finish({}, {}))
        monkeypatch.setattr(writer_module, "pack_newest", lambda _writer: None)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert read_episode(files[0]).streams["state"].n == 12


def test_an_hour_costs_ten_megabytes(tmp_path: Path):
    writer = begun(tmp_path)
    write_chunks(writer, 20)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        write_chunks(writer, 300)
        grown = (tracemalloc.get_traced_memory()[0] - before) / 300
    finally:
        tracemalloc.stop()
    writer.abandon()
    assert grown * 36_000 < 10e6, f"{grown:.0f} bytes a chunk, ten chunks a second"
