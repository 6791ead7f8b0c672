"""A TCP port to which MVN connects: every wake-up empties the kernel's buffer, so that nothing old is served late."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable

from teleopd.drivers.source import ProtocolError, SourceUnavailable
from teleopd.drivers.udp import Address, Receive, Tap
from teleopd.drivers.xsens.stream import StreamFramer

MAX_CONNECTIONS = 8
"""At once; MVN opens one for each character. One more displaces the oldest that is not followed."""
READ_SIZE = 1 << 13
"""[B]; so much of the worst noise costs 3 ms."""
DRAIN_LIMIT = 16
"""Reads in one go: a flood must leave the event loop some time."""


class TcpListener:
    """Connections whose datagrams go to `receive`. One from another computer than the followed one is closed."""

    def __init__(
        self, host: str, port: int, receive: Receive, refuse: Callable[[ProtocolError], None],
        closed: Callable[[Address, int], None],
    ) -> None:  # fmt: skip
        """Nothing is opened yet.

        Args:
            refuse: hears why bytes of a stream had to be skipped.
            closed: hears (peer, time [monotonic ns]) of a connection that ended.

        Raises:
            SourceUnavailable: the port is outside 0 to 65535.
        """
        if not 0 <= port <= 65535:
            raise SourceUnavailable(f"TCP port {port} is not between 0 and 65535")
        self.host = host
        self.port = port
        self.tap: Tap | None = None
        """Is shown every datagram first; must neither block nor raise."""
        self.followed: Callable[[], Address | None] = lambda: None
        """The one sender that is listened to, as far as the source knows it yet."""
        self._receive, self._refuse, self._closed = receive, refuse, closed
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._socket: socket.socket | None = None
        self._bound: Address = (host, port)
        self._connections: dict[Address, tuple[socket.socket, StreamFramer]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Bind and start accepting on the running loop; a second call changes nothing.

        Raises:
            SourceUnavailable: port in use, address not ours, no permission.
        """
        if self._socket is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            sock.listen(MAX_CONNECTIONS)
        except OSError as error:
            sock.close()
            raise SourceUnavailable(self._why(error)) from None
        self._bound = sock.getsockname()[:2]
        self.port = self._bound[1]
        self._socket, self._loop = sock, asyncio.get_running_loop()
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop listening and end every connection; safe to call twice."""
        sock, self._socket = self._socket, None
        if sock is None or self._loop is None:
            return
        self._loop.remove_reader(sock)
        sock.close()
        for peer in list(self._connections):
            self._end(peer)

    def _accept(self) -> None:
        if self._socket is None or self._loop is None:
            return
        try:
            connection, address = self._socket.accept()
        except OSError:
            return  # gone again before we looked
        peer = (address[0], address[1])
        if len(self._connections) >= MAX_CONNECTIONS:
            self._end(next(other for other in self._connections if other != self.followed()))
        connection.setblocking(False)
        self._connections[peer] = (connection, StreamFramer())
        self._loop.add_reader(connection, self._drain, peer)

    def _drain(self, peer: Address) -> None:
        for _ in range(DRAIN_LIMIT):
            if peer not in self._connections:
                return
            connection, framer = self._connections[peer]
            try:
                size = connection.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                size = 0
            if not size:
                self._end(peer)
                return
            now_ns = time.monotonic_ns()
            if not self._hand_on(framer.feed(self._buffer[:size]), peer, now_ns):
                self._end(peer)

    def _hand_on(self, found: list[bytes | ProtocolError], peer: Address, now_ns: int) -> bool:
        """Datagrams to the source; False when this peer is not worth a connection."""
        for datagram in found:
            if isinstance(datagram, ProtocolError):
                self._refuse(datagram)
                if peer != self.followed():
                    return False
                continue
            if self.tap is not None:
                self.tap(datagram, peer, self._bound, now_ns)
            self._receive(memoryview(datagram), peer, now_ns)
            followed = self.followed()
            if followed is not None and followed[0] != peer[0]:
                return False
        return True

    def _end(self, peer: Address) -> None:
        connection, _ = self._connections.pop(peer)
        if self._loop is not None:
            self._loop.remove_reader(connection)
        connection.close()
        self._closed(peer, time.monotonic_ns())

    def _why(self, error: OSError) -> str:
        where = f"TCP port {self.port} on {self.host}"
        if error.errno == errno.EADDRINUSE:
            return f"{where} is in use by another program; stop it, or choose another port with --port"
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            return f"cannot listen on {self.host}: it is no address of this computer; 0.0.0.0 listens on all of them"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{where} needs privileges; choose a port of 1024 or more with --port"
        return f"cannot listen on {where}: {error.strerror}"
