"""What this computer says of its network: addresses, routes, who holds a port. Linux; elsewhere what can be told."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
PROC = Path("/proc")


class Interface(NamedTuple):
    """One network interface."""

    name: str
    address: str
    """IPv4; '' without one."""
    up: bool
    loopback: bool
    multicast: bool


class Route(NamedTuple):
    """One IPv4 route."""

    interface: str
    network: str
    """As 192.168.0.0/24; 0.0.0.0/0 is the default."""


class Holder(NamedTuple):
    """Who has a port."""

    address: str
    """Local address it is bound to."""
    pid: int
    """0 when it cannot be told, as with another user's process."""
    name: str


def interfaces() -> list[Interface]:
    """Every interface; empty where the system does not say."""
    try:
        import fcntl

        names = [name for _, name in socket.if_nameindex()]
    except (ImportError, OSError):
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in names:
            ask = struct.pack("256s", name.encode()[:15])
            try:
                flags = struct.unpack_from("<H", fcntl.ioctl(sock, _SIOCGIFFLAGS, ask), 16)[0]
            except OSError:
                continue
            try:
                address = socket.inet_ntoa(fcntl.ioctl(sock, _SIOCGIFADDR, ask)[20:24])
            except OSError:
                address = ""
            found.append(
                Interface(name, address, bool(flags & _UP), bool(flags & _LOOPBACK), bool(flags & _MULTICAST))
            )
    return found


def routes(proc: Path = PROC) -> list[Route] | None:
    """IPv4 routes that are up; None where the system does not say."""
    try:
        lines = (proc / "net" / "route").read_text().splitlines()[1:]
    except OSError:
        return None
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & 1:
            continue
        network, mask = (socket.inet_ntoa(struct.pack("<I", int(fields[k], 16))) for k in (1, 7))
        found.append(Route(fields[0], str(ipaddress.ip_network(f"{network}/{mask}", strict=False))))
    return found


def routed(address: str, table: list[Route]) -> bool:
    """Whether a route covers the address."""
    at = ipaddress.ip_address(address)
    return any(at in ipaddress.ip_network(route.network) for route in table)


def holders(port: int, kind: str = "udp", proc: Path = PROC) -> list[Holder]:
    """Processes that have a local UDP port, or listen on a TCP one (`kind` 'tcp'); empty where nobody does."""
    sockets = [found for table in (kind, kind + "6") for found in _sockets(proc / "net" / table, port, kind == "tcp")]
    if not sockets:
        return []
    owners = _owners({inode for _, inode in sockets}, proc)
    return [Holder(address, *owners.get(inode, (0, ""))) for address, inode in sockets]


def _sockets(table: Path, port: int, listening: bool) -> list[tuple[str, str]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for fields in map(str.split, lines):
        if len(fields) < 10:
            continue
        address, _, number = fields[1].partition(":")
        if int(number, 16) == port and (not listening or fields[3] == "0A"):
            found.append((_address(address), fields[9]))
    return found


def _address(text: str) -> str:
    """/proc writes addresses as words of the machine's own byte order."""
    raw = b"".join(struct.pack("=I", int(text[k : k + 8], 16)) for k in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _owners(inodes: set[str], proc: Path) -> dict[str, tuple[int, str]]:
    owners: dict[str, tuple[int, str]] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            links = list((folder / "fd").iterdir())
            name = (folder / "comm").read_text().strip()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        for link in links:
            inode = _inode(link)
            if inode in inodes:
                owners[inode] = int(folder.name), name
    return owners


def _inode(link: Path) -> str:
    """Of the socket behind a descriptor; '' for other files, and for one that was closed meanwhile."""
    try:
        target = os.readlink(link)
    except OSError:
        return ""
    return target.removeprefix("socket:[").removesuffix("]") if target.startswith("socket:[") else ""
