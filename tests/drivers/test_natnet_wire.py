"""NatNet bytes -> values: recorded Motive traffic against the vendor client's own output, byte tables built with
`struct` for the versions no recording is at hand of, exact reasons, and fuzzing."""

from __future__ import annotations

import re
import struct
import sys
import tracemalloc
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.emulator import EmulatorOptions, NatNetEmulator
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
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap.pcap import read_datagrams

VERSIONS = [(2, 5), (2, 6), (2, 7), (2, 9), (2, 10), (2, 11), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)]


def i32(*values):
    return struct.pack(f"<{len(values)}i", *values)


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values)


def message(kind, payload):
    return struct.pack("<HH", kind, len(payload)) + payload


def plain(records):
    """Structured records as plain tuples and lists."""
    return [tuple(v.tolist() if hasattr(v, "tolist") else v for v in record) for record in records]


def section(version, count, items):
    return i32(count) + (i32(len(items)) if version >= (4, 1) else b"") + items


def body(version, ident, pos, quat=(0.0, 0.0, 0.6, 0.8), error=0.25, params=1):
    """A rigid body or bone as the table of NatNet's layout has it; two markers before 3.0."""
    raw = i32(ident) + f32(*pos, *quat)
    if version < (3, 0):
        raw += i32(2) + f32(1, 2, 3, 4, 5, 6) + i32(7, 8) + f32(0.5, 0.25)
    raw += f32(error)
    return raw + (struct.pack("<h", params) if version >= (2, 6) else b"")


def marker(version, ident, pos):
    raw = i32(ident) + f32(*pos, 0.125)
    raw += struct.pack("<h", 10) if version >= (2, 6) else b""
    return raw + (f32(0.5) if version >= (3, 0) else b"")


def plate(ident):
    return i32(ident, 2) + i32(3) + f32(1, 2, 3) + i32(0)


def frame(version, *, bones=3, params=3, number=77, suffix=None):
    """A frame with something in every section of its version."""
    sized = [section(version, 1, b"all\0" + i32(2) + f32(1, 2, 3, 4, 5, 6)), section(version, 1, f32(7, 8, 9))]
    sized.append(section(version, 2, body(version, 5, (1, 2, 3)) + body(version, 6, (4, 5, 6), params=0)))
    skeleton = i32(2, bones) + b"".join(body(version, (2 << 16) | k, (k, 1, 0)) for k in range(1, bones + 1))
    sized.append(section(version, 1, skeleton))
    if version >= (4, 1):
        asset = i32(9, 1) + body(version, 1, (0, 0, 1)) + i32(1) + marker(version, 3, (1, 1, 1))
        sized.append(section(version, 1, asset))
    sized.append(section(version, 1, marker(version, (5 << 16) | 4, (0.5, 1, 2))))
    sized += [section(version, 1, plate(30))] if version >= (2, 9) else []
    sized += [section(version, 1, plate(40))] if version >= (2, 11) else []
    tail = f32(0.004) if version < (3, 0) else b""
    tail += struct.pack("<II", 11, 12) + (struct.pack("<d", 12.5) if version >= (2, 7) else f32(12.5))
    tail += struct.pack("<QQQ", 1000, 2000, 3000) if version >= (3, 0) else b""
    tail += struct.pack("<II", 1_700_000_001, 123_456) if version >= (4, 1) else b""
    tail += struct.pack("<hi", params, 0) if suffix is None else suffix
    return message(7, i32(number) + b"".join(sized) + tail)


# --- recorded traffic ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def natnet_data(shared_data):
    return shared_data / "natnet"


@pytest.fixture(scope="module")
def capture(natnet_data):
    return list(read_datagrams((natnet_data / "mje-nz/raw/traffic.pcapng").read_bytes()))


OF_A_FRAME = (
    "FrameID", "Timestamp", "Software latency", "System latency", "Timecode", "Other Marker", "Rigid Bod", "\t",
    "Skeletons", "Labeled Marker", "Force Plate", "Device",
)  # fmt: skip


def printed_frames(text):
    """Frame number -> the lines the vendor's client printed for it, without those of its main thread in between.

    'Total client latency' depends on when its receiver ran, and is left out.
    """
    frames = {}
    for block in re.split(r"(?m)^(?=FrameID : )", text)[1:]:
        lines = block.splitlines()
        end = next(i for i, line in enumerate(lines) if line.startswith("Device [Count"))
        number = int(lines[0].removeprefix("FrameID : "))
        frames[number] = [line for line in lines[: end + 1] if line.startswith(OF_A_FRAME)]
    return frames


