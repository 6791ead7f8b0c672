"""NatNet: bytes <-> values. Pure; no sockets, no clock.

Little-endian UDP datagrams: `u16 message id, u16 payload size`, then the payload. World: metres, right-handed, Y-up
unless Motive's "Up Axis" says otherwise; quaternions xyzw. `frame.py` and `modeldef.py` read the two large messages.
"""

from __future__ import annotations

import struct

from teleopd.drivers.natnet.frame import read_frame
from teleopd.drivers.natnet.messages import Echo, Hello, Kind, Message, ServerInfo, Version
from teleopd.drivers.natnet.modeldef import read_modeldef
from teleopd.drivers.source import ProtocolError

COMMAND_PORT = 1510
DATA_PORT = 1511
GROUP = "239.255.42.99"
OLDEST: Version = (2, 5)
NEWEST: Version = (4, 2)
"""Bitstreams that are read."""
MAX_DATAGRAM = 65507
"""Largest UDP payload [B]; Motive sends whole frames, however large, as one."""
OUR_VERSION = (4, 2, 0, 0)

_HEADER = struct.Struct("<HH")
_HELLO = struct.Struct("<256s4B4B")
_SERVER_TAIL = struct.Struct("<QHB4B")
_U64 = struct.Struct("<Q")
_U64_PAIR = struct.Struct("<QQ")
_KINDS = {int(kind): kind for kind in Kind}
HEADER_SIZE = _HEADER.size


def read_header(data: bytes | memoryview) -> tuple[Kind, int]:
    """Message kind, and where its payload ends [B from the datagram's start].

    Raises:
        ProtocolError: truncated, oversized, wrong_kind.
    """
    size = len(data)
    if size < HEADER_SIZE:
        raise ProtocolError("truncated", f"datagram of {size} B is shorter than the {HEADER_SIZE} B header")
    if size > MAX_DATAGRAM:
        raise ProtocolError("oversized", f"datagram is longer than {MAX_DATAGRAM} B, more than UDP carries")
    number, payload = _HEADER.unpack_from(data)
    kind = _KINDS.get(number)
    if kind is None:
        raise ProtocolError("wrong_kind", f"message id {number} is none of NatNet's")
    if payload > size - HEADER_SIZE:
        raise ProtocolError("truncated", f"header declares {payload} B of payload but {size - HEADER_SIZE} B follow")
    return kind, HEADER_SIZE + payload


def decode(data: bytes | memoryview, version: Version) -> Message:
    """Read one datagram; frames and model definitions in the bitstream of `version`, which SERVERINFO tells.

    Raises:
        ProtocolError: see the readers; nothing else escapes.
    """
    kind, end = read_header(data)
    whole = bytes(data[:end])
    if kind is Kind.FRAMEOFDATA:
        return Message(kind, read_frame(whole, HEADER_SIZE, version))
    if kind is Kind.MODELDEF:
        return Message(kind, read_modeldef(whole, HEADER_SIZE, version))
    payload = whole[HEADER_SIZE:]
    if kind in (Kind.CONNECT, Kind.DISCOVERY):
        return Message(kind, read_hello(payload))
    if kind is Kind.SERVERINFO:
        return Message(kind, read_server_info(payload))
    if kind in (Kind.ECHOREQUEST, Kind.ECHORESPONSE):
        return Message(kind, read_echo(kind, payload))
    if kind in (Kind.REQUEST, Kind.MESSAGESTRING):
        return Message(kind, _text(payload))
    return Message(kind, payload if kind is Kind.RESPONSE else None)


def read_hello(payload: bytes) -> Hello:
    """CONNECT or DISCOVERY; bytes behind the 264 that are read are newer options.

    Raises:
        ProtocolError: truncated.
    """
    _need(payload, _HELLO.size, "connect message")
    name, a, b, c, d, e, f, g, h = _HELLO.unpack_from(payload)
    return Hello(_text(name), (a, b, c, d), (e, f, g, h))


def read_server_info(payload: bytes) -> ServerInfo:
    """SERVERINFO: 264 B before NatNet 3.0, 279 B since.

    Raises:
        ProtocolError: truncated; wrong_version for a server that is not NatNet 2.5 to 4.x; no_clock.
    """
    hello = read_hello(payload)
    version = hello.natnet_version[:2]
    if not OLDEST <= version < (NEWEST[0] + 1, 0):
        raise ProtocolError(
            "wrong_version",
            f"server '{hello.name}' speaks NatNet {version[0]}.{version[1]}; "
            f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} are read",
        )
    if version < (3, 0):
        return ServerInfo(*hello, clock_hz=0, data_port=0, multicast=None, group="")
    _need(payload, _HELLO.size + _SERVER_TAIL.size, "server info")
    clock_hz, port, multicast, *group = _SERVER_TAIL.unpack_from(payload, _HELLO.size)
    if clock_hz == 0:
        raise ProtocolError("no_clock", f"server '{hello.name}' declares a clock of 0 Hz; its stamps mean nothing")
    return ServerInfo(*hello, clock_hz, port, bool(multicast), ".".join(map(str, group)))


def read_echo(kind: Kind, payload: bytes) -> Echo:
    """ECHOREQUEST or ECHORESPONSE.

    Raises:
        ProtocolError: truncated.
    """
    if kind is Kind.ECHOREQUEST:
        _need(payload, _U64.size, "echo request")
        return Echo(_U64.unpack_from(payload)[0], None)
    _need(payload, _U64_PAIR.size, "echo response")
    return Echo(*_U64_PAIR.unpack_from(payload))


def bitstream(natnet_version: tuple[int, int, int, int]) -> Version:
    """The bitstream a server of this NatNet version is read in: its own, or the newest there is a reader for."""
    return min((natnet_version[0], natnet_version[1]), NEWEST)


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """A datagram of this kind."""
    return _HEADER.pack(kind, len(payload)) + payload


def encode_hello(kind: Kind) -> bytes:
    """CONNECT or DISCOVERY, 268 B."""
    return encode(kind, _HELLO.pack(_field("teleopd"), 1, 0, 0, 0, *OUR_VERSION))


def encode_server_info(info: ServerInfo) -> bytes:
    """SERVERINFO in the layout of its own version."""
    head = _HELLO.pack(_field(info.name), *info.app_version, *info.natnet_version)
    if info.natnet_version < (3, 0, 0, 0):
        return encode(Kind.SERVERINFO, head)
    group = bytes(int(part) for part in info.group.split("."))
    return encode(
        Kind.SERVERINFO, head + _SERVER_TAIL.pack(info.clock_hz, info.data_port, bool(info.multicast), *group)
    )


def encode_request(text: str) -> bytes:
    """REQUEST: 'FrameRate', 'Bitstream,4.2' ..."""
    return encode(Kind.REQUEST, text.encode() + b"\0")


def encode_echo(client_stamp: int, server_ticks: int | None = None) -> bytes:
    """ECHOREQUEST, or with ticks its ECHORESPONSE."""
    if server_ticks is None:
        return encode(Kind.ECHOREQUEST, _U64.pack(client_stamp))
    return encode(Kind.ECHORESPONSE, _U64_PAIR.pack(client_stamp, server_ticks))


def _field(name: str) -> bytes:
    return name.encode()[:255]


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")


def _need(payload: bytes, size: int, what: str) -> None:
    if len(payload) < size:
        raise ProtocolError("truncated", f"{what} has {len(payload)} B; {size} are needed")
