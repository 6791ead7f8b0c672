"""UDP datagrams of a packet capture: pcap and pcapng, bytes -> values. Pure.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Read: Ethernet (also VLAN-tagged), raw IP, Linux cooked
and BSD loopback links; IPv4 and IPv6; IPv4 fragments are put together. Everything that is no UDP is passed over.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from teleopd.drivers.source import ProtocolError

MAX_PACKET = 1 << 18
"""Longest packet read [B], as tcpdump's own snapshot limit."""
MAX_FRAGMENTED = 64
"""Datagrams under assembly at once."""
MAX_FRAGMENTS = 256
"""Of one datagram: 65507 B at the smallest IPv4 MTU in use, 576 B, are 119."""
MAX_UDP = 65_535
"""Longest UDP datagram with its header [B]."""
MAX_TAGS = 4
"""VLAN tags of one frame."""
MAX_INTERFACES = 1024

ETHERNET, RAW, LINUX_SLL, LINUX_SLL2, NULL, RAW_BSD = 1, 101, 113, 276, 0, 12
USER0 = 147
"""Left to users: here one message of the PICO PC service a packet, as its `ServerFeedback` bytes (see `writer.py`)."""
IPV4_LINK, IPV6_LINK = 228, 229
_VLAN = (0x8100, 0x88A8)
_ETHER_IPV4, _ETHER_IPV6 = 0x0800, 0x86DD
_UDP = 17
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED, _OLD_PACKET = 0x0A0D0D0A, 1, 3, 6, 2


class Datagram(NamedTuple):
    """One captured UDP datagram."""

    t_ns: int
    """Capture stamp, wall clock [ns since 1970]; 0 where the capture has none."""
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes


class Packet(NamedTuple):
    """One captured packet."""

    t_ns: int
    """Capture stamp, wall clock [ns since 1970]; 0 where the capture has none."""
    link: int
    """Link type of the interface it was captured on."""
    data: bytes
    """Link-layer bytes."""
    offset: int
    """Where its header or block begins [B from the start of the file]."""


Assembly = dict[tuple[bytes, bytes, int], dict[int, bytes]]
"""IPv4 fragments that wait for the rest."""


class _Interface(NamedTuple):
    link: int
    ns_per_unit: float
    """Exact for the usual powers of ten."""


def read_datagrams(data: bytes) -> Iterator[Datagram]:
    """UDP datagrams of a whole capture file in file order.

    Raises:
        ProtocolError: neither pcap nor pcapng, or a block that does not fit.
    """
    assembly: Assembly = {}
    for packet in read_packets(data):
        datagram = udp_of(packet, assembly)
        if datagram is not None:
            yield datagram


def udp_of(packet: Packet, assembly: Assembly) -> Datagram | None:
    """The UDP datagram this packet holds or completes; None for anything else. `assembly` is kept between calls."""
    found = _udp(_network(packet.data, packet.link), assembly)
    return None if found is None else Datagram(packet.t_ns, *found)


def read_packets(data: bytes) -> Iterator[Packet]:
    """Every packet of a whole capture file in file order.

    Raises:
        ProtocolError: see `read_datagrams`.
    """
    magic = data[:4]
    if magic == b"\n\r\r\n":
        yield from _pcapng(data)
        return
    orders = {
        b"\xa1\xb2\xc3\xd4": (">", 1000), b"\xd4\xc3\xb2\xa1": ("<", 1000),
        b"\xa1\xb2\x3c\x4d": (">", 1), b"\x4d\x3c\xb2\xa1": ("<", 1),
    }  # fmt: skip
    if magic not in orders:
        raise ProtocolError("not_a_capture", f"starts with {magic!r}; a pcap or pcapng capture is expected")
    yield from _pcap(data, *orders[magic])


def _pcap(data: bytes, order: str, ns_per_unit: int) -> Iterator[Packet]:
    if len(data) < 24:
        raise ProtocolError("truncated", f"breaks off at byte {len(data)}, inside the file header")
    link = struct.unpack_from(order + "I", data, 20)[0] & 0x0FFFFFFF
    head, at = struct.Struct(order + "IIII"), 24
    while at < len(data):
        if at + head.size > len(data):
            raise ProtocolError("truncated", f"breaks off at byte {at}, inside a packet header")
        seconds, fraction, size, _original = head.unpack_from(data, at)
        at += head.size
        if size > MAX_PACKET or at + size > len(data):
            raise ProtocolError("wrong_count", f"packet at byte {at} declares {size} B; {len(data) - at} follow")
        t_ns = seconds * 1_000_000_000 + fraction * ns_per_unit
        yield Packet(t_ns, link, data[at : at + size], at - head.size)
        at += size


def _pcapng(data: bytes) -> Iterator[Packet]:
    at, order = 0, "<"
    interfaces: list[_Interface] = []
    while at < len(data):
        if at + 12 > len(data):
            raise ProtocolError("truncated", f"breaks off at byte {at}, inside a block header")
        if data[at : at + 4] == b"\n\r\r\n":
            order, interfaces = _byte_order(data, at), []
        kind, size = struct.unpack_from(order + "II", data, at)
        if size < 12 or size % 4 or at + size > len(data):
            raise ProtocolError("wrong_count", f"block at byte {at} declares {size} B; {len(data) - at} follow")
        body = data[at + 8 : at + size - 4]
        at += size
        if kind == _INTERFACE:
            if len(interfaces) >= MAX_INTERFACES:
                raise ProtocolError("too_many", f"lists more than {MAX_INTERFACES} interfaces")
            interfaces.append(_interface(body, order))
        elif kind in (_ENHANCED, _SIMPLE, _OLD_PACKET):
            yield _packet(kind, body, order, interfaces, at - size)


