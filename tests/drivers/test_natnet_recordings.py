"""NatNet bytes -> values: recorded Motive traffic against the output of the vendor's own client."""

from __future__ import annotations

import re
import struct
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from tests.drivers.natnet_bytes import (
    plain,
)

from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.messages import (
    Kind,
)
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap.pcap import read_datagrams


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
