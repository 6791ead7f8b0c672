"""The parsers of foreign bytes, and true packets to begin from: of our own encoders and emulators, or by `struct`."""

from __future__ import annotations

import json
import struct
from functools import partial

import numpy as np
from engine import Feed, Target

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import encode
from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.emulator import EmulatorOptions as NatNetOptions
from teleopd.drivers.natnet.emulator import NatNetEmulator
from teleopd.drivers.natnet.messages import BODY, MARKER, Analog, AssetData, Kind, MarkerSet, MarkerSetModel
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.network import wire as network
from teleopd.drivers.network.emulator import EmulatorOptions as NetworkOptions
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.pico import messages, skeleton
from teleopd.drivers.pico import wire as pico
from teleopd.drivers.pico.emulator import EmulatorOptions as PicoOptions
from teleopd.drivers.pico.emulator import PicoEmulator
from teleopd.drivers.pico.extras import read_extras
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap import pcap, writer
from teleopd.drivers.tap.capture import NOWHERE, Arrival, device_of
from teleopd.drivers.tap.decode import Decoder
from teleopd.drivers.udp import Address
from teleopd.drivers.vmc import wire as vmc
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.drivers.vmc.source import VmcSource
from teleopd.drivers.xsens import wire as xsens
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.drivers.xsens.source import XsensSource
from teleopd.drivers.xsens.stream import StreamFramer

SENDER: Address = ("127.0.0.1", 1510)
PERIOD_NS = 8_333_333


def _clip():
    return load_motion("walk_and_turn")


def _line(device: str, data: bytes) -> None:
    """`teleop decode`: one JSON line, whatever the packet."""
    json.dumps(Decoder(device).line(0, Arrival(0, 0, NOWHERE, NOWHERE, data), 0))


def _receiver(receive) -> Feed:
    """Calls `receive(view, sender, now)` with a clock that goes on."""
    now_ns = [10**12]

    def feed(data: bytes) -> None:
        now_ns[0] += PERIOD_NS
        receive(memoryview(data), SENDER, now_ns[0])

    return feed


# --- Xsens -----------------------------------------------------------------------------------------------------------


def _mxtp(kind: int, payload: bytes, items: int = 1, counter: int = 0x80, props: int = 0, fingers: int = 0) -> bytes:
    head = struct.pack(">4s2sIBBIBBBBHH", b"MXTP", b"%02d" % kind, 7, counter, items, 1000, 0, 23, props, fingers, 0,
                       len(payload))  # fmt: skip
    return head + payload


def _xsens_seeds() -> list[bytes]:
    device = XsensEmulator(_clip())
    pose, info = device.datagrams(0)
    segments = b"".join(struct.pack(">i3f4f", k, 0.01 * k, 0, 0.05 * k, 1, 0, 0, 0) for k in range(1, 68))
    euler = b"".join(struct.pack(">i6f", k, 1.0 * k, 0, 5.0 * k, 10, 0, 0) for k in range(1, 24))
    points = b"".join(struct.pack(">i3f", k << 8, 0.01 * k, 0, 0.05 * k) for k in range(1, 24))
    linear = b"".join(struct.pack(">i9f", k, *(0.1,) * 9) for k in range(1, 24))
    angular = b"".join(struct.pack(">i10f", k, 1, 0, 0, 0, *(0.1,) * 6) for k in range(1, 24))
    trackers = b"".join(struct.pack(">i13f", k, 1, 0, 0, 0, *(0.1,) * 9) for k in range(1, 18))
    joints = b"".join(struct.pack(">ii3f", k << 8, k + 1 << 8, 1, 2, 3) for k in range(1, 29))
    scale = struct.pack(">i", 2) + b"".join(
        struct.pack(">i", len(name)) + name + struct.pack(">3f", 0, 0, 1) for name in (b"Pelvis", b"L5")
    )
    landmark = struct.pack(">HHi", 1, 2, 4) + b"pHip" + struct.pack(">i3f", 0, 0.1, 0.2, 0.3)
    code = b"12:34:56.789"
    return [
        pose, *info, device.datagrams(30)[0],
        _mxtp(2, segments, 67, props=4, fingers=40), _mxtp(2, segments[: 27 * 32], 27, props=4),
        _mxtp(2, segments[: 10 * 32], 10, 0x00), _mxtp(2, segments[10 * 32 : 23 * 32], 13, 0x81),
        pose[:16] + bytes(8) + pose[24:],
        _mxtp(1, euler, 23), _mxtp(3, points, 23), _mxtp(5, segments[: 23 * 32], 23), _mxtp(20, joints, 28),
        _mxtp(21, linear, 23), _mxtp(22, angular, 23), _mxtp(23, trackers, 17), _mxtp(24, struct.pack(">3f", 0, 0, 1)),
        _mxtp(25, code), _mxtp(25, struct.pack(">i", 12) + code), _mxtp(13, scale + struct.pack(">i", 1) + landmark),
        _mxtp(12, struct.pack(">i", 9) + b"name:Eva\n"),
    ]  # fmt: skip


