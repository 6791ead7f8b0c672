"""What arrived, written to a pcapng file beside the source: the source never waits for the disk.

Two interfaces (draft-ietf-opsawg-pcapng, stamps in ns, wall clock). 0, LINKTYPE_RAW: UDP datagrams with the IP and UDP
headers they came under, written anew. 1, LINKTYPE_USER0: messages that came over a connection, one a packet, without
headers; of PICO the bytes of `ServerFeedback`, which may be longer than any UDP datagram. Interface 1 is described when
its first message comes: tcpdump refuses a file with two link types, and most have one. A file that exists is continued
with a section of its own.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.tap.pcap import RAW, USER0
from teleopd.drivers.udp import Address

MAX_WAITING = 8192
"""Packets kept for a slow disk: a minute at 120 Hz."""
MAX_WAITING_BYTES = 32 << 20
GATHER_S = 0.05
"""Packets are written in lots, so that the writer wakes 20 times a second at most."""
_NS = b"\x09\x00\x01\x00\x09\x00\x00\x00\x00\x00\x00\x00"
"""Interface options: stamps of 10^-9 s, end of options."""
_PACKET, _SECTION, _INTERFACE = 6, 0x0A0D0D0A, 1
_UDP = 17

log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    data: bytes
    source: Address
    destination: Address
    t_ns: int


class TapWriter:
    """Takes packets on the event loop, writes them in a thread. A full queue drops and counts; a full disk ends it."""

    def __init__(self, path: Path, epoch_ns: int, on_trouble: Callable[[str], None] = log.warning) -> None:
        """
        Args:
            path: file; continued where there is one.
            epoch_ns: wall clock minus monotonic clock [ns].
            on_trouble: hears one sentence, from the thread, when the disk fails.

        Raises:
            SourceUnavailable: the file cannot be written.
        """
        self.path = path
        self.dropped = 0
        """Packets the disk was too slow for."""
        self.written = 0
        """Packets in the file."""
        self.trouble = ""
        """Why recording stopped; '' while it runs."""
        self._epoch_ns = epoch_ns
        self._on_trouble = on_trouble
        self._waiting: deque[_Waiting] = deque()
        self._taken = self._done = 0  # bytes, each counted by one thread only
        self._connections = False  # interface 1 is described
        self._more = threading.Event()
        self._ending = threading.Event()
        try:
            self._file = _continued(path)
        except OSError as error:
            raise SourceUnavailable(f"cannot write the tap {path}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._write, name="tap", daemon=True)
        self._thread.start()

    def take(self, data: bytes | memoryview, source: Address, destination: Address, now_ns: int) -> None:
        """Keep one packet received at `now_ns` [monotonic]; a `Tap`. Receiver port 0: a message of a connection."""
        if self.trouble or self._ending.is_set():
            return
        full = len(self._waiting) >= MAX_WAITING or self._taken - self._done + len(data) > MAX_WAITING_BYTES
        if full:
            self.dropped += 1
            return
        self._taken += len(data)
        self._waiting.append(_Waiting(bytes(data), source, destination, now_ns + self._epoch_ns))
        self._more.set()

    def close(self) -> None:
        """Write what waits and close the file; safe to call twice."""
        self._ending.set()
        self._more.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            with self._file as file:
                while not self._ending.is_set():
                    self._more.wait()
                    self._ending.wait(GATHER_S)
                    self._more.clear()
                    self._write_waiting(file)
                self._write_waiting(file)
        except OSError as error:
            self.trouble = (
                f"the tap {self.path} ended after {self.written} packets: {error.strerror}; the source goes on without"
            )
            self._waiting.clear()
            self._on_trouble(self.trouble)

    def _write_waiting(self, file: BinaryIO) -> None:
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if waiting.destination[1] == 0 and not self._connections:
                self._connections = True
                file.write(connections())
            file.write(_packet_block(waiting))
            self._done += len(waiting.data)
            self.written += 1
        file.flush()


def section() -> bytes:
    """Begin a section: its header and the interface of datagrams."""
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + _interface(RAW)


def connections() -> bytes:
    """Describe the interface of messages that came over a connection; once in a section, before the first."""
    return _interface(USER0)


def _interface(link: int) -> bytes:
    return _block(_INTERFACE, struct.pack("<HHI", link, 0, 0) + _NS)


def packet(t_ns: int, data: bytes, source: Address, destination: Address) -> bytes:
    """One packet's block; `t_ns`: wall clock [ns]; receiver port 0: a message of a connection, without addresses."""
    return _packet_block(_Waiting(data, source, destination, t_ns))


def _packet_block(waiting: _Waiting) -> bytes:
    data, source, destination, t_ns = waiting
    interface, content = (1, data) if destination[1] == 0 else (0, _ip(data, source, destination))
    size = len(content)
    return _block(_PACKET, struct.pack("<IIIII", interface, t_ns >> 32, t_ns & 0xFFFFFFFF, size, size) + content)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def _ip(data: bytes, source: Address, destination: Address) -> bytes:
    """The datagram under the headers it came with, as far as they are known."""
    size = 8 + len(data)
    udp = struct.pack(">HHHH", source[1], destination[1], size & 0xFFFF, 0) + data
    if ":" in source[0]:
        addresses = b"".join(socket.inet_pton(socket.AF_INET6, at[0].partition("%")[0]) for at in (source, destination))
        pseudo = addresses + struct.pack(">II", size, _UDP)
        udp = udp[:6] + struct.pack(">H", _checksum(pseudo + udp) or 0xFFFF) + udp[8:]
        return struct.pack(">IHBB", 6 << 28, size, _UDP, 64) + addresses + udp
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 64, _UDP, 0) + addresses
    return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + udp  # UDP checksum 0: none, as IPv4 allows


def _checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _continued(path: Path) -> BinaryIO:
    """The file, opened behind its last whole block, with a new section begun."""
    file = path.open("r+b" if path.exists() else "x+b")
    try:
        file.seek(_whole(file))
        file.truncate()
        file.write(section())
        file.flush()
    except OSError:
        file.close()
        raise
    return file


def _whole(file: BinaryIO) -> int:
    """Bytes up to the end of the last whole block: a run that was killed may have left half of one."""
    end, at = file.seek(0, 2), 0
    while at + 12 <= end:
        file.seek(at)
        kind, size = struct.unpack("<II", file.read(8))
        if (at == 0 and kind != _SECTION) or size < 12 or size % 4 or at + size > end:
            break
        at += size
    return at