def two(value):
    """%.2f as the vendor's compiler has it: of 17 significant digits, halves away from zero."""
    return str(Decimal(f"{float(value):.16e}").quantize(Decimal("0.01"), ROUND_HALF_UP))


def row(values, gap="\t"):
    return gap.join(map(two, values))


def as_printed(data, clock_hz):
    """A decoded frame in the words of the vendor's client."""

    def ms(ticks):
        return f"{two(ticks / clock_hz * 1000.0)} milliseconds"

    lines = [
        f"FrameID : {data.number}",
        f"Timestamp : {two(data.timestamp_s)}",
        f"Software latency : {ms(data.transmit - data.received)}",
        f"System latency : {ms(data.transmit - data.mid_exposure)}",
        f"Timecode : {data.timecode >> 24 & 255:02d}:{data.timecode >> 16 & 255:02d}:"
        f"{data.timecode >> 8 & 255:02d}:{data.timecode & 255:02d}.{data.timecode_sub}",
        f"Other Markers [Count={len(data.unlabelled)}]",
    ]
    lines += [f"Other Marker {k} : {row(point)}" for k, point in enumerate(data.unlabelled)]
    lines.append(f"Rigid Bodies [Count={len(data.rigid_bodies)}]")
    for b in data.rigid_bodies:
        lines.append(f"Rigid Body [ID={b['id']}  Error={two(b['error'])}  Valid={b['params'] & 1}]")
        lines += ["\tx\ty\tz\tqx\tqy\tqz\tqw", "\t" + row([*b["pos"], *b["quat_xyzw"]])]
    lines += [f"Skeletons [Count={len(data.skeletons)}]", f"Labeled Markers [Count={len(data.markers)}]"]
    for m in data.markers:
        flags = int(m["params"])
        lines.append(
            f"Labeled Marker [ModelID={m['id'] >> 16}, MarkerID={m['id'] & 0xFFFF}, Occluded={flags & 1}, "
            f"PCSolved={flags >> 1 & 1}, ModelSolved={flags >> 2 & 1}] [size={two(m['size'])}] "
            f"[pos={row(m['pos'], ',')}]"
        )
    return [*lines, f"Force Plate [Count={len(data.force_plates)}]", f"Device [Count={len(data.devices)}]"]


def test_every_frame_of_a_recording_says_what_the_vendors_client_printed(natnet_data, capture):
    printed = printed_frames((natnet_data / "mje-nz/raw/SampleClient_output.txt").read_text())
    frames = [wire.decode(d.payload, (3, 0)).body for d in capture if d.destination[1] == 1511]
    assert len(frames) == 518 and len(printed) == 251
    assert [f.number for f in frames] == list(range(162734, 162734 + 518))
    decoded = {f.number: as_printed(f, 3_312_787) for f in frames if f.number in printed}
    assert decoded == printed
    assert {(f.params, f.precision_s, f.latency_s) for f in frames} == {(0, 0, 0.0)}
    assert all(f.mid_exposure < f.received < f.transmit for f in frames)


def test_the_handshake_of_a_recording(natnet_data, capture):
    others = [wire.decode(d.payload, (3, 0)) for d in capture if d.destination[1] != 1511]
    kinds = [m.kind.name for m in others if "ECHO" not in m.kind.name]
    assert kinds == [
        "DISCOVERY", "SERVERINFO", "CONNECT", "SERVERINFO", "REQUEST", "RESPONSE", "REQUEST", "RESPONSE",
        "REQUEST", "RESPONSE", "REQUEST", "UNRECOGNIZED", "REQUEST_MODELDEF", "MODELDEF",
    ]  # fmt: skip
    infos = {m.body for m in others if m.kind is Kind.SERVERINFO}
    assert infos == {
        wire.ServerInfo("Motive", (2, 1, 0, 0), (3, 0, 0, 0), 3_312_787, 1511, True, "239.255.42.99"),
    }
    hello = next(m.body for m in others if m.kind is Kind.CONNECT)
    assert (hello.name, hello.natnet_version) == ("NatNetLib", (3, 0, 0, 0))
    sent = [m.body.client_stamp for m in others if m.kind is Kind.ECHOREQUEST]
    back = [m.body for m in others if m.kind is Kind.ECHORESPONSE]
    assert len(sent) == 9 and [echo.client_stamp for echo in back] == sent
    assert [echo.server_ticks for echo in back] == sorted(echo.server_ticks for echo in back)
    texts = [m.body for m in others if m.kind is Kind.REQUEST]
    assert texts[1:] == ["FrameRate", "AnalogSamplesPerMocapFrame", "TestRequest"]
    replies = [m.body for m in others if m.kind is Kind.RESPONSE]
    assert replies[1:] == [struct.pack("<f", 120.0), struct.pack("<i", 0)]