def _xsens_size(data: bytes) -> bytes:
    if not xsens.HEADER_SIZE <= len(data) <= xsens.MAX_DATAGRAM:
        return data
    return data[:22] + struct.pack(">H", len(data) - xsens.HEADER_SIZE) + data[24:]


MAX_PIECE = 4096
"""Of a byte stream [B]: what is fed to it in one go."""
MAX_BYTEWISE = 300
"""Fed byte by byte [B]."""


def _stream_parse(data: bytes) -> None:
    """A piece of MVN's TCP stream, cut into datagrams and read."""
    refused: ProtocolError | None = None
    for found in StreamFramer().feed(data[:MAX_PIECE]):
        if isinstance(found, ProtocolError):
            refused = found
        else:
            xsens.decode(found)
    if refused is not None:
        raise refused


def _stream_bytewise() -> Feed:
    """The same piece one byte at a time says the same, and no more than one datagram is held."""

    def feed(data: bytes) -> None:
        data = data[:MAX_BYTEWISE]
        whole, framer = StreamFramer().feed(data), StreamFramer()
        pieces = [found for at in range(len(data)) for found in framer.feed(data[at : at + 1])]
        assert [str(found) for found in pieces] == [str(found) for found in whole], "cut otherwise byte by byte"
        assert len(framer._bytes) <= xsens.MAX_DATAGRAM + xsens.HEADER_SIZE, "more held than a datagram"

    return feed


def _stream_seeds() -> list[bytes]:
    pose, info = XsensEmulator(_clip()).datagrams(0)
    small = [each for each in _xsens_seeds() if len(each) < 500]
    return [pose + info[0] + pose, b"".join(small[:3]), b"noise" + small[0] + b"MXT" + small[-1], *small, pose[:700]]


# --- NatNet: the first byte of an input says which bitstream the server declared -------------------------------------

_BITSTREAMS = ((2, 5), (2, 6), (2, 7), (2, 9), (2, 10), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2))


def _natnet_parse(data: bytes) -> None:
    if data:
        natnet.decode(data[1:], _BITSTREAMS[data[0] % len(_BITSTREAMS)])


def _natnet_devices() -> dict[str, NatNetEmulator]:
    clip = _clip()
    return {version: NatNetEmulator(clip, NatNetOptions(natnet=version)) for version in ("3.0", "4.0", "4.1", "4.2")}


def _natnet_receiver(greeting: list[bytes]) -> Feed:
    """A source that has been greeted and told the definitions, without sockets."""
    if not greeting:
        device = NatNetEmulator(_clip(), NatNetOptions(natnet="4.2"))
        greeting += [natnet.encode_server_info(device.server_info()), device._answer(Kind.REQUEST_MODELDEF, None, 0)]
    source = NatNetSource(host=SENDER[0])
    feed = _receiver(source.receive)
    for datagram in greeting:
        feed(datagram)
    return lambda data: feed(data[1:])


def _old_body(ident: int, params: bool) -> bytes:
    markers = struct.pack("<i3fif", 1, 0.1, 0.2, 0.3, 5, 0.01)
    return struct.pack("<i7f", ident, 0, 1, 0, 0, 0, 0, 1) + markers + struct.pack("<f", 0.001) + b"\1\0" * params


def _old_frame(version: tuple[int, int]) -> bytes:
    """A frame of the 2.x layout: one set, one marker, one body, one skeleton of two bones, a labelled marker."""
    params = version >= (2, 6)
    bones = b"".join(_old_body(k, params) for k in (1, 2))
    parts = [
        struct.pack("<ii", 42, 1), b"all\0", struct.pack("<i3f", 1, 1, 2, 3), struct.pack("<i3f", 1, 4, 5, 6),
        struct.pack("<i", 1), _old_body(7, params), struct.pack("<iii", 1, 1, 2), bones,
        struct.pack("<ii4f", 1, 9, 0.1, 0.2, 0.3, 0.01), b"\0\0" * params,
        b"" if version < (2, 9) else struct.pack("<iiiif", 1, 3, 1, 1, 2.0),
        struct.pack("<fII", 0.01, 1, 2), struct.pack("<d" if version >= (2, 7) else "<f", 12.5),
        struct.pack("<hi", 0, 0),
    ]  # fmt: skip
    return natnet.encode(Kind.FRAMEOFDATA, b"".join(parts))


