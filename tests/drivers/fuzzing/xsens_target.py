"""MVN datagrams, and the byte stream of its TCP connection."""

from __future__ import annotations

import struct
from functools import partial

from engine import Feed, Target
from feeding import clip, line, receiver

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.xsens import wire as xsens
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.drivers.xsens.source import XsensSource
from teleopd.drivers.xsens.stream import StreamFramer


def mxtp(kind: int, payload: bytes, items: int = 1, counter: int = 0x80, props: int = 0, fingers: int = 0) -> bytes:
    head = struct.pack(">4s2sIBBIBBBBHH", b"MXTP", b"%02d" % kind, 7, counter, items, 1000, 0, 23, props, fingers, 0,
                       len(payload))  # fmt: skip
    return head + payload


def _xsens_seeds() -> list[bytes]:
    device = XsensEmulator(clip())
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
        mxtp(2, segments, 67, props=4, fingers=40), mxtp(2, segments[: 27 * 32], 27, props=4),
        mxtp(2, segments[: 10 * 32], 10, 0x00), mxtp(2, segments[10 * 32 : 23 * 32], 13, 0x81),
        pose[:16] + bytes(8) + pose[24:],
        mxtp(1, euler, 23), mxtp(3, points, 23), mxtp(5, segments[: 23 * 32], 23), mxtp(20, joints, 28),
        mxtp(21, linear, 23), mxtp(22, angular, 23), mxtp(23, trackers, 17), mxtp(24, struct.pack(">3f", 0, 0, 1)),
        mxtp(25, code), mxtp(25, struct.pack(">i", 12) + code), mxtp(13, scale + struct.pack(">i", 1) + landmark),
        mxtp(12, struct.pack(">i", 9) + b"name:Eva\n"),
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
    pose, info = XsensEmulator(clip()).datagrams(0)
    small = [each for each in _xsens_seeds() if len(each) < 500]
    return [pose + info[0] + pose, b"".join(small[:3]), b"noise" + small[0] + b"MXT" + small[-1], *small, pose[:700]]


def _stream_parse_quietly(data: bytes) -> None:
    try:
        _stream_parse(data)
    except ProtocolError:
        pass


XSENS = Target(
    "xsens", xsens.decode, lambda: receiver(XsensSource(port=0).receive), partial(line, "xsens"),
    ("drivers/xsens/",), _xsens_seeds,
    (b"MXTP", b"01", b"02", b"05", b"12", b"13", b"20", b"25", struct.pack(">f", 1e10), b"name:"),
    _xsens_size,
)  # fmt: skip

XSENS_TCP = Target(
    "xsens_tcp", _stream_parse, _stream_bytewise, _stream_parse_quietly, ("drivers/xsens/stream",),
    _stream_seeds, (b"MXTP", b"MXTP02", b"MXT", bytes(24)),
)  # fmt: skip