def test_the_model_definitions_of_a_recording_are_what_the_vendors_client_printed(natnet_data, capture):
    text = (natnet_data / "mje-nz/raw/SampleClient_output.txt").read_text()
    models = next(wire.decode(d.payload, (3, 0)).body for d in capture if d.payload[0] == Kind.MODELDEF)
    (quad,) = models.rigid_bodies
    assert [s.name for s in models.marker_sets] == re.findall(r"MarkerSet Name : (\S+)", text) == ["RaceQuad", "all"]
    assert models.marker_sets[0].markers == tuple(re.findall(r"(?m)^Marker\d$", text))
    assert models.marker_sets[1].markers == tuple(re.findall(r"(?m)^RaceQuad_\d$", text))
    assert (quad.name, quad.id, quad.parent, quad.offset) == ("RaceQuad", 2, -1, (0.0, 0.0, 0.0))
    positions = re.findall(r"Position: (.*)", text)
    assert [row(point, ", ") for point in quad.markers] == positions
    assert len(positions) == 5 and quad.labels == (0,) * 5
    assert (models.skeletons, models.assets, models.skipped) == ((), (), 0)


def test_single_message_files(natnet_data):
    expected = {
        "connect": (Kind.CONNECT, 268), "discovery": (Kind.DISCOVERY, 268), "echorequest": (Kind.ECHOREQUEST, 12),
        "echoresponse": (Kind.ECHORESPONSE, 20), "mocapframe": (Kind.FRAMEOFDATA, 336),
        "modeldef": (Kind.MODELDEF, 249), "requestmodeldef": (Kind.REQUEST_MODELDEF, 4),
        "serverinfo": (Kind.SERVERINFO, 283),
    }  # fmt: skip
    for name, (kind, size) in expected.items():
        raw = (natnet_data / f"mje-nz/{name}_packet_v3.bin").read_bytes()
        assert (len(raw), wire.decode(raw, (3, 0)).kind) == (size, kind)
    raw = (natnet_data / "mje-nz/mocapframe_packet_occluded_v3.bin").read_bytes()
    data = wire.decode(raw, (3, 0)).body
    assert len(raw) == 365 and [s.name for s in data.marker_sets] == ["FakeTree", "all"]
    assert (data.markers["id"] >> 16).tolist() == [7, 7, 7, 7]
    assert (data.markers["params"] & 1).tolist() == [1, 0, 0, 0], "the first is occluded"


def test_the_synthetic_4_1_frame(natnet_data):
    """Values as listed beside the file."""
    raw = (natnet_data / "synthetic_v4.1_skeleton21.bin").read_bytes()
    data = wire.decode(raw, (4, 1)).body
    assert len(raw) == 1016 and data.number == 4242
    assert data.marker_sets[0].name == "all" and data.marker_sets[0].points.tolist() == [[1.0, 2.0, 3.0]]
    assert (len(data.marker_sets), len(data.unlabelled)) == (1, 0)
    (rigid,) = plain(data.rigid_bodies)
    assert rigid == (7, [1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.0], pytest.approx(0.001), 1)
    (skeleton,) = data.skeletons
    assert skeleton.id == 1 and skeleton.bones["id"].tolist() == [(1 << 16) | k for k in range(1, 22)]
    expected = [[0.1 * k, 1.0, 0.0] for k in range(21)]
    np.testing.assert_allclose(skeleton.bones["pos"], expected, atol=1e-6)
    assert (skeleton.bones["quat_xyzw"] == (0, 0, 0, 1)).all()
    (label,) = plain(data.markers)
    approx = pytest.approx
    assert label == ((1 << 16) | 1, approx([0.1, 0.2, 0.3]), approx(0.014), 2, approx(0.0005))
    assert (data.assets, data.force_plates, data.devices) == ((), (), ())
    assert data[-10:] == (0.0, 0, 0, 12.5, 1000, 2000, 3000, 1_700_000_001, 123_456, 0)


