"""The two sockets of a NatNet client: commands (and unicast frames), and multicast frames."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

from teleopd.drivers.natnet.wire import MAX_DATAGRAM
from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.udp import Receive, UdpListener

_SO_ATTACH_FILTER = 26
_IP_MULTICAST_ALL = 49
_FROM_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets from the IP header, not from the UDP header
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06


class CommandSocket(UdpListener):
    """Bound to any free port; sends to the server and hears its answers, in unicast its frames too."""

    def __init__(self, local: str, receive: Receive) -> None:
        super().__init__(local, 0, MAX_DATAGRAM, receive)

    def send(self, datagram: bytes, to: tuple[str, int]) -> str:
        """Send; returns why it could not be sent, as a few words, or ''."""
        if self._socket is None:
            return "the socket is closed"
        for _ in range(2):  # the first error may be the report about an earlier datagram
            try:
                self._socket.sendto(datagram, to)
            except ConnectionRefusedError:
                continue
            except OSError as error:
                return error.strerror or str(error)
            return ""
        return "nobody listens there"

    def hear_only(self, ip: str, ports: tuple[int, ...]) -> None:
        """Have the kernel drop datagrams of everyone else; see `_attach`."""
        _attach(self._socket, ip, ports)

    def _prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)


class GroupSocket(UdpListener):
    """Bound to a multicast group, shared with other programs; joined on one interface."""

    def __init__(self, group: str, port: int, interface: str, receive: Receive) -> None:
        """`interface`: this computer's address on the network Motive streams to."""
        super().__init__(group if sys.platform != "win32" else interface, port, MAX_DATAGRAM, receive)
        self._group = group
        self._interface = interface

    def open(self) -> None:
        """Bind and join.

        Raises:
            SourceUnavailable: the port is taken, or the interface cannot join.
        """
        try:
            super().open()
        except SourceUnavailable:
            raise SourceUnavailable(
                f"cannot listen to multicast {self._group} on {self._interface}, UDP port {self.port}: the port is in "
                "use by another program, or the interface has no multicast route"
            ) from None

    def hear_only(self, ip: str, ports: tuple[int, ...]) -> None:
        """Have the kernel drop datagrams of everyone else; see `_attach`."""
        _attach(self._socket, ip, ports)

    def _prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        join = socket.inet_aton(self._group) + socket.inet_aton(self._interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)


def address_towards(host: str, port: int) -> str:
    """This computer's address on the way to `host`; '0.0.0.0' where there is no way. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
        except OSError:
            return "0.0.0.0"
        return str(probe.getsockname()[0])


def _attach(sock: socket.socket | None, ip: str, ports: tuple[int, ...]) -> None:
    """A classic BPF program: source address, then source port (none given: any). Linux only; elsewhere no effect.

    A connected socket would do for one port, but Motive answers commands from one and sends frames from another.
    """
    if sock is None or sys.platform != "linux":
        return
    address = int.from_bytes(socket.inet_aton(ip), "big")
    refuse = 1 + len(ports)
    program = [(_LOAD_WORD, 0, 0, _FROM_NETWORK_HEADER + 12), (_JUMP_EQUAL, 0, refuse if ports else 1, address)]
    if ports:
        program.append((_LOAD_HALF, 0, 0, 0))
        program += [(_JUMP_EQUAL, len(ports) - k, 0, port) for k, port in enumerate(ports)]
        program.append((_RETURN, 0, 0, 0))
        program.append((_RETURN, 0, 0, 0xFFFFFFFF))
    else:
        program += [(_RETURN, 0, 0, 0xFFFFFFFF), (_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))
    except OSError:
        return  # a kernel without it: the senders are checked here as well