def _natnet_seeds() -> list[bytes]:
    seeds = []
    for version, device in _natnet_devices().items():
        number = bytes([_BITSTREAMS.index(device.version)])
        frame = natnet.decode(device.datagram(3, 10**12), device.version).body
        bones = frame.skeletons[0].bones[:2]
        markers = np.zeros(2, MARKER)
        analog = Analog(3, (np.ones(2, np.float32), np.zeros(1, np.float32)))
        small = frame._replace(
            marker_sets=(MarkerSet("all", np.ones((2, 3), np.float32)),), unlabelled=np.zeros((1, 3), np.float32),
            rigid_bodies=np.zeros(1, BODY), skeletons=(frame.skeletons[0]._replace(bones=bones),),
            assets=(AssetData(5, bones, markers),) if device.version >= (4, 1) else (), markers=markers,
            force_plates=(analog,), devices=(analog,),
        )  # fmt: skip
        models = device._models._replace(marker_sets=(MarkerSetModel("all", ("a", "b")),))
        seeds += [number + encode.encode_frame(small, device.version),
                  number + encode.encode_modeldef(models, device.version),
                  number + natnet.encode_server_info(device.server_info())]  # fmt: skip
        if version in ("3.0", "4.2"):
            seeds.append(number + device.datagram(0, 10**12))
        rigid = NatNetEmulator(_clip(), NatNetOptions(natnet=version, bodies=6))
        seeds += [number + rigid.datagram(0, 10**12), number + encode.encode_modeldef(rigid._models, rigid.version)]
    seeds += [bytes([k]) + _old_frame(version) for k, version in enumerate(_BITSTREAMS) if version < (3, 0)]
    newest = bytes([len(_BITSTREAMS) - 1])
    old = natnet.encode_server_info(_natnet_devices()["3.0"].server_info()._replace(natnet_version=(2, 9, 0, 0)))
    seeds += [newest + each for each in (
        old, natnet.encode_hello(Kind.CONNECT), natnet.encode_hello(Kind.DISCOVERY), natnet.encode_request("FrameRate"),
        natnet.encode_echo(5), natnet.encode_echo(5, 6), natnet.encode(Kind.KEEPALIVE),
        natnet.encode(Kind.RESPONSE, b"\0\0\xf0\x42"), natnet.encode(Kind.MESSAGESTRING, b"hello\0"),
        natnet.encode(Kind.UNRECOGNIZED, bytes(264)),
    )]  # fmt: skip
    return seeds


def _natnet_size(data: bytes) -> bytes:
    return data[:3] + struct.pack("<H", (len(data) - 5) & 0xFFFF) + data[5:] if len(data) >= 5 else data


# --- PICO: a ServerFeedback, or the JSON text of a device's state alone ----------------------------------------------


def _pico_parse(data: bytes) -> None:
    content: bytes | None = data
    if data[:1] != b"{":
        if len(data) < 64:
            try:
                pico.decode_control(data)
            except ProtocolError:
                pass
        content = pico.decode_feedback(data).content
    tracking = messages.read_tracking(content) if content is not None else None
    if tracking is None:
        return
    read_extras(tracking, 0)
    skeleton.to_mvn(messages.read_poses([joint.p for joint in messages.body_joints(tracking)]))


def _pico_receiver() -> Feed:
    source = PicoSource()
    feed = _receiver(lambda data, _sender, now_ns: source.receive(bytes(data), now_ns))
    feed(pico.encode_feedback(pico.Feedback(pico.CONNECT, "PA9E10", 1)))
    return lambda data: feed(_in_feedback(data) if data[:1] == b"{" else data)


def _in_feedback(text: bytes) -> bytes:
    return pico.encode_feedback(pico.Feedback(pico.STATE, "PA9E10", None, text))