def test_a_frame_read_in_another_bitstream_is_refused(natnet_data):
    """The wrong version cannot slip through on either real layout."""
    real = (natnet_data / "mje-nz/mocapframe_packet_v3.bin").read_bytes()
    synthetic = (natnet_data / "synthetic_v4.1_skeleton21.bin").read_bytes()
    for raw, version in ((real, (4, 1)), (synthetic, (3, 0)), (synthetic, (4, 0))):
        with pytest.raises(ProtocolError):
            wire.decode(raw, version)


# --- byte tables -----------------------------------------------------------------------------------------------------


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


def rigid_model(version, name, ident, parent, offset):
    raw = name + b"\0" + i32(ident, parent) + f32(*offset)
    raw += f32(0, 0, 0, 1) if version >= (4, 2) else b""
    if version >= (3, 0):
        raw += i32(1) + f32(0.25, 0.5, 0.75) + i32(6) + (b"m1\0" if version >= (4, 0) else b"")
    return raw


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


# --- bad input -------------------------------------------------------------------------------------------------------

V = (4, 1)
HEAD = i32(1)
EMPTY = i32(0, 0)
BAD = {
    "nothing": (b"", "truncated", "datagram of 0 B is shorter than the 4 B header"),
    "id": (message(77, b""), "wrong_kind", "message id 77 is none of NatNet's"),
    "cut": (struct.pack("<HH", 7, 9) + b"x", "truncated", "header declares 9 B of payload but 1 B follow"),
    "huge": (bytes(65508), "oversized", "datagram is longer than 65507 B, more than UDP carries"),
    "negative": (message(7, HEAD + i32(-1, 0)), "wrong_count", "-1 marker sets are declared but 4 B are left for them"),
    "more than fits": (
        message(7, HEAD + EMPTY + i32(2**30, 0)),
        "wrong_count",
        "1073741824 unlabelled markers are declared but 4 B are left for them",
    ),
    "section": (message(7, HEAD + i32(0, 99)), "section_size", "marker sets declare 99 B but 0 B are left"),
    "name": (
        message(7, HEAD + i32(1, 300) + b"n" * 300),
        "bad_string",
        "the name at byte 16 does not end within 256 B",
    ),
    "samples": (
        message(7, HEAD + EMPTY * 6 + i32(1, 12, 1, 1, 2**26) + bytes(40)),
        "wrong_count",
        "67108864 samples are declared but 0 B are left for them",
    ),
    "trailing": (
        message(7, frame(V)[4:] + b"xy"),
        "trailing",
        "2 B follow the end of the frame; its bitstream is not what the server declared",
    ),
    "connect": (message(0, bytes(263)), "truncated", "connect message has 263 B; 264 are needed"),
    "echo": (message(13, bytes(15)), "truncated", "echo response has 15 B; 16 are needed"),
    "server version": (
        message(1, b"Motive".ljust(256, b"\0") + bytes([9, 0, 0, 0, 5, 0, 0, 0])),
        "wrong_version",
        "server 'Motive' speaks NatNet 5.0; 2.5 to 4.2 are read",
    ),
    "server clock": (
        message(1, b"Motive".ljust(256, b"\0") + bytes([2, 0, 0, 0, 3, 0, 0, 0]) + bytes(15)),
        "no_clock",
        "server 'Motive' declares a clock of 0 Hz; its stamps mean nothing",
    ),
    "many channels": (
        message(7, HEAD + EMPTY * 6 + i32(1, 8 + 4 * 801, 1, 801) + bytes(4 * 801)),
        "too_many",
        "801 channels are declared, more than a datagram may hold",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=BAD.keys())
def test_bad_datagrams_say_what_is_wrong(case):
    raw, reason, sentence = BAD[case]
    with pytest.raises(ProtocolError) as error:
        wire.decode(raw, V)
    assert (error.value.reason, str(error.value)) == (reason, sentence)


@pytest.mark.parametrize("version", [(2, 10), (3, 0), (4, 1)], ids=str)
def test_no_prefix_of_a_frame_is_a_frame(version):
    whole = frame(version)[4:]
    shorter = {len(whole) - n for n in (6, 4, 2)} if version < (3, 0) else set()
    for size in set(range(len(whole))) - shorter:
        with pytest.raises(ProtocolError):
            wire.decode(message(7, whole[:size]), version)


def hostile():
    """Full-size datagrams that make the reader walk as many items as it lets them."""
    named = b"s\0" + i32(3990) + b"m\0" * 3990
    yield message(5, i32(2, 0, len(named)) + named), (4, 1)
    yield message(7, HEAD + i32(799) + (b"s\0" + i32(0)) * 799), (3, 0)
    yield message(7, HEAD + i32(0, 0, 0, 799) + i32(1, 0) * 799), (3, 0)
    yield message(7, HEAD + i32(0, 0, 399) + (i32(1) + bytes(28) + i32(0) + bytes(6)) * 399), (2, 10)
    channels = i32(1, 799) + (i32(8) + bytes(32)) * 799
    yield message(7, HEAD + EMPTY * 6 + i32(1, len(channels)) + channels), (4, 1)
    yield message(7, HEAD + i32(0, 5000) + bytes(60000)), (3, 0)


class Steps:
    """Counts the lines of Python a call runs: the same on every machine, however slow or busy."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, _frame, event, _argument):
        self.lines += event == "line"
        return self


def test_no_datagram_makes_the_reader_walk_far_or_take_10_mb():
    """Work bounded in lines of Python, not in milliseconds; `benchmarks/natnet_decode.py` has the times."""
    for raw, version in hostile():
        steps = Steps()
        sys.settrace(steps)
        try:
            with pytest.raises(ProtocolError):
                wire.decode(raw, version)
        finally:
            sys.settrace(None)
        tracemalloc.start()
        with pytest.raises(ProtocolError):
            wire.decode(raw, version)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0 < steps.lines < 40_000 and peak < 10_000_000


# --- fuzzing ---------------------------------------------------------------------------------------------------------


def seeds():
    for version in VERSIONS:
        yield frame(version), version
        yield (
            message(5, i32(2, 0) + b"all\0" + i32(1) + b"a\0" + i32(1) + rigid_model(version, b"r", 1, 0, (0, 0, 0))),
            version,
        )
    info = wire.ServerInfo("Motive", (3, 1, 0, 0), (4, 1, 0, 0), 10_000_000, 1511, False, "239.255.42.99")
    for raw in (wire.encode_server_info(info), wire.encode_hello(Kind.CONNECT), wire.encode_echo(1, 2)):
        yield raw, V


SEEDS = list(seeds())


@pytest.mark.parametrize("stamp_s", [float("nan"), float("inf"), 1e306, -2e9])
@pytest.mark.parametrize("version", [(3, 0), (4, 1)])
def test_a_timestamp_that_is_no_time_is_refused(stamp_s, version):
    emulator = NatNetEmulator(load_motion("walk"), EmulatorOptions(natnet=f"{version[0]}.{version[1]}"))
    known = wire.decode(emulator.datagram(0, 10**12), version).body
    with pytest.raises(ProtocolError) as error:
        wire.decode(encode.encode_frame(known._replace(timestamp_s=stamp_s), version), version)
    assert error.value.reason == "implausible_stamp"
    assert str(error.value) == f"the frame's timestamp is {stamp_s:.3g} s since Motive started"


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_only_protocol_errors_escape(data):
    """Valid datagrams of every kind and version with bytes replaced, cut or added, read in any version."""
    raw, version = data.draw(st.sampled_from(SEEDS))
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        how = data.draw(st.sampled_from(("set", "word", "cut", "insert")))
        if how == "set" and raw:
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "word" and len(raw) >= at + 4:
            raw[at : at + 4] = struct.pack("<i", data.draw(st.sampled_from((-1, 0, 1, 2**16, 2**26, 2**31 - 1))))
        elif how == "cut":
            del raw[at:]
        else:
            raw[at:at] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()) and len(raw) >= 4:
        struct.pack_into("<H", raw, 2, len(raw) - 4)
    other = data.draw(st.sampled_from(VERSIONS))
    for asked in (version, other):
        try:
            wire.decode(bytes(raw), asked)
        except ProtocolError as error:
            assert "\n" not in str(error)


@settings(deadline=None)
@given(st.sampled_from([0, 1, 5, 7, 12, 13, 14]), st.binary(max_size=600), st.sampled_from(VERSIONS))
def test_noise_behind_a_true_header(kind, noise, version):
    try:
        wire.decode(message(kind, noise), version)
    except ProtocolError:
        pass


def test_arrays_do_not_change_when_the_receive_buffer_does():
    buffer = bytearray(frame(V))
    data = wire.decode(memoryview(buffer), V).body
    before = data.rigid_bodies.copy()
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(data.rigid_bodies, before)
    assert data.rigid_bodies.dtype == BODY and not data.rigid_bodies.flags.writeable
