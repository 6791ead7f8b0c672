"""NatNet bytes -> values: byte tables for the versions of which no recording is at hand, and what is encoded."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from tests.drivers.natnet_bytes import (
    VERSIONS,
    f32,
    frame,
    i32,
    marker,
    message,
    plain,
    rigid_model,
    section,
)

from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.messages import (
    BODY,
    MARKER,
    Analog,
    AssetData,
    BodyModel,
    Frame,
    Kind,
    MarkerSet,
    MarkerSetModel,
    ModelDef,
    SkeletonData,
    SkeletonModel,
)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_every_section_of_every_version(version):
    data = wire.decode(frame(version), version).body
    assert data.number == 77
    assert data.marker_sets[0].name == "all" and data.marker_sets[0].points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.unlabelled.tolist() == [[7, 8, 9]]
    assert data.rigid_bodies["id"].tolist() == [5, 6] and data.rigid_bodies["pos"].tolist() == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(data.rigid_bodies["quat_xyzw"], np.float32([[0, 0, 0.6, 0.8]] * 2))
    assert data.rigid_bodies["error"].tolist() == [0.25, 0.25]
    assert data.rigid_bodies["params"].tolist() == ([1, 0] if version >= (2, 6) else [1, 1])
    (skeleton,) = data.skeletons
    assert (skeleton.id, skeleton.bones["id"].tolist()) == (2, [0x20001, 0x20002, 0x20003])
    assert skeleton.bones["pos"].tolist() == [[1, 1, 0], [2, 1, 0], [3, 1, 0]]
    flags, residual = (10 if version >= (2, 6) else 0), (0.5 if version >= (3, 0) else 0.0)
    assert plain(data.markers) == [(0x50004, [0.5, 1, 2], 0.125, flags, residual)]
    plates, devices = (int(version >= v) for v in ((2, 9), (2, 11)))
    for group, count, ident in ((data.force_plates, plates, 30), (data.devices, devices, 40)):
        assert [(a.id, [c.tolist() for c in a.channels]) for a in group] == [(ident, [[1, 2, 3], []])] * count
    assert len(data.assets) == (version >= (4, 1))
    if data.assets:
        (asset,) = data.assets
        assert (asset.id, asset.bodies["id"].tolist(), asset.markers["id"].tolist()) == (9, [1], [3])
    assert len(data.body_markers) == (2 if version < (3, 0) else 0)
    if data.body_markers:
        first = data.body_markers[0]
        assert first.points.tolist() == [[1, 2, 3], [4, 5, 6]]
        assert (first.ids.tolist(), first.sizes.tolist()) == ([7, 8], [0.5, 0.25])


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_end_of_every_version(version):
    """Latency before 3.0, precision stamps from 4.1: the fields peers get wrong."""
    data = wire.decode(frame(version), version).body
    assert data.latency_s == (pytest.approx(0.004) if version < (3, 0) else 0.0)
    assert (data.timecode, data.timecode_sub, data.timestamp_s, data.params) == (11, 12, 12.5, 3)
    stamps = data.mid_exposure, data.received, data.transmit
    assert stamps == ((1000, 2000, 3000) if version >= (3, 0) else (0, 0, 0))
    precision = data.precision_s, data.precision_fraction
    assert precision == ((1_700_000_001, 123_456) if version >= (4, 1) else (0, 0))


@pytest.mark.parametrize("suffix", [b"", struct.pack("<i", 0), struct.pack("<h", 0)])
def test_old_streams_may_leave_out_the_end(suffix):
    assert wire.decode(frame((2, 5), suffix=suffix), (2, 5)).body.params == 0


def test_bytes_a_newer_server_adds_to_a_section_are_passed_over():
    version = (4, 1)
    whole = frame(version)
    label = section(version, 1, marker(version, (5 << 16) | 4, (0.5, 1, 2)))
    longer = i32(1) + i32(len(label) - 8 + 5) + label[8:] + b"extra"
    raw = message(7, whole[4:].replace(label, longer))
    assert len(raw) == len(whole) + 5
    assert plain(wire.decode(raw, version).body.markers) == [(0x50004, [0.5, 1, 2], 0.125, 10, 0.5)]


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_model_definitions_of_every_version(version):
    skeleton = b"Ada\0" + i32(2, 2)
    skeleton += rigid_model(version, b"Ada_Hip", 1, 0, (0, 1, 0)) + rigid_model(version, b"Ada_Ab", 2, 1, (0, 0.125, 0))
    camera = b"Cam\0" + f32(1, 2, 3) + f32(0, 0, 0, 1)
    definitions = [(0, b"all\0" + i32(2) + b"a\0b\0"), (1, rigid_model(version, b"Head", 7, -1, (0, 0, 0)))]
    definitions += [(2, skeleton), (5, camera)]
    if version >= (4, 1):
        asset = b"Box\0" + i32(1, 9, 1) + rigid_model(version, b"b", 1, 0, (0, 0, 0))
        asset += i32(1) + b"mk\0" + i32(4) + f32(1, 2, 3, 0.5) + struct.pack("<h", 2)
        definitions += [(3, b"what ever a force plate is"), (99, b"?"), (6, asset)]
    else:
        definitions += [(3, b"a force plate has no size before 4.1"), (1, b"never reached")]
    raw = i32(len(definitions))
    for kind, payload in definitions:
        raw += i32(kind) + (i32(len(payload)) if version >= (4, 1) else b"") + payload
    models = wire.decode(message(5, raw), version).body
    markers, labels = (((0.25, 0.5, 0.75),), (6,)) if version >= (3, 0) else ((), ())
    assert models.marker_sets == (MarkerSetModel("all", ("a", "b")),)
    assert models.rigid_bodies == (BodyModel("Head", 7, -1, (0, 0, 0), markers, labels),)
    hip, ab = (
        BodyModel("Ada_Hip", 1, 0, (0, 1, 0), markers, labels),
        BodyModel("Ada_Ab", 2, 1, (0, 0.125, 0), markers, labels),
    )
    assert models.skeletons == (SkeletonModel("Ada", 2, (hip, ab)),)
    assert [(a.name, a.id, len(a.bodies)) for a in models.assets] == ([("Box", 9, 1)] if version >= (4, 1) else [])
    assert models.skipped == 3


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= (3, 0)], ids=str)
def test_what_is_encoded_is_read_back(version):
    bones = encode.bodies(np.arange(1, 4), np.full((3, 3), 0.5), np.tile((0, 0, 0, 1.0), (3, 1)))
    marks = np.array([(1, (1, 2, 3), 0.5, 2, 0.25)], MARKER)
    points = np.float32([[1, 2, 3]])
    analog = Analog(4, (np.float32([1, 2]), np.float32([])))
    assets = (AssetData(3, bones[:1], marks),) if version >= (4, 1) else ()
    stamp = (1.5, 10, 20, 30) + ((5, 6) if version >= (4, 1) else (0, 0))
    sent = Frame(
        9, (MarkerSet("s", points),), points, bones[:2], (), (SkeletonData(1, bones),), assets, marks, (analog,),
        (analog, analog), 0.0, 7, 8, *stamp, 2,
    )  # fmt: skip
    raw = encode.encode_frame(sent, version)
    assert encode.encode_frame(wire.decode(raw, version).body, version) == raw
    got = wire.decode(raw, version).body
    assert (got.number, got[-10:]) == (9, sent[-10:]) and len(got.devices) == 2
    np.testing.assert_array_equal(got.skeletons[0].bones, bones)
    models = ModelDef(
        (MarkerSetModel("s", ("a",)),), (BodyModel("r", 1, -1, (0, 0, 0)),),
        (SkeletonModel("k", 2, (BodyModel("b", 1, 0, (0.5, 0, 0)),)),), (), 0,
    )  # fmt: skip
    assert wire.decode(encode.encode_modeldef(models, version), version).body == models


def test_small_messages_are_read_back():
    info = wire.ServerInfo("Motive", (3, 1, 0, 0), (4, 1, 0, 0), 10_000_000, 1511, False, "239.255.42.99")
    assert wire.decode(wire.encode_server_info(info), (4, 1)).body == info
    old = wire.ServerInfo("Motive", (1, 7, 0, 0), (2, 7, 0, 0), 0, 0, None, "")
    raw = wire.encode_server_info(old)
    assert len(raw) == 268 and wire.decode(raw, (4, 1)).body == old
    assert wire.decode(wire.encode_request("FrameRate"), (4, 1)).body == "FrameRate"
    assert wire.decode(wire.encode_echo(2**63), (4, 1)).body == (2**63, None)
    assert wire.decode(wire.encode_echo(5, 2**64 - 1), (4, 1)).body == (5, 2**64 - 1)
    raw = wire.encode_hello(Kind.CONNECT)
    assert len(raw) == 268 and wire.decode(raw, (4, 1)).body == ("teleopd", (1, 0, 0, 0), (4, 2, 0, 0))


@pytest.mark.parametrize(
    ("natnet", "read_as"), [((2, 5, 0, 0), (2, 5)), ((4, 1, 9, 9), (4, 1)), ((4, 4, 0, 0), (4, 2))]
)
def test_bitstream_of_a_server(natnet, read_as):
    assert wire.bitstream(natnet) == read_as


def test_arrays_do_not_change_when_the_receive_buffer_does():
    version = (4, 1)
    buffer = bytearray(frame(version))
    data = wire.decode(memoryview(buffer), version).body
    before = data.rigid_bodies.copy()
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(data.rigid_bodies, before)
    assert data.rigid_bodies.dtype == BODY and not data.rigid_bodies.flags.writeable
