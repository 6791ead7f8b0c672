"""OSC packets written with `struct` alone, so that no test leans on what it tests."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.vmc import wire
from teleopd.drivers.vmc.wire import Status


def text(value):
    raw = value.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def message(address, tags, *values):
    """An OSC message, by the OSC 1.0 specification."""
    body = b"".join(
        text(v) if t == "s" else struct.pack({"i": ">i", "f": ">f", "d": ">d", "h": ">q"}[t], v)
        for t, v in zip(tags, values, strict=True)
    )
    return text(address) + text("," + tags) + body


def bone(name="Hips", pos=(0.5, 1.0, -0.25), quat=(0.0, 0.5, 0.0, 0.75)):
    return message("/VMC/Ext/Bone/Pos", "sfffffff", name, *pos, *quat)


def bundle(*elements):
    return b"#bundle\0" + struct.pack(">Q", 1) + b"".join(struct.pack(">i", len(e)) + e for e in elements)


def refused(data):
    with pytest.raises(ProtocolError) as error:
        wire.decode(data)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    return error.value.reason


def test_a_bone_by_itself():
    packet = wire.decode(memoryview(bone()))
    assert packet == ({"Hips": (0.5, 1.0, -0.25, 0.0, 0.5, 0.0, 0.75)}, None, None, 0)
    assert packet.is_vmc


def test_a_bundle_in_a_bundle():
    root = message("/VMC/Ext/Root/Pos", "s" + 13 * "f", "root", *(float(k) for k in range(13)))
    packet = wire.decode(bundle(
        message("/VMC/Ext/OK", "iiii", 1, 3, 0, 1), message("/VMC/Ext/T", "f", 12.5),
        bundle(root, bone()), message("/VMC/Ext/Blend/Val", "sf", "A", 1.0), message("/VMC/Ext/Blend/Apply", ""),
        bone("Spine", (0.0, 0.125, 0.0), (0.0, 0.0, 0.0, 1.0)),
    ))  # fmt: skip
    assert list(packet.transforms) == ["", "Hips", "Spine"]
    assert packet.transforms[""] == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert (packet.time_s, packet.status, packet.skipped) == (12.5, Status(True, 3, True), 2)


@pytest.mark.parametrize(
    ("tags", "values", "status"),
    [("i", (0,), Status(False, None, None)), ("iii", (1, 2, 0), Status(True, 2, None)),
     ("iiii", (1, 3, 1, 0), Status(True, 3, False))],
)  # fmt: skip
def test_status_of_every_version(tags, values, status):
    assert wire.decode(message("/VMC/Ext/OK", tags, *values)).status == status


def test_doubles_and_integers_are_numbers():
    mixed = message("/VMC/Ext/Bone/Pos", "sdddiihf", "Hips", 0.1, 0.2, 0.3, 0, 0, 0, 1.0)
    assert wire.decode(mixed).transforms == {"Hips": (0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 1.0)}


def test_what_others_say_over_osc_is_skipped_unread():
    packet = wire.decode(message("/avatar/parameters/x", "f", float("nan")) + b"rubbish")
    assert (packet.is_vmc, packet.skipped) == (False, 1)
    assert wire.decode(bundle()).is_vmc is False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_osc"),
        (b"MXTP02" + bytes(700), "not_osc"),
        (bone()[:40], "malformed"),
        (b"#bundle\0\0\0", "malformed"),
        (bundle(bone())[:-1], "malformed"),
        (bundle() + struct.pack(">i", -4), "malformed"),
        (bundle() + struct.pack(">i", -8) + bytes(8), "malformed"),
        (bundle() + struct.pack(">i", 0), "malformed"),
        (bundle(bundle(bundle(bundle(bundle(bone()))))), "malformed"),
        (bundle(b"junk"), "not_osc"),
        (bone(pos=(float("nan"), 0.0, 0.0)), "non_finite"),
        (bone(quat=(0.0, float("inf"), 0.0, 1.0)), "non_finite"),
        (message("/VMC/Ext/Bone/Pos", "sfff", "Hips", 0.0, 0.0, 0.0), "malformed"),
        (message("/VMC/Ext/Bone/Pos", "ssssssss", *"abcdefgh"), "malformed"),
        (text("/VMC/Ext/Bone/Pos") + text(",sTfffffff") + text("Hips") + bytes(28), "malformed"),
        (text("/VMC/Ext/Bone/Pos") + text(",sbffffff") + bytes(64), "malformed"),
        (text("/VMC/Ext/Bone/Pos") + text("sfffffff") + bytes(64), "malformed"),
        (text("/VMC/Ext/Bone/Pos") + text("," + "f" * 400), "malformed"),
        (text("/VMC/Ext/Bone/Pos") + text("," + "f" * 600), "oversized"),
        (text("/VMC/Ext/Bone/Pos") + text(",sfffffff") + b"\xff\xfe\0\0" + bytes(28), "malformed"),
        (text("/VMC/Ext/Bone/Pos"), "malformed"),
        (bone("x" * 65), "malformed"),
        (message("/VMC/Ext/T", "f", -1.0), "malformed"),
        (message("/VMC/Ext/T", "f", 1e12), "malformed"),
        (message("/VMC/Ext/T", "s", "now"), "malformed"),
        (message("/VMC/Ext/OK", ""), "malformed"),
        (b"/" + bytes(65_507), "oversized"),
        (bundle(*[message("/x", "")] * 1025), "oversized"),
        (bundle(*[bone()] * 129), "oversized"),
    ],
)
def test_rubbish_is_refused(data, reason):
    assert refused(data) == reason


def test_encoding_follows_the_specification():
    assert wire.encode_message("/VMC/Ext/T", 12.5) == message("/VMC/Ext/T", "f", 12.5)
    assert wire.encode_message("/VMC/Ext/OK", 1, 3, 0, 1) == message("/VMC/Ext/OK", "iiii", 1, 3, 0, 1)
    assert wire.encode_bundle([bone(), bone("Head")]) == bundle(bone(), bone("Head"))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_bytes_raise_anything_else(data):
    raw = bytearray(bundle(message("/VMC/Ext/OK", "i", 1), message("/VMC/Ext/T", "f", 1.0), bone(), bone("Head")))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=4)):
        raw[at] = byte
    try:
        wire.decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except ProtocolError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