def _pico_seeds() -> list[bytes]:
    clip, wall_ns = _clip(), 1_700_000_000_000_000_000
    options = PicoOptions(digits=6, hands=True, trackers=3)
    frame = PicoEmulator(clip, options).frame(0, wall_ns)
    body = PicoEmulator(clip, PicoOptions(digits=6)).frame(1, wall_ns)
    text = pico.decode_feedback(body).content
    assert text is not None
    pose = "0,1,0,0,0,0,1"
    small = {
        "timeStampNs": 5, "Input": 1, "appState": {"focus": True}, "Head": {"pose": pose, "status": 3},
        "Controller": {side: {"pose": pose, "axisX": 0.5, "grip": 1, "primaryButton": True}
                       for side in ("left", "right")},
        "Body": {"joints": [{"p": pose, "t": 1.5}] * 24},
        "Hand": {"leftHand": {"isActive": 1, "scale": 1.0, "HandJointLocations": [{"p": pose, "r": 0.01}] * 26}},
        "Motion": {"joints": [{"p": pose, "sn": "T1"}]},
    }  # fmt: skip
    nested = json.dumps({"functionName": "Tracking", "value": json.dumps(small)}).encode()
    plain = json.dumps({"functionName": "Tracking", "value": small}).encode()
    feedback = pico.Feedback
    return [
        frame, body, text, nested, plain, b'{"functionName":"Battery","value":"7"}', _in_feedback(nested),
        *(pico.encode_feedback(each) for each in (
            feedback(pico.FIND, "PA9E10"), feedback(pico.MISSING, "PA9E10"), feedback(pico.CONNECT, "PA9E10", 1),
            feedback(pico.CUSTOM, "PA9E10", None, b"\1\2\3"),
        )),
        pico.encode_pid(4711), pico.encode_control("PA9E10", b"{}"),
    ]  # fmt: skip


# --- network, VMC ----------------------------------------------------------------------------------------------------


def _network_seeds() -> list[bytes]:
    clip = _clip()
    seeds = [
        NetworkEmulator(clip, NetworkOptions(encoding=encoding, up=up, deadman=up == "y")).frame(3)
        for encoding in network.ENCODINGS
        for up in ("z", "y")
    ]
    frame = network.Frame(
        schema=network.SCHEMA, seq=1, stamp_ns=5, names=("Head", "LeftHand", "RightHand"),
        pos_m=[(0.0, 0.0, 1.7), (0.3, 0.3, 1.0), (0.3, -0.3, 1.0)], quat_wxyz=[(1.0, 0.0, 0.0, 0.0)] * 3,
        valid=[True, True, False], buttons=["start"], deadman=True, origin=2,
    )  # fmt: skip
    return seeds + [network.encode(frame, encoding) for encoding in network.ENCODINGS]


def _vmc_seeds() -> list[bytes]:
    vmc.check_available()
    message = vmc.encode_message
    bone = message(vmc.BONE, "Hips", 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    status, stamp = message(vmc.STATUS, 1, 3, 0, 1), message(vmc.TIME, 1.5)
    device = VmcEmulator(_clip())
    inner = vmc.encode_bundle([bone, status])
    return [
        *device.datagrams(0), *device.datagrams(60)[:1], bone, status, stamp, message(vmc.STATUS, 1),
        message(vmc.ROOT, "root", *(0.0,) * 6, 1.0, *(0.0,) * 6), message("/VMC/Ext/Blend/Val", "A", 0.5), inner,
        vmc.encode_bundle([inner, stamp]), vmc.encode_bundle([vmc.encode_bundle([inner])]), vmc.encode_bundle([]),
    ]  # fmt: skip


# --- captures: an input is a whole small file ------------------------------------------------------------------------


def _tap_parse(data: bytes) -> None:
    assembly: pcap.Assembly = {}
    for packet in pcap.read_packets(data):
        found = pcap.udp_of(packet, assembly)
        if found is not None:
            device_of(Arrival(found.t_ns, packet.offset, found.source, found.destination, found.payload))


def _pcap_file(link: int, packets: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)]
    for k, packet in enumerate(packets):
        parts += [struct.pack(order + "IIII", k, 5, len(packet), len(packet)), packet]
    return b"".join(parts)


def _tap_seeds() -> list[bytes]:
    here, there, six = ("127.0.0.1", 5000), ("127.0.0.1", 9763), ("::1", 5000)
    data = _mxtp(25, b"12:34:56.789")
    ip, ip6 = writer._ip(data, here, there), writer._ip(data, six, ("::1", 9763))
    body, ether = ip[20:], bytes(12)
    head = ip[:2] + struct.pack(">HHH", 44, 9, 0x2000) + ip[8:20]
    tail = ip[:2] + struct.pack(">HHH", 20 + len(body) - 24, 9, 3) + ip[8:20]
    vlan = ether + b"\x81\x00\x00\x05\x08\x00" + ip
    file = writer.section() + writer.packet(10**18, data, here, there)
    file += writer.packet(10**18 + 5, data, six, ("::1", 9))
    both = file + writer.connections() + writer.packet(10**18, b"message", NOWHERE, ("", 0))
    section = writer._block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    plain = section + writer._block(1, struct.pack("<HHI", pcap.RAW, 0, 0) + struct.pack("<HHBxxx", 9, 1, 0x8A))
    simple = plain + writer._block(3, struct.pack("<I", len(ip)) + ip)
    old = plain + writer._block(2, struct.pack("<HHIIII", 0, 0, 1, 2, len(ip), len(ip)) + ip)
    big = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    return [
        file, both, both + file, simple, old, big, _pcap_file(pcap.ETHERNET, [ether + b"\x08\x00" + ip, vlan]),
        _pcap_file(pcap.ETHERNET, [ether + b"\x86\xdd" + ip6], ">"), _pcap_file(pcap.RAW, [ip, ip6], "<", 0xA1B23C4D),
        _pcap_file(pcap.RAW, [head + body[:24], tail + body[24:]]), _pcap_file(pcap.NULL, [b"\2\0\0\0" + ip]),
        _pcap_file(pcap.LINUX_SLL, [bytes(14) + b"\x08\x00" + ip]),
        _pcap_file(pcap.LINUX_SLL2, [b"\x08\x00" + bytes(18) + ip]),
    ]  # fmt: skip


