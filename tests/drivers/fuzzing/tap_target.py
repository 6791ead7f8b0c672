"""Captures; an input is a whole small file."""

from __future__ import annotations

import struct

from engine import Target
from feeding import line
from xsens_target import mxtp

from teleopd.drivers.source import ProtocolError
from teleopd.drivers.tap import pcap, writer
from teleopd.drivers.tap.capture import NOWHERE, Arrival, device_of


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
    data = mxtp(25, b"12:34:56.789")
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
                line(device, found.payload)
    except ProtocolError:
        pass


def _tap_parse_quietly(data: bytes) -> None:
    try:
        _tap_parse(data)
    except ProtocolError:
        pass


TAP = Target(
    "tap", _tap_parse, lambda: _tap_parse_quietly, _tap_line, ("drivers/tap/pcap",), _tap_seeds,
    (b"\n\r\r\n", b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d", b"\x08\x00", b"\x86\xdd", b"\x81\x00",
    b"\x45\x00"),
)  # fmt: skip
