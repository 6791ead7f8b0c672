"""MXTP bytes -> values and back: byte tables built with `struct`, exact reasons and sentences, fuzzing."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.reassembly import MAX_PENDING, Reassembler


def put(datagram, at, fmt, *values):
    """The datagram with bytes replaced at an offset."""
    raw = struct.pack(fmt, *values)
    return datagram[:at] + raw + datagram[at + len(raw) :]


def test_header_fields(mxtp):
    data = mxtp.header(
        kind=24,
        sample=0xFEDCBA98,
        counter=0x85,
        items=9,
        time_ms=4_000_000_000,
        character=3,
        props=2,
        fingers=40,
        size=12,
    )
    assert wire.read_header(data + bytes(12)) == wire.Header(
        kind=24, sample=0xFEDCBA98, part=5, last=True, items=9, time_code_ms=4_000_000_000, character=3,
        body_segments=23, props=2, fingers=40,
    )  # fmt: skip


def test_pose_is_760_bytes_in_metres_and_wxyz(mxtp):
    half = 0.5**0.5
    data = mxtp.pose(payload=mxtp.segments(quat=(half, 0.0, 0.0, half)))
    assert len(data) == 760
    pose = wire.decode(data).body
    ids = np.arange(1, 24)
    np.testing.assert_allclose(pose.pos_w, np.stack((0.01 * ids, -0.02 * ids, 0.1 + 0.05 * ids), axis=1), atol=1e-7)
    np.testing.assert_allclose(pose.quat_w, np.tile((half, 0, 0, half), (23, 1)), atol=1e-15, rtol=0)
    assert pose.pos_w.dtype == pose.quat_w.dtype == np.float64
    assert pose.pos_w.flags.c_contiguous and pose.pos_w.flags.writeable and pose.pos_w.base is None


def test_quaternions_are_renormalised_within_the_tolerance(mxtp):
    pose = wire.decode(mxtp.pose(payload=mxtp.segments(quat=(1.0015, 0.0, 0.0, 0.0)))).body
    np.testing.assert_allclose(pose.quat_w, np.tile((1.0, 0, 0, 0), (23, 1)), atol=1e-15)


def test_props_and_fingers_are_left_out(mxtp):
    data = mxtp.pose(payload=mxtp.segments(67), props=4, fingers=40)
    assert len(data) == 2168
    assert wire.decode(data).body.pos_w.shape == (23, 3)


def test_streams_older_than_mvn_2019_have_zeros_for_the_counts(mxtp):
    data = mxtp.header(body=0, size=0) + mxtp.segments()
    assert wire.decode(data).body.pos_w.shape == (23, 3)


BAD = {
    "nothing": (lambda m: b"", "truncated", "datagram of 0 B is shorter than the 24 B header"),
    "header cut": (lambda m: m.pose()[:23], "truncated", "datagram of 23 B is shorter than the 24 B header"),
    "payload cut": (lambda m: m.pose()[:-1], "truncated", "header declares 736 B of payload but 735 B follow"),
    "payload longer": (lambda m: m.pose() + b"x", "oversized", "header declares 736 B of payload but 737 B follow"),
    "huge": (
        lambda m: m.pose() + bytes(8192),
        "oversized",
        "datagram is longer than 8192 B, more than any MVN datagram",
    ),
    "magic": (
        lambda m: b"MXTQ02" + m.pose()[6:],
        "wrong_magic",
        "datagram starts with b'MXTQ02', not with b'MXTP' and two digits",
    ),
    "digits": (
        lambda m: b"MXTP0x" + m.pose()[6:],
        "wrong_magic",
        "datagram starts with b'MXTP0x', not with b'MXTP' and two digits",
    ),
    "items": (
        lambda m: put(m.pose(), 11, "B", 22),
        "wrong_count",
        "22 segments do not fit a payload of 736 B, 32 B each",
    ),
    "skeleton": (
        lambda m: m.pose(body=17, payload=m.segments(17)),
        "wrong_count",
        "character has 17 body segments; 23 are expected",
    ),
    "no items": (
        lambda m: m.pose(payload=b""),
        "wrong_count",
        "datagram has 0 segments; 1 to 67 are possible",
    ),
    "too many": (
        lambda m: m.pose(payload=m.segments(68)),
        "wrong_count",
        "datagram has 68 segments; 1 to 67 are possible",
    ),
    "fewer than declared": (
        lambda m: m.pose(payload=m.segments(23), props=1),
        "wrong_count",
        "sample has 23 segments; 24 are expected",
    ),
    "old and short": (
        lambda m: m.header(body=0, items=22, size=0) + m.segments(22),
        "wrong_count",
        "sample has 22 segments; 23 are expected",
    ),
    "ids": (
        lambda m: m.pose(payload=m.segments(first=2)),
        "wrong_ids",
        f"segment ids are not 1 to 23 in order: {list(range(2, 25))}",
    ),
    "nan position": (
        lambda m: put(m.pose(), 24 + 4, ">f", float("nan")),
        "non_finite",
        "a position or quaternion is NaN or infinite",
    ),
    "signalling nan": (
        lambda m: put(m.pose(), 24 + 4, ">I", 0x7F800001),
        "non_finite",
        "a position or quaternion is NaN or infinite",
    ),
    "infinite quaternion": (
        lambda m: put(m.pose(), 756, ">f", float("-inf")),
        "non_finite",
        "a position or quaternion is NaN or infinite",
    ),
    "zero quaternion": (
        lambda m: m.pose(payload=m.segments(quat=(0.0, 0.0, 0.0, 0.0))),
        "quaternion_norm",
        "a quaternion has norm 0; 1 is expected",
    ),
    "one long quaternion": (
        lambda m: put(m.pose(), 24 + 32 * 22 + 16, ">f", 1.02),
        "quaternion_norm",
        "a quaternion has norm 1.02; 1 is expected",
    ),
    "centimetres": (
        lambda m: m.pose(payload=m.segments(scale=100.0)),
        "implausible_position",
        "farthest segment is 110 m from the pelvis; 0.2 to 3.0 m are possible; the stream looks like centimetres",
    ),
    "kilometres": (
        lambda m: m.pose(payload=m.segments(scale=1e6)),
        "implausible_position",
        "pelvis is at (0.01, -0.02, 1.5e+05) m, beyond 10000 m",
    ),
    "one segment gone": (
        lambda m: put(m.pose(), 24 + 32 * 22 + 4, ">f", 1e30),
        "implausible_position",
        "farthest segment is 1e+30 m from the pelvis; 0.2 to 3.0 m are possible",
    ),
    "all in one point": (
        lambda m: m.pose(payload=b"".join(struct.pack(">i3f4f", i, 0, 0, 1, 1, 0, 0, 0) for i in range(1, 24))),
        "implausible_position",
        "farthest segment is 0 m from the pelvis; 0.2 to 3.0 m are possible",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_datagrams_say_why(mxtp, name):
    build, reason, sentence = BAD[name]
    with warnings.catch_warnings(), pytest.raises(ProtocolError) as error:
        warnings.simplefilter("error")
        wire.decode(build(mxtp))
    assert (error.value.reason, str(error.value)) == (reason, sentence)


@pytest.mark.parametrize(("norm", "accepted"), [(0.9899, False), (0.9901, True), (1.0099, True), (1.0101, False)])
def test_edge_of_the_norm_tolerance(mxtp, norm, accepted):
    one_off = put(mxtp.pose(), 24 + 32 * 5 + 16, ">f", norm)
    all_off = mxtp.pose(payload=mxtp.segments(quat=(norm, 0.0, 0.0, 0.0)))
    for data in (one_off, all_off):
        if accepted:
            assert abs(np.linalg.norm(wire.decode(data).body.quat_w, axis=1) - 1).max() < 1e-15
        else:
            with pytest.raises(ProtocolError, match=f"norm {norm:.3g}; 1 is expected"):
                wire.decode(data)


def test_meta_tags(mxtp):
    raw = b"name:Jos\xc3\xa9 A:1\nxmid: 00B40A2C\ncolor:ff8000\nno colon\nnew:\n"
    tags = {"name": "José A:1", "xmid": "00B40A2C", "color": "ff8000", "new": ""}
    assert wire.decode(mxtp.message(12, raw)).body == tags
    assert wire.decode(mxtp.message(12, struct.pack(">i", len(raw)) + raw)).body == tags
    assert wire.decode(mxtp.message(12, b"\xff\xfe:\x00x\n")).body == {"��": "x"}


def test_null_pose(mxtp):
    payload = struct.pack(">i", 2) + mxtp.text("Pelvis") + struct.pack(">3f", 0, 0.5, 1)
    payload += mxtp.text("L5") + struct.pack(">3f", -0.25, 0, 1.125)
    landmark = struct.pack(">HH", 1, 13) + mxtp.text("pSacrum") + struct.pack(">I3f", 1, 0, 0, 0)
    for rest, points in ((b"", 0), (struct.pack(">i", 0), 0), (struct.pack(">i", 2) + 2 * landmark, 2)):
        pose = wire.decode(mxtp.message(13, payload + rest)).body
        assert pose.names == ("Pelvis", "L5") and pose.points == points
        np.testing.assert_array_equal(pose.pos_w, [[0, 0.5, 1], [-0.25, 0, 1.125]])


NULL_POSE_BAD = {
    "empty": (lambda m: b"", "truncated", "scale datagram ends at byte 0, 4 are needed"),
    "count": (
        lambda m: struct.pack(">i", 1000),
        "wrong_count",
        "scale datagram declares 1000 segments, more than its 4 B can hold",
    ),
    "negative count": (
        lambda m: struct.pack(">i", -1),
        "wrong_count",
        "scale datagram declares -1 segments, more than its 4 B can hold",
    ),
    "name": (
        lambda m: struct.pack(">ii", 1, 2**31 - 1) + bytes(40),
        "wrong_count",
        "scale datagram declares a name of 2147483647 B; 0 to 256 are possible",
    ),
    "name runs out": (
        lambda m: struct.pack(">ii", 1, 200) + bytes(40),
        "truncated",
        "scale datagram ends at byte 48, 208 are needed",
    ),
    "nan": (
        lambda m: struct.pack(">i", 1) + m.text("Pelvis") + struct.pack(">3f", 0, float("nan"), 0),
        "non_finite",
        "a null-pose position is NaN or infinite",
    ),
    "points": (
        lambda m: struct.pack(">ii", 0, 5) + bytes(24),
        "wrong_count",
        "scale datagram declares 5 points, more than its 32 B can hold",
    ),
}


@pytest.mark.parametrize("name", NULL_POSE_BAD)
def test_malformed_null_pose_says_why(mxtp, name):
    build, reason, sentence = NULL_POSE_BAD[name]
    with pytest.raises(ProtocolError) as error:
        wire.decode(mxtp.message(13, build(mxtp)))
    assert (error.value.reason, str(error.value)) == (reason, sentence)


def test_time_code_and_types_that_are_only_recognised(mxtp):
    assert wire.decode(mxtp.message(25, b"12:34:56.789")).body == "12:34:56.789"
    for kind, item in ((3, 16), (21, 40), (22, 44), (23, 44), (24, 12), (99, 7)):
        message = wire.decode(mxtp.message(kind, bytes(item * 23), items=23))
        assert (message.header.kind, message.body) == (kind, None)


def test_encoders_write_the_specified_bytes(mxtp):
    ids = np.arange(1, 24)
    pos = np.stack((0.01 * ids, -0.02 * ids, 0.1 + 0.05 * ids), axis=1)
    quat = np.tile((0.5, -0.5, 0.5, -0.5), (23, 1))
    expected = mxtp.pose(9, 72, character=2, payload=mxtp.segments(quat=(0.5, -0.5, 0.5, -0.5)))
    assert wire.encode_pose(pos, quat, sample=9, time_code_ms=72, character=2) == expected
    assert wire.encode_meta({"name": "é", "xmid": "1"}, sample=1, time_code_ms=2) == mxtp.message(
        12, "name:é\nxmid:1\n".encode(), sample=1, time_ms=2
    )
    body = b"".join(mxtp.text(n) + struct.pack(">3f", *p) for n, p in zip(MVN_SEGMENTS, pos, strict=True))
    payload = struct.pack(">i", 23) + body + struct.pack(">i", 0)
    assert wire.encode_null_pose(pos, sample=1, time_code_ms=2) == mxtp.message(
        13, payload, items=23, sample=1, time_ms=2
    )


def test_counters_wrap_instead_of_failing(mxtp):
    data = wire.encode_meta({}, sample=2**32 + 1, time_code_ms=2**32 + 2)
    assert (wire.decode(data).header.sample, wire.decode(data).header.time_code_ms) == (1, 2)


# --- split samples ---------------------------------------------------------------------------------------------------


def split(mxtp, sample=5, sizes=(30, 30, 7), character=0):
    """Header and payload of each datagram of a 67-segment sample."""
    whole, parts, at = mxtp.segments(67), [], 0
    for k, size in enumerate(sizes):
        counter = k | (0x80 if k == len(sizes) - 1 else 0)
        payload = whole[32 * at : 32 * (at + size)]
        data = mxtp.pose(sample, payload=payload, counter=counter, props=4, fingers=40, character=character)
        parts.append((wire.decode(data).header, memoryview(data)[24:]))
        at += size
    return parts, whole


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 1, 0, 0, 2)])
def test_parts_in_any_order_make_the_sample(mxtp, order):
    parts, whole = split(mxtp)
    reassembler = Reassembler()
    results = [reassembler.add(*parts[k]) for k in order]
    assert results[:-1] == [None] * (len(order) - 1)
    assert results[-1] == whole
    pose = wire.read_pose(parts[0][0], results[-1])
    assert pose.pos_w.shape == (23, 3)


def test_a_single_datagram_passes_through(mxtp):
    data = mxtp.pose()
    assert Reassembler().add(wire.read_header(data), memoryview(data)[24:]) == mxtp.segments()


def test_pending_samples_are_bounded(mxtp):
    reassembler = Reassembler()
    for sample in range(100):
        assert reassembler.add(*split(mxtp, sample)[0][0]) is None
    assert reassembler.incomplete == 100 - MAX_PENDING
    for sample in (95, 99):
        parts, whole = split(mxtp, sample)
        reassembler.add(*parts[1])
        assert reassembler.add(*parts[2]) == (None if sample == 95 else whole)


def test_characters_do_not_mix(mxtp):
    reassembler, (a, whole), (b, _) = Reassembler(), split(mxtp), split(mxtp, character=1)
    assert [reassembler.add(*part) for part in (a[0], b[1], a[1], b[2])] == [None] * 4
    assert reassembler.add(*a[2]) == whole


def test_contradicting_parts_are_dropped(mxtp):
    first = split(mxtp)[0]
    shorter = split(mxtp, sizes=(30, 37))[0]
    for parts in ((first[2], shorter[1]), (shorter[1], first[2]), (first[0], split(mxtp, sizes=(1, 66))[0][1])):
        reassembler = Reassembler()
        assert reassembler.add(*parts[0]) is None
        with pytest.raises(ProtocolError, match="^parts of sample 5 do not fit together$"):
            reassembler.add(*parts[1])
            reassembler.add(*first[1])
        assert [reassembler.add(*part) for part in first][-1] == split(mxtp)[1], "starts clean"


# --- fuzzing ---------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_only_protocol_errors_escape(mxtp, data):
    """Valid datagrams of every read type with bytes replaced, cut or added."""
    null_pose = struct.pack(">i", 1) + mxtp.text("Pelvis") + struct.pack(">3f", 0, 0, 1) + struct.pack(">i", 1)
    null_pose += struct.pack(">HH", 1, 13) + mxtp.text("p") + struct.pack(">I3f", 1, 0, 0, 0)
    seeds = (
        mxtp.pose(),
        mxtp.pose(payload=mxtp.segments(67), props=4, fingers=40),
        mxtp.pose(counter=1, payload=mxtp.segments(10)),
        mxtp.message(12, b"name:a\n"),
        mxtp.message(13, null_pose),
        mxtp.message(25, b"00:00:00.000"),
        mxtp.message(1, bytes(28 * 23), items=23),
        mxtp.message(5, bytes(32 * 23), items=23),
        mxtp.message(20, bytes(20 * 22), items=22),
    )
    raw = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    raw += data.draw(st.binary(max_size=40))
    if data.draw(st.booleans()) and len(raw) >= 24:
        raw[22:24] = struct.pack(">H", len(raw) - 24)
    reassembler = Reassembler()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            message = wire.decode(bytes(raw))
            if message.header.kind == wire.POSE:
                reassembler.add(message.header, memoryview(raw)[24:])
        except ProtocolError as error:
            assert str(error) and error.reason
            return
    if isinstance(message.body, wire.Pose):
        assert np.isfinite(message.body.pos_w).all()
        assert abs(np.linalg.norm(message.body.quat_w, axis=1) - 1.0).max() < 1e-12


@settings(deadline=None)
@given(st.binary(max_size=900))
def test_noise_is_refused(noise):
    with pytest.raises(ProtocolError):
        wire.decode(b"MXTX" + noise)