def _tap_line(data: bytes) -> None:
    """Every datagram of the file through every device's decoder."""
    try:
        for found in pcap.read_datagrams(data):
            for device in ("xsens", "optitrack", "pico", "network", "vmc"):
                _line(device, found.payload)
    except ProtocolError:
        pass


def _stream_parse_quietly(data: bytes) -> None:
    try:
        _stream_parse(data)
    except ProtocolError:
        pass


def _tap_parse_quietly(data: bytes) -> None:
    try:
        _tap_parse(data)
    except ProtocolError:
        pass


_NUMBERS = (b"1e999", b"-1", b"1e308", b"9" * 40, b"9" * 5000, b"NaN", b"null", b"0.5", b"1.", b"true",
            b"18446744073709551616")  # fmt: skip
_JSON = (b"{", b"}", b"[", b"]", b",", b":", b'"', b'\\"', b"\\u0000", b"\\ud800", b"\xff", b"[" * 400, *_NUMBERS)

TARGETS = {
    target.name: target
    for target in (
        Target("xsens", xsens.decode, lambda: _receiver(XsensSource(port=0).receive), partial(_line, "xsens"),
               ("drivers/xsens/",), _xsens_seeds,
               (b"MXTP", b"01", b"02", b"05", b"12", b"13", b"20", b"25", struct.pack(">f", 1e10), b"name:"),
               _xsens_size),
        Target("xsens_tcp", _stream_parse, _stream_bytewise, _stream_parse_quietly, ("drivers/xsens/stream",),
               _stream_seeds, (b"MXTP", b"MXTP02", b"MXT", bytes(24))),
        Target("natnet", _natnet_parse, partial(_natnet_receiver, []),
               lambda data: _line("optitrack", data[1:]), ("drivers/natnet/",), _natnet_seeds,
               (b"\0\0\0\0", b"\1\0\0\0", b"Head\0", b"\5\0", b"\7\0", b"\x0d\0", b"\xff" * 4), _natnet_size),
        Target("pico", _pico_parse, _pico_receiver, partial(_line, "pico"), ("drivers/pico/",), _pico_seeds,
               (b"\x0a\x0fdeviceStateJson", b"\x7a", b'"p":', b'"joints":', b'"Body":', b'"Hand":', b'"t":',
                b'"timeStampNs":', *_JSON)),
        Target("network", network.decode, lambda: _receiver(NetworkSource(port=0).receive), partial(_line, "network"),
               ("drivers/network/",), _network_seeds,
               (b"\xcb", b"\xcf", b"\x93", b"\xdc", b"\xdf\xff\xff\xff\xff", b'"up":"y"', b'"valid":', b'"smpl"',
                *_JSON)),
        Target("vmc", vmc.decode, lambda: _receiver(VmcSource(port=0).receive), partial(_line, "vmc"),
               ("drivers/vmc/", "pythonosc/"), _vmc_seeds,
               (b"#bundle\0", b",sfffffff\0\0\0", b",iiii\0\0\0", b",d\0\0", b",h\0\0", b",s\0\0", b",T\0\0",
                b"/VMC/Ext/Bone/Pos\0\0\0", b"/VMC/Ext/OK\0", b"/VMC/Ext/T\0\0", b"Hips\0\0\0\0")),
        Target("tap", _tap_parse, lambda: _tap_parse_quietly, _tap_line, ("drivers/tap/pcap",), _tap_seeds,
               (b"\n\r\r\n", b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d", b"\x08\x00", b"\x86\xdd", b"\x81\x00",
                b"\x45\x00")),
    )
}  # fmt: skip
