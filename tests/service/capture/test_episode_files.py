"""Writer and reader: what was written comes back; what is no episode is one sentence; names, disks, the manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import Writer
from tests.service.capture.small_episodes import BODIES, JOINTS, T0_MONO, T0_WALL, Begin, made, write

from teleopd.service.capture import manifest
from teleopd.service.capture.info import info
from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.part_file import PartFile, RecordingError
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.schemas import channels


def foreign(path: Path, metadata: dict[str, str]) -> Path:
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start("", library="somebody 1.0")
        if metadata:
            writer.add_metadata("episode", metadata)
        writer.add_message(writer.register_channel("/x", "json", 0), 1, b"{}", 1)
        writer.finish()
    return path


def test_everything_comes_back_as_it_was_written(begin: Begin, tmp_path: Path):
    writer, streams = begin(), made(12)
    write(writer, streams)
    writer.event(T0_MONO + 3, {"kind": "mode", "text": "ACTIVE", "mode": 5})
    assert (tmp_path / "toy.mcap.part").exists() and not (tmp_path / "toy.mcap").exists()
    path = writer.finish({"success": "true"}, {"state": 3})
    assert path == tmp_path / "toy.mcap" and not (tmp_path / "toy.mcap.part").exists()
    episode = read_episode(path)
    assert (episode.robot, episode.joint_names, episode.path) == ("toy", JOINTS, path)
    assert set(episode.streams) == set(channels(JOINTS, BODIES))
    for name, channel in channels(JOINTS, BODIES).items():
        stream = episode.streams[name]
        assert stream.t_ns.tolist() == streams[name][0].tolist()
        for column, array in zip(channel.columns, streams[name][1], strict=True):
            np.testing.assert_array_equal(stream.columns[column.name], array)
            assert stream.columns[column.name].dtype == np.float64
    assert episode.dropped == {"state": 3} and episode.attachments == {"robot.xml": b"<mujoco/>"}
    assert episode.events == ((T0_MONO + 3, {"kind": "mode", "text": "ACTIVE", "mode": 5}),)
    said = {key: episode.metadata[key] for key in ("task", "success", "complete", "t0_mono_ns", "t0_wall_ns")}
    assert said == {
        "task": "wave", "success": "true", "complete": "true", "t0_mono_ns": str(T0_MONO), "t0_wall_ns": str(T0_WALL),
    }  # fmt: skip
    assert json.loads(episode.metadata["human_bodies"]) == list(BODIES)
    assert episode.duration_s == pytest.approx(0.022)


def test_any_reader_finds_the_index_the_topics_and_the_wall_clock(begin: Begin):
    writer = begin()
    write(writer, made(3))
    with writer.finish({}, {}).open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None and summary.statistics.message_count == 18
        topics = {record.topic: summary.schemas[record.schema_id] for record in summary.channels.values()}
        assert set(topics) == {
            "/robot/state", "/robot/command", "/target", "/reference", "/shaped_reference", "/human_pose"
        }  # fmt: skip
        assert {schema.encoding for schema in topics.values()} == {"protobuf"}
        times = [message.log_time for _, _, message in reader.iter_messages(topics=["/target"])]
        assert times == [T0_WALL, T0_WALL + 2_000_000, T0_WALL + 4_000_000]


def test_published_later_than_received_is_in_the_file(begin: Begin):
    writer = begin()
    t_ns, arrays = made(2)["reference"]
    writer.write("reference", t_ns, arrays, t_ns + 7)
    with writer.finish({}, {}).open("rb") as stream:
        found = [(m.log_time, m.publish_time, m.sequence) for _, _, m in make_reader(stream).iter_messages()]
    assert found == [(T0_WALL, T0_WALL + 7, 1), (T0_WALL + 2_000_000, T0_WALL + 2_000_007, 2)]


def test_only_the_streams_asked_for_are_read(begin: Begin):
    writer = begin()
    write(writer, made(3))
    assert set(read_episode(writer.finish({}, {}), streams=("target",)).streams) == {"target"}


def test_a_clock_that_jumps_back_gives_times_in_order_and_the_samples_with_them_and_says_so(
    begin: Begin, tmp_path: Path
):
    writer = begin()
    t_ns, arrays = made(4)["target"]
    jumped = np.array([10, 20, 5, 20], dtype=np.int64) + T0_MONO
    writer.write("target", jumped, arrays)
    stream = read_episode(writer.finish({}, {})).streams["target"]
    assert (stream.t_ns - T0_MONO).tolist() == [5, 10, 20, 20]
    np.testing.assert_array_equal(stream.columns["joint_pos"], arrays[0][[2, 0, 1, 3]])
    assert len(t_ns) == 4
    assert json.loads(read_episode(tmp_path / "toy.mcap").metadata["time_back"]) == {"target": 1}
    assert json.loads(info(tmp_path / "toy.mcap")["time_back"]) == {"target": 1}


def test_numbers_that_are_none_stand_as_they_were(begin: Begin):
    writer = begin()
    t_ns, arrays = made(2)["state"]
    arrays[0][1] = np.nan, np.inf
    writer.write("state", t_ns, arrays)
    found = read_episode(writer.finish({}, {})).streams["state"].columns["joint_pos"]
    assert np.isnan(found[1, 0]) and found[1, 1] == np.inf


@pytest.mark.parametrize("task", ['put the "cup" in a/b\\c', "winken 👋 \n und\tmehr", "", "x" * 100_000])
def test_a_task_is_any_text(begin: Begin, task: str):
    writer = begin(task=task)
    write(writer, made(1))
    assert read_episode(writer.finish({}, {})).metadata["task"] == task


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "{path} is empty"),
        (b"PK\x03\x04 a zip", "{path} is no MCAP file"),
        (b"\x89MCAP0\r\n", "{path} is torn before its first sample; nothing of the episode is in it"),
        (b"\x89MCAP0\r\n" + b"\xff" * 100, "{path} is torn before its first sample; nothing of the episode is in it"),
    ],
)
def test_files_that_are_no_episodes(tmp_path: Path, content: bytes, sentence: str):
    path = tmp_path / "x.mcap"
    path.write_bytes(content)
    with pytest.raises(EpisodeError) as raised:
        read_episode(path)
    assert str(raised.value) == sentence.format(path=path)


def test_absent_and_folder(tmp_path: Path):
    with pytest.raises(EpisodeError, match=r"^cannot read \S+absent.mcap: No such file or directory$"):
        read_episode(tmp_path / "absent.mcap")
    with pytest.raises(EpisodeError, match=r"^cannot read \S+: Is a directory$"):
        read_episode(tmp_path)


def test_another_programs_file_and_one_of_a_newer_release(tmp_path: Path):
    with pytest.raises(EpisodeError, match=r"a.mcap is no teleopd episode but a file of somebody 1.0$"):
        read_episode(foreign(tmp_path / "a.mcap", {}))
    newer = {"schema": "teleopd.episode/2", "robot": "r", "joint_names": "[]", "t0_mono_ns": "0", "t0_wall_ns": "0"}
    with pytest.raises(EpisodeError) as raised:
        read_episode(foreign(tmp_path / "b.mcap", newer))
    assert str(raised.value) == (
        f"{tmp_path}/b.mcap was written by a newer teleopd (episode schema 2, this one reads up to 1); update teleopd"
    )
    damaged = {**newer, "schema": "teleopd.episode/1", "t0_mono_ns": "soon"}
    with pytest.raises(EpisodeError, match=r"c.mcap: its metadata are damaged$"):
        read_episode(foreign(tmp_path / "c.mcap", damaged))
    empty = {**newer, "schema": "teleopd.episode/1"}
    with pytest.raises(EpisodeError, match=r"d.mcap holds no samples$"):
        read_episode(foreign(tmp_path / "d.mcap", empty))


def test_names_that_exist_are_never_overwritten(begin: Begin, tmp_path: Path):
    (tmp_path / "toy.mcap").write_bytes(b"mine")
    first, second = begin(), begin()
    assert [w.file.part.name for w in (first, second)] == ["toy_2.mcap.part", "toy_3.mcap.part"]
    (tmp_path / "toy_2.mcap").write_bytes(b"came meanwhile")
    write(first, made(1))
    assert first.finish({}, {}).name == "toy_4.mcap" or (tmp_path / "toy_3.mcap.part").exists()
    assert (tmp_path / "toy.mcap").read_bytes() == b"mine"
    assert (tmp_path / "toy_2.mcap").read_bytes() == b"came meanwhile"


def test_a_file_system_without_links_renames(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    def no_links(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    writer = begin()
    write(writer, made(1))
    path = writer.finish({}, {})
    assert path.name == "toy.mcap" and not path.with_name("toy.mcap.part").exists()


def test_a_folder_that_is_none_or_may_not_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match=r"^cannot record in \S+/file: Not a directory$"):
        PartFile(tmp_path / "file", "toy")
    with pytest.raises(RecordingError, match=r"^cannot record in /proc: "):
        PartFile(Path("/proc"), "toy")


def test_a_disk_that_fills_up_leaves_a_file_of_whole_records(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    writer = begin()
    write(writer, made(10))
    before, real = writer.file.tell(), os.write

    def full(fd: int, data: memoryview) -> int:
        if fd == writer.file._fd and len(data) > 10:
            return real(fd, data[:10])  # the disk takes a little more, then nothing
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        write(writer, made(5))
    monkeypatch.undo()
    writer.abandon()
    assert writer.file.part.stat().st_size == before
    assert read_episode(writer.file.part).streams["target"].n == 10


def test_the_newest_word_about_an_episode_counts(begin: Begin, tmp_path: Path):
    writer = begin()
    write(writer, made(1))
    path = writer.finish({"success": ""}, {})
    manifest.append(tmp_path, {"file": path.name, "success": "", "verdict": "keep", "verdict_reasons": []})
    manifest.append(tmp_path, {"file": "other.mcap", "success": "false"})
    manifest.append(tmp_path, {"file": path.name, "success": "true"})
    metadata = read_episode(path).metadata
    assert (metadata["success"], metadata["verdict"], metadata["verdict_reasons"]) == ("true", "keep", "[]")


def test_a_manifest_with_a_torn_line_is_still_read_and_added_to(tmp_path: Path):
    manifest.append(tmp_path, {"file": "a.mcap", "success": "true"})
    with (tmp_path / manifest.NAME).open("a") as stream:
        stream.write('{"file": "b.mc')
    manifest.append(tmp_path, {"file": "c.mcap"})
    assert list(manifest.rows(tmp_path)) == ["a.mcap", "c.mcap"]
    assert manifest.rows(tmp_path / "absent") == {}
