"""Torn and damaged files: what whole chunks hold comes back, nothing else is claimed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from tests.service.capture.small_episodes import T0_WALL, Begin, begin_in, made, write

from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recover import recover


def torn_file(folder: Path) -> tuple[bytes, dict[str, tuple[np.ndarray, list[np.ndarray]]]]:
    """A file of four chunks of five samples whose writer was killed, as bytes."""
    writer = begin_in(folder, "whole")
    streams = made(20)
    write(writer, streams)
    writer.abandon()
    return (folder / "whole.mcap.part").read_bytes(), streams


class Torn(NamedTuple):
    folder: Path
    content: bytes
    streams: dict[str, tuple[np.ndarray, list[np.ndarray]]]
    ends: list[int]

    def __repr__(self) -> str:
        return f"a torn file of {len(self.content)} bytes"


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Torn:
    folder = tmp_path_factory.mktemp("torn")
    data, streams = torn_file(folder)
    ends = chunk_ends(data)
    assert len(ends) == 4
    return Torn(folder, data, streams, ends)


def chunk_ends(data: bytes) -> list[int]:
    """Where each whole chunk ends, by the record lengths of the MCAP specification."""
    at, ends = 8, []
    while at < len(data):
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9 + length
        if opcode == 6:
            ends.append(at)
    return ends


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_cut_at_any_byte_everything_before_the_last_whole_chunk_is_recovered(torn: Torn, data: st.DataObject):
    folder, content, streams, ends = torn
    cut = data.draw(st.integers(min_value=ends[0], max_value=len(content)), label="cut")
    for old in folder.glob("cut*"):
        old.unlink()
    path = folder / "cut.mcap.part"
    path.write_bytes(content[:cut])
    whole = sum(end <= cut for end in ends)
    for found in (path, recover(path).path):
        episode = read_episode(found)
        assert episode.metadata["complete"] == "false" and episode.metadata["task"] == "wave"
        assert episode.attachments == {"robot.xml": b"<mujoco/>"}
        for name, (t_ns, arrays) in streams.items():
            assert episode.streams[name].t_ns.tolist() == t_ns[: 5 * whole].tolist()
            first = next(iter(episode.streams[name].columns.values()))
            np.testing.assert_array_equal(first, arrays[0][: 5 * whole])
    with (folder / "cut.mcap").open("rb") as stream:
        summary = make_reader(stream, validate_crcs=True).get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == 6 * 5 * whole and summary.statistics.attachment_count == 1


def test_cut_before_the_first_chunk_nothing_is_claimed(torn: Torn):
    folder, content, _, ends = torn
    path = folder / "early.mcap.part"
    for cut in (1, 7, 8, 30, ends[0] - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(EpisodeError, match=r"^\S+early.mcap.part (is torn before its first|holds no samples)"):
            read_episode(path)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_flipped_bit_costs_at_most_its_own_chunk_and_never_a_wrong_number(torn: Torn, data: st.DataObject):
    folder, content, streams, ends = torn
    at = data.draw(st.integers(min_value=ends[0], max_value=ends[3] - 1), label="byte")
    changed = bytearray(content)
    changed[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path = folder / "flipped.mcap.part"
    path.write_bytes(bytes(changed))
    try:
        stream = read_episode(path).streams["target"]
    except EpisodeError:
        return
    t_ns, arrays = streams["target"]
    rows = np.searchsorted(t_ns, stream.t_ns)
    np.testing.assert_array_equal(stream.columns["joint_pos"], arrays[0][rows])
    assert stream.n >= 5


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_damage_is_an_episode_or_one_sentence(torn: Torn, data: st.DataObject):
    """Anywhere, the beginning with its metadata and lengths too."""
    folder, content, _, ends = torn
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3), label="bytes")):
        at = data.draw(st.integers(0, ends[0] + 200), label="at")
        changed[at] = data.draw(st.integers(0, 255), label="value")
    path = folder / "damaged.mcap.part"
    path.write_bytes(bytes(changed))
    try:
        assert read_episode(path).metadata["complete"] == "false"
    except EpisodeError as error:
        assert str(error).startswith((str(path), f"cannot read {path}"))


def test_a_damaged_attachment_is_left_out(torn: Torn):
    folder, content, _, _ = torn
    path = folder / "attachment.mcap.part"
    path.write_bytes(content.replace(b"<mujoco/>", b"<mujoca/>"))
    episode = read_episode(path)
    assert episode.attachments == {} and episode.metadata["damaged_chunks"] == "1"


def test_a_recovered_file_says_so_and_the_torn_one_stays(torn: Torn):
    folder, content, _, ends = torn
    path = folder / "said.mcap.part"
    path.write_bytes(content[: ends[1] + 40])
    found = recover(path)
    assert found.path == folder / "said.mcap" and found.messages == 60 and path.exists()
    metadata = read_episode(found.path).metadata
    assert metadata["recovered_messages"] == "60" and metadata["complete"] == "false"
    assert metadata["recovered_last_log_time"] == str(T0_WALL + 9 * 2_000_000)


def test_a_whole_file_and_one_that_is_being_recorded_are_not_recovered(begin: Begin, tmp_path: Path):
    writer = begin()
    write(writer, made(2))
    with pytest.raises(EpisodeError, match=r"toy.mcap.part is being recorded; it needs no recovery$"):
        recover(tmp_path / "toy.mcap.part")
    path = writer.finish({}, {})
    with pytest.raises(EpisodeError, match=r"toy.mcap is whole; it needs no recovery$"):
        recover(path)


def test_a_process_that_is_killed_loses_nothing_it_had_flushed(tmp_path: Path):
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from small_episodes import begin_in, made, write;"
        "writer = begin_in(Path(sys.argv[2]));"
        "write(writer, made(25)); t, a = made(1)['target']; writer.write('target', t, a);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    here = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", code, here, str(tmp_path)], capture_output=True, timeout=100)
    assert ended.returncode == -9, ended.stderr
    found = recover(tmp_path / "toy.mcap.part")
    assert read_episode(found.path).streams["target"].n == 25
