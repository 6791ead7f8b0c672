"""Our messages against Google's own decoder, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.protobuf import Column, LayoutError, Packing, identifiers, varint
from teleopd.service.capture.schemas import ChannelError, channel_of, channels

BODIES = ("Pelvis", "L5", "Left Hand")
CHANNELS = channels(MODEL.joint_names, BODIES)


def decoder(packing: Packing):
    """A message class that Google's library builds from our schema alone."""
    files = descriptor_pb2.FileDescriptorSet.FromString(packing.schema)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(packing.name))


def values(column: Column, m: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(m, column.size))
    return drawn.astype(np.float32).astype(np.float64) if column.kind == "f4" else drawn


@pytest.mark.parametrize("stream", CHANNELS)
def test_every_channel_is_read_by_name_by_another_decoder_and_comes_back_by_ours(stream: str):
    channel = CHANNELS[stream]
    packing = channel.packing
    arrays = [values(column, 3, seed) for seed, column in enumerate(channel.columns)]
    packed = [row.tobytes() for row in packing.pack(arrays)]
    for back, array in zip(packing.unpack(packed), arrays, strict=True):
        np.testing.assert_array_equal(back, array)
    message = decoder(packing).FromString(packed[1])
    for column, array in zip(channel.columns, arrays, strict=True):
        field = getattr(message, column.name)
        if not column.labels:
            assert field == array[1, 0]
            continue
        first = identifiers(column.labels[0])
        table = array[1].reshape([len(names) for names in column.labels])
        for name, row in zip(first, table, strict=True):
            found = getattr(field, name)
            inner = column.labels[1] if len(column.labels) > 1 else ()
            np.testing.assert_array_equal([getattr(found, word) for word in inner] if inner else found, row)


def test_a_curve_has_the_name_a_viewer_would_type():
    packing = CHANNELS["state"].packing
    arrays = [np.zeros((1, column.size)) for column in packing.columns]
    arrays[0][0, MODEL.joint_names.index("left_knee_joint")] = 0.5
    message = decoder(packing).FromString(packing.pack(arrays)[0].tobytes())
    assert message.joint_pos.left_knee_joint == 0.5 and message.joint_pos.right_knee_joint == 0.0


def test_numbers_that_are_none_survive():
    packing = Packing("T", [Column("a", "f4", (("x", "y", "z"),)), Column("b", "f8")])
    a, b = packing.unpack([packing.pack([np.array([[np.nan, np.inf, -0.0]]), np.array([[-np.inf]])])[0].tobytes()])
    assert np.isnan(a[0, 0]) and a[0, 1] == np.inf and np.signbit(a[0, 2]) and b[0, 0] == -np.inf


def test_other_sizes_and_other_fields_are_refused():
    packing = Packing("T", [Column("a", "f8"), Column("b", "f8")])
    message = packing.pack([np.ones((1, 1)), np.ones((1, 1))])[0].tobytes()
    with pytest.raises(LayoutError, match=r"a message of teleopd.T has another size than its schema says"):
        packing.unpack([message[:-1]])
    with pytest.raises(LayoutError, match=r"a message of teleopd.T has other fields than its schema says"):
        packing.unpack([message, b"\x11" + message[1:]])


def test_names_become_identifiers_that_differ():
    assert identifiers(("Left Hand", "3rd", "a-b", "a_b", "")) == ("Left_Hand", "_3rd", "a_b", "a_b_2", "_")


@pytest.mark.parametrize(("number", "wire"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_varints(number: int, wire: bytes):
    assert varint(number) == wire


def test_a_channel_is_read_from_its_own_metadata():
    channel = CHANNELS["human"]
    assert channel_of(channel.topic, channel.metadata) == channel


@pytest.mark.parametrize("columns", ["", "3", "[]", '[["a", "f2", []]]', '[["a"]]', "[" * 5000])
def test_metadata_that_say_nothing_are_refused(columns: str):
    with pytest.raises(ChannelError, match=r"^channel '/x' does not say what its columns are$"):
        channel_of("/x", {"stream": "x", "message": "X", "columns": columns})
