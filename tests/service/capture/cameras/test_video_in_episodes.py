"""From a picture to a file and back: parts through a ring, messages other decoders read, losses that are counted."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from tests.service.capture.cameras.peers import grey, shade

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.rings import Ring
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture import video
from teleopd.service.capture.cameras.h264 import KEY_EVERY, Encoder, decoded
from teleopd.service.capture.cameras.parts import Assembler, parts_of
from teleopd.service.capture.cameras.pictures import CameraClock, Picture
from teleopd.service.capture.info import info
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.protobuf import LayoutError
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.recording import Inputs, Recording
from teleopd.service.capture.records import CAMERA_PART_FIELDS, PART_BYTES, CameraPart
from teleopd.service.capture.recover import recover
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

T0, WALL, MS = 5_000_000_000, 1_790_000_000_000_000_000, 1_000_000
CODEC = Codec(CameraPart, CAMERA_PART_FIELDS)
HEADER = EpisodeHeader("toy", ("hip",), ("Pelvis",), {}, {}, ("head",))


def levels(count: int) -> list[int]:
    return [20 + 3 * i for i in range(count)]


def test_pictures_come_back_and_the_first_of_every_second_stands_alone():
    encoder = Encoder()
    coded = [encoder.encode(grey(level), key=i == 0) for i, level in enumerate(levels(65))]
    assert [i for i, one in enumerate(coded) if one.key] == [0, KEY_EVERY, 2 * KEY_EVERY]
    back = [shade(frame) for frame in decoded(one.data for one in coded)]
    np.testing.assert_allclose(back, levels(65), atol=3)
    alone = next(iter(decoded([coded[KEY_EVERY].data])))
    assert abs(shade(alone) - levels(65)[KEY_EVERY]) < 3
    assert coded[0].data.startswith(b"\0\0\0\1") and b"\0\0\1\x67" in coded[0].data, "Annex B with its SPS"


def test_a_key_frame_can_be_asked_for_and_a_new_size_begins_with_one():
    encoder = Encoder()
    sizes = [(64, 48), (64, 48), (64, 48), (33, 49), (33, 49)]
    coded = [encoder.encode(grey(80, size), key=i == 2) for i, size in enumerate(sizes)]
    assert [one.key for one in coded] == [True, False, True, True, False]
    assert coded[3].size == (32, 48), "odd sizes lose a row or a column"


def test_a_picture_that_is_damaged_costs_itself():
    encoder = Encoder()
    coded = [encoder.encode(grey(level), key=level == 20).data for level in (20, 60, 100)]
    found = list(decoded([b"nonsense", *coded]))
    assert found[0] is None and [round(shade(frame), -1) for frame in found[1:]] == [20, 60, 100]


def message_class():
    files = descriptor_pb2.FileDescriptorSet.FromString(video.schema())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(video.SCHEMA_NAME))


@given(st.integers(0, 4_000_000_000_000_000_000), st.binary(max_size=300))
def test_another_decoder_reads_our_message_and_we_read_its(t_ns: int, data: bytes):
    found = message_class().FromString(video.message(t_ns, "head", data))
    assert (found.timestamp.seconds, found.timestamp.nanos) == divmod(t_ns, 1_000_000_000)
    assert (found.frame_id, found.data, found.format) == ("head", data, "h264")
    assert video.picture_of(found.SerializeToString()) == data


@given(st.binary(max_size=40))
def test_a_damaged_message_is_refused_and_never_more(data: bytes):
    try:
        video.picture_of(data)
    except LayoutError as error:
        assert str(error).startswith("a camera's message is damaged")


def rows(*parts: CameraPart) -> np.ndarray:
    """As drained from a ring."""
    made = np.zeros(len(parts), dtype=CODEC.dtype)
    for row, part in zip(made, parts, strict=True):
        for name, value in part._asdict().items():
            row[name] = value
    return made


def parts(seq: int, data: bytes, key: bool = False, coded: int = 0) -> list[CameraPart]:
    return list(parts_of(seq, coded or seq, Picture(T0 + seq, T0 + seq + 1, None), data, key, (64, 48)))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 3 * PART_BYTES), st.booleans()), min_size=1, max_size=8), st.data()
)
def test_whatever_is_lost_on_the_way_what_comes_out_can_be_decoded_and_the_rest_is_counted(sent, data):
    """Parts are dropped at random, drained in pieces; a picture is given if it is whole and its group is unbroken."""
    bodies = [bytes([i + 1]) * size for i, (size, _) in enumerate(sent)]
    pushed = [part for i, (_, key) in enumerate(sent) for part in parts(i + 1, bodies[i], key)]
    kept = [part for part in pushed if not data.draw(st.integers(0, 5)) == 0]
    assembler, found = Assembler(), []
    while kept:
        size = data.draw(st.integers(1, len(kept)))
        found += assembler.take(rows(*kept[:size]))
        kept = kept[size:]
    given_seqs = [picture.t_ns - T0 for picture in found]
    assert [picture.data for picture in found] == [bodies[seq - 1] for seq in given_seqs]
    for before, seq in itertools.pairwise([0, *given_seqs]):
        assert seq == before + 1 or sent[seq - 1][1], "after a hole comes a key frame"
    assert not found or found[0].key
    if found:
        between = given_seqs[-1] - given_seqs[0] + 1 - len(found)
        assert assembler.lost >= between, "everything between the first and the last that is missing"


def test_parts_of_two_pictures_make_no_picture():
    (first, _), (_, last) = (parts(seq, bytes([seq]) * (PART_BYTES + 1), True) for seq in (1, 2))
    assembler = Assembler()
    assert assembler.take(rows(first, last)) == []
    assert [one.data for one in assembler.take(rows(*parts(3, b"c", True)))] == [b"c"]


def test_losses_are_counted_exactly():
    assembler = Assembler()
    assert assembler.take(rows(*parts(1, b"a"), *parts(2, b"b", True))) != [] and assembler.lost == 0
    assert assembler.take(rows(*parts(5, b"c"), *parts(6, b"d"))) == [] and assembler.lost == 4
    assert [one.data for one in assembler.take(rows(*parts(7, b"e", True)))] == [b"e"] and assembler.lost == 4


def test_a_picture_that_never_came_is_counted_and_breaks_nothing():
    assembler = Assembler()
    found = assembler.take(rows(*parts(1, b"a", True), *parts(4, b"b", coded=2), *parts(5, b"c", coded=3)))
    assert [one.data for one in found] == [b"a", b"b", b"c"] and assembler.lost == 2


def test_a_camera_process_that_was_restarted_begins_with_a_key_frame():
    assembler = Assembler()
    assembler.take(rows(*parts(90, b"a", True)))
    assert assembler.take(rows(*parts(1, b"b"))) == []
    assert [one.data for one in assembler.take(rows(*parts(2, b"c", True)))] == [b"c"]


def test_a_full_ring_loses_and_the_reader_sees_it(tmp_path: Path):
    ring = Ring.create(tmp_path / "ring", CODEC, 4)
    pushed = [ring.push(part) for seq in (1, 2, 3, 4, 5, 6) for part in parts(seq, b"x", seq == 1)]
    assert pushed == [True] * 4 + [False] * 2
    assembler = Assembler()
    assert len(assembler.take(ring.drain())) == 4
    ring.push(parts(7, b"y", True)[0])
    assert len(assembler.take(ring.drain())) == 1 and assembler.lost == 2


def write(folder: Path, count: int = 40) -> EpisodeWriter:
    writer, encoder = EpisodeWriter(PartFile(folder, "toy"), HEADER, T0, WALL), Encoder()
    for i, level in enumerate(levels(count)):
        coded = encoder.encode(grey(level), key=i == 0)
        t_ns = T0 + 33 * MS * i
        writer.picture("head", t_ns, t_ns + 5 * MS, coded.data, coded.size)
        writer.flush()
    return writer


def test_an_episode_holds_the_pictures_and_their_times(tmp_path: Path):
    path = write(tmp_path).finish({}, {"camera/head": 3})
    found = read_episode(path)
    seen = found.videos["head"]
    assert seen.size == (64, 48) and seen.t_ns.tolist() == [T0 + 33 * MS * i for i in range(40)]
    np.testing.assert_allclose([shade(frame) for frame in decoded(seen.data)], levels(40), atol=3)
    assert found.metadata["cameras"] == '["head"]'
    assert read_episode(path, streams=("state", "camera/head")).videos.keys() == {"head"}
    assert read_episode(path, streams=("state",)).videos == {}
    about = info(path)["cameras"]["head"]
    assert (about["samples"], about["hz"], about["dropped"], about["size"]) == (40, 30.3, 3, [64, 48])
    with path.open("rb") as stream:
        schema, channel, message = next(iter(make_reader(stream).iter_messages()))
    assert (schema.name, channel.topic) == ("foxglove.CompressedVideo", "/camera/head")
    assert (message.log_time, message.publish_time) == (WALL, WALL + 5 * MS), "when it was taken, and when it was here"


def test_a_torn_episode_keeps_its_pictures(tmp_path: Path):
    write(tmp_path).abandon()
    torn = tmp_path / "toy.mcap.part"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    whole = read_episode(recover(torn).path).videos["head"]
    assert 10 < whole.n < 40
    np.testing.assert_allclose([shade(frame) for frame in decoded(whole.data)], levels(whole.n), atol=3)


def test_a_camera_of_another_size_gives_the_size_it_had_longest(tmp_path: Path):
    writer, encoder = EpisodeWriter(PartFile(tmp_path, "toy"), HEADER, T0, WALL), Encoder()
    for i, size in enumerate([(64, 48)] * 3 + [(32, 32)] * 5):
        coded = encoder.encode(grey(90, size), key=i == 0)
        writer.picture("head", T0 + i, T0 + i, coded.data, coded.size)
    found = read_episode(writer.finish({}, {})).videos["head"]
    assert (found.size, found.n) == ((32, 32), 5)


@pytest.mark.parametrize("jump_s", [-1e6, -3.0, 3.0, 1e6])
def test_a_cameras_clock_that_jumps_is_learned_anew(jump_s: float):
    clock = CameraClock()
    before = [clock.map(i * 33 * MS, T0 + i * 33 * MS + 10 * MS) for i in range(10)]
    assert np.diff(before).tolist() == [33 * MS] * 9
    shift = round(jump_s * 1e9)
    after = [clock.map(i * 33 * MS + shift, T0 + i * 33 * MS + 10 * MS) for i in range(10, 20)]
    assert np.diff(before + after).tolist() == [33 * MS] * 19


def test_an_episode_takes_the_key_frame_that_was_on_its_way_when_it_began(tmp_path: Path):
    """The camera made it because the episode began, of a picture that had come before: without it none is of use."""
    header = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",), {}, {}, ("head",))
    now_ns = T0 + 100 * MS
    episode = Recording(tmp_path, header, MODEL, Inputs(now_ns, WALL, -1, {}, {}), balances=False)
    encoder = Encoder()
    for i, level in enumerate((40, 80, 120)):
        coded = encoder.encode(grey(level), key=i == 0)
        picture = Picture(now_ns + (i - 1) * 33 * MS, now_ns + (i - 1) * 33 * MS, None)
        made = rows(*parts_of(i + 5, i + 3, picture, coded.data, coded.key, coded.size))
        episode.take(Inputs(now_ns + i * 33 * MS, WALL + i * 33 * MS, -1, {"camera/head": made}, {}))
    done = episode.finish(Inputs(now_ns + 99 * MS, WALL + 99 * MS, -1, {}, {}), "the test")
    found = read_episode(done.path)
    np.testing.assert_allclose([shade(frame) for frame in decoded(found.videos["head"].data)], [40, 80, 120], atol=3)
    assert found.dropped["camera/head"] == 0 and done.verdict.figures["no_picture_s"] == pytest.approx(0.066)
