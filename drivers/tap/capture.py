"""A file of packets -> one list: a pcap or pcapng capture, or a single packet as it came from the wire."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.source import ProtocolError, SourceUnavailable
from teleopd.drivers.tap.pcap import USER0, Assembly, read_packets, udp_of
from teleopd.drivers.udp import Address

DEVICES = ("xsens", "optitrack", "pico", "network", "vmc")
MAX_FILE = 2 << 30
"""Largest file read [B]."""
EMPTY = "is empty; a capture (pcap, pcapng) or one packet is expected"
NOWHERE: Address = ("", 0)
_CAPTURES = (b"\n\r\r\n", b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1")
_POSE_SCHEMA = b"teleopd.pose/"
"""In every frame of source network, in JSON and MessagePack alike, whatever the order of its fields."""
_LOOKED_AT = 500
"""Packets that say which device it is."""


class Arrival(NamedTuple):
    """One packet, as it arrived."""

    t_ns: int
    """Wall clock [ns since 1970]; 0 without a stamp."""
    offset: int
    """Where it begins in the file [B]."""
    source: Address
    destination: Address
    """Both ('', 0) for a message of a connection and a packet without a capture."""
    payload: bytes


class Capture(NamedTuple):
    """A file, read."""

    arrivals: list[Arrival]
    trouble: str
    """Why the end of the file could not be read; '' for a whole file."""


def check_capture(path: Path) -> None:
    """Refuse, without reading it, a file that cannot be a capture.

    Raises:
        SourceUnavailable: it cannot be read, is empty or too large.
    """
    try:
        found = path.stat()
        if stat.S_ISFIFO(found.st_mode):  # could be opened once only
            return
        path.open("rb").close()
    except OSError as error:
        raise SourceUnavailable(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise SourceUnavailable(f"cannot read {str(path)!r}: no file has a NUL character in its name") from None
    if found.st_size > MAX_FILE:
        raise SourceUnavailable(f"{path} has {found.st_size} B; captures of up to {MAX_FILE} B are read")
    if not found.st_size:
        raise SourceUnavailable(f"{path} {EMPTY}")


def read_capture(path: Path) -> Capture:
    """Read the whole file.

    Raises:
        SourceUnavailable: it cannot be read, is empty or too large.
    """
    check_capture(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceUnavailable(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise SourceUnavailable(f"{path} {EMPTY}")
    if data[:4] not in _CAPTURES:
        return Capture([Arrival(0, 0, NOWHERE, NOWHERE, data)], "")
    arrivals: list[Arrival] = []
    assembly: Assembly = {}
    try:
        for packet in read_packets(data):
            if packet.link == USER0:
                arrivals.append(Arrival(packet.t_ns, packet.offset, NOWHERE, NOWHERE, packet.data))
            else:
                datagram = udp_of(packet, assembly)
                if datagram is not None:
                    t_ns, source, destination, payload = datagram
                    arrivals.append(Arrival(t_ns, packet.offset, source, destination, payload))
    except ProtocolError as error:
        return Capture(arrivals, str(error))
    return Capture(arrivals, "")


def guess_device(arrivals: list[Arrival]) -> str | None:
    """Which device most of the first packets come from, by their first bytes; None when none is known."""
    votes = dict.fromkeys(DEVICES, 0)
    for arrival in arrivals[:_LOOKED_AT]:
        device = device_of(arrival)
        if device is not None:
            votes[device] += 1
    best = max(votes, key=votes.__getitem__)
    return best if votes[best] else None


def device_of(arrival: Arrival) -> str | None:
    """The device one packet comes from, by its first bytes; None when it is none of them."""
    payload = arrival.payload
    if payload[:4] == b"MXTP":
        return "xsens"
    if arrival.source == NOWHERE and (payload[:1] == b"{" or payload[2:8] == b"device"):
        return "pico"
    if _POSE_SCHEMA in payload[:4096]:
        return "network"
    if payload[:8] == b"#bundle\0" or payload[:5] == b"/VMC/":
        return "vmc"
    try:
        _, end = natnet.read_header(payload)
    except ProtocolError:
        return None
    return "optitrack" if end == len(payload) else None
