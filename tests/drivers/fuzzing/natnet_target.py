"""NatNet packets; the first byte of an input says which bitstream the server declared."""

from __future__ import annotations

import struct
from functools import partial

import numpy as np
from engine import Feed, Target
from feeding import SENDER, clip, line, receiver

from teleopd.drivers.natnet import encode
from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.emulator import EmulatorOptions as NatNetOptions
from teleopd.drivers.natnet.emulator import NatNetEmulator
from teleopd.drivers.natnet.messages import BODY, MARKER, Analog, AssetData, Kind, MarkerSet, MarkerSetModel
from teleopd.drivers.natnet.source import NatNetSource

_BITSTREAMS = ((2, 5), (2, 6), (2, 7), (2, 9), (2, 10), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2))


def _natnet_parse(data: bytes) -> None:
    if data:
        natnet.decode(data[1:], _BITSTREAMS[data[0] % len(_BITSTREAMS)])


def _natnet_devices() -> dict[str, NatNetEmulator]:
    motion = clip()
    return {version: NatNetEmulator(motion, NatNetOptions(natnet=version)) for version in ("3.0", "4.0", "4.1", "4.2")}


def _natnet_receiver(greeting: list[bytes]) -> Feed:
    """A source that has been greeted and told the definitions, without sockets."""
    if not greeting:
        device = NatNetEmulator(clip(), NatNetOptions(natnet="4.2"))
        greeting += [natnet.encode_server_info(device.server_info()), device._answer(Kind.REQUEST_MODELDEF, None, 0)]
    source = NatNetSource(host=SENDER[0])
    feed = receiver(source.receive)
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
        rigid = NatNetEmulator(clip(), NatNetOptions(natnet=version, bodies=6))
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


NATNET = Target(
    "natnet", _natnet_parse, partial(_natnet_receiver, []),
    lambda data: line("optitrack", data[1:]), ("drivers/natnet/",), _natnet_seeds,
    (b"\0\0\0\0", b"\1\0\0\0", b"Head\0", b"\5\0", b"\7\0", b"\x0d\0", b"\xff" * 4), _natnet_size,
)  # fmt: skip