def _byte_order(data: bytes, at: int) -> str:
    mark = data[at + 8 : at + 12]
    if mark not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
        raise ProtocolError("not_a_capture", f"section at byte {at} has byte-order mark {mark!r}")
    return "<" if mark[0] == 0x4D else ">"


def _interface(body: bytes, order: str) -> _Interface:
    """Link type and stamp resolution (option 9: power of ten, or of two with the high bit)."""
    if len(body) < 8:
        raise ProtocolError("truncated", f"interface block of {len(body)} B; 8 are needed")
    (link,) = struct.unpack_from(order + "H", body)
    at, ns_per_unit = 8, 1000.0
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            break
        if code == 9 and size == 1 and at + 4 < len(body):
            exponent = body[at + 4]
            ns_per_unit = 1e9 / 2 ** (exponent & 0x7F) if exponent & 0x80 else 1e9 / 10**exponent
        at += 4 + size + -size % 4
    return _Interface(link, ns_per_unit)


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface], where: int) -> Packet:
    layouts = {_ENHANCED: order + "IIIII", _OLD_PACKET: order + "HHIIII", _SIMPLE: order + "I"}
    layout = struct.Struct(layouts[kind])
    if len(body) < layout.size:
        raise ProtocolError("truncated", f"packet block at byte {where} is too short")
    fields = layout.unpack_from(body)
    number, high, low, size = 0, 0, 0, min(fields[-1], len(body) - layout.size)
    if kind == _ENHANCED:
        number, high, low, size, _ = fields
    elif kind == _OLD_PACKET:
        number, _, high, low, size, _ = fields
    if number >= len(interfaces):
        raise ProtocolError(
            "wrong_ids", f"packet at byte {where} names interface {number}; {len(interfaces)} are listed"
        )
    if size > MAX_PACKET or layout.size + size > len(body):
        raise ProtocolError(
            "wrong_count", f"packet at byte {where} declares {size} B; {len(body) - layout.size} follow"
        )
    interface = interfaces[number]
    units = high << 32 | low
    exact = interface.ns_per_unit >= 1 and interface.ns_per_unit == int(interface.ns_per_unit)
    t_ns = units * int(interface.ns_per_unit) if exact else int(units * interface.ns_per_unit)
    return Packet(t_ns, interface.link, body[layout.size : layout.size + size], where)


def _network(packet: bytes, link: int) -> bytes:
    """The IP packet inside a link-layer frame; empty when there is none."""
    if link in (RAW, RAW_BSD, IPV4_LINK, IPV6_LINK, 14):
        return packet
    if link == NULL:
        return packet[4:]
    at = {ETHERNET: 12, LINUX_SLL: 14, LINUX_SLL2: 0}.get(link)
    if at is None:
        return b""
    kind = int.from_bytes(packet[at : at + 2], "big")
    at += 2
    for _ in range(MAX_TAGS):
        if link != ETHERNET or kind not in _VLAN:
            break
        kind = int.from_bytes(packet[at + 2 : at + 4], "big")
        at += 4
    if kind not in (_ETHER_IPV4, _ETHER_IPV6):
        return b""
    return packet[20 if link == LINUX_SLL2 else at :]


Found = tuple[tuple[str, int], tuple[str, int], bytes]


def _udp(packet: bytes, assembly: Assembly) -> Found | None:
    if not packet:
        return None
    if packet[0] >> 4 == 6:
        if len(packet) < 40 or packet[6] != _UDP:
            return None
        return _ports(socket.AF_INET6, packet[8:24], packet[24:40], packet[40:])
    size, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    if packet[0] >> 4 != 4 or size < 20 or len(packet) < size or packet[9] != _UDP:
        return None
    body = packet[size : total or None]  # 0: the network card was to fill it in
    flags = int.from_bytes(packet[6:8], "big")
    if flags & 0x3FFF:
        key = (packet[12:16], packet[16:20], int.from_bytes(packet[4:6], "big"))
        whole = _assemble(assembly, key, (flags & 0x1FFF) * 8, bool(flags & 0x2000), body)
        if whole is None:
            return None
        body = whole
    return _ports(socket.AF_INET, packet[12:16], packet[16:20], body)


def _assemble(
    assembly: Assembly,
    key: tuple[bytes, bytes, int], offset: int, more: bool, body: bytes,
) -> bytes | None:  # fmt: skip
    """The whole IPv4 payload once its fragments join without a gap; -1 holds the end."""
    if key not in assembly and len(assembly) >= MAX_FRAGMENTED:
        del assembly[next(iter(assembly))]
    parts = assembly.setdefault(key, {})
    if offset + len(body) > MAX_UDP or len(parts) >= MAX_FRAGMENTS:
        del assembly[key]
        return None
    parts[offset] = body
    if not more:
        parts[-1] = (offset + len(body)).to_bytes(4, "big")
    end = int.from_bytes(parts.get(-1, b""), "big")
    joined = b""
    for start in sorted(k for k in parts if k >= 0):
        if start != len(joined):
            return None
        joined += parts[start]
    if not end or len(joined) != end:
        return None
    del assembly[key]
    return joined


def _ports(family: int, source: bytes, destination: bytes, body: bytes) -> Found | None:
    if len(body) < 8:
        return None
    from_port, to_port, size = struct.unpack_from(">HHH", body)
    if size < 8 or size > len(body):
        return None
    at = (socket.inet_ntop(family, source), from_port), (socket.inet_ntop(family, destination), to_port)
    return *at, body[8:size]
