"""A UDP port read without blocking: every wake-up empties the kernel's queue, so that nothing old is served late."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import socket
import time
from collections.abc import Callable

from teleopd.drivers.source import SourceUnavailable

Address = tuple[str, int]
Receive = Callable[[memoryview, Address, int], None]
"""(datagram, sender, receive time [monotonic ns]); the view is valid during the call only."""

Tap = Callable[[bytes | memoryview, Address, Address, int], None]
"""(datagram, sender, receiver, receive time [monotonic ns]) of everything that arrives, before anything judges it."""

RECEIVE_BUFFER = 1 << 21
"""Asked of the kernel [B], which may grant less: a full buffer keeps the oldest and drops the newest."""
FLOOD = 500
"""So many datagrams of others within `FLOOD_NS` are a flood: the kernel is told to drop all but the followed sender's,
which costs a hundredth of reading them. Fewer are read, so that they can be counted and named."""
FLOOD_NS = 100_000_000
SILENCE_NS = 500_000_000
"""The followed sender silent for so long [ns]: everybody is heard again, for it may have been restarted."""
SHUT_AGAIN_NS = 10_000_000_000
"""After a sender was not heard at all while the others were shut out (it sends to a broadcast address), so long not."""
DRAIN_LIMIT = 512
"""Datagrams taken in one go: a flood must leave the event loop some time."""


class UdpListener:
    """One bound socket whose datagrams go to `receive`.

    asyncio's datagram transport hands over one datagram per turn of the loop; after a stall a consumer would then
    wake for the oldest. Here a turn takes all that wait.
    """

    def __init__(self, host: str, port: int, max_datagram: int, receive: Receive) -> None:
        """Raises SourceUnavailable for a port outside 0 to 65535; `max_datagram`: longer ones arrive 1 B longer."""
        if not 0 <= port <= 65535:
            raise SourceUnavailable(f"UDP port {port} is not between 0 and 65535")
        self.host = host
        self.port = port
        self.tap: Tap | None = None
        """Is shown every datagram first; must neither block nor raise."""
        self.followed: Callable[[], Address | None] = lambda: None
        """The one sender that is listened to, as far as the source knows it yet."""
        self.shut_out = 0
        """Times the kernel was told to drop all others, because they flooded the port."""
        self._only: Address | None = None
        self._since_ns = 0
        self._others = self._others_since_ns = self._heard_ns = self._not_before_ns = 0
        self._check: asyncio.TimerHandle | None = None
        self._receive = receive
        self._buffer = memoryview(bytearray(max_datagram + 1))
        self._socket: socket.socket | None = None
        self._bound: Address = (host, port)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Bind and start reading on the running loop; a second call changes nothing.

        Raises:
            SourceUnavailable: port in use, address not ours, no permission.
        """
        if self._socket is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._prepare(sock)
            sock.bind((self.host, self.port))
        except OSError as error:
            sock.close()
            if isinstance(error, SourceUnavailable):  # it is an OSError too, with a sentence of its own
                raise
            raise SourceUnavailable(self._why(error)) from None
        self._bound = sock.getsockname()[:2]
        self.port = self._bound[1]
        self._socket, self._loop = sock, asyncio.get_running_loop()
        self._loop.add_reader(sock, self._drain)

    def close(self) -> None:
        """Stop reading; safe to call twice."""
        sock, self._socket = self._socket, None
        self._only = None
        if self._check is not None:
            self._check.cancel()
        if sock is not None and self._loop is not None:
            self._loop.remove_reader(sock)
            sock.close()

    def _prepare(self, sock: socket.socket) -> None:
        """Options that must be set before binding; none here."""

    def _drain(self) -> None:
        for _ in range(DRAIN_LIMIT):
            if self._socket is None:
                return
            try:
                size, address = self._socket.recvfrom_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of some earlier datagram; it carries none of ours
            datagram, sender, now_ns = self._buffer[:size], (address[0], address[1]), time.monotonic_ns()
            if self.tap is not None:
                self.tap(datagram, sender, self._bound, now_ns)
            self._receive(datagram, sender, now_ns)
            followed = self.followed()
            if sender == followed:
                self._heard_ns = now_ns
            elif followed is not None:
                self._count_other(followed, now_ns)

    def _count_other(self, followed: Address, now_ns: int) -> None:
        if now_ns - self._others_since_ns > FLOOD_NS:
            self._others, self._others_since_ns = 0, now_ns
        self._others += 1
        recent = now_ns - self._heard_ns < SILENCE_NS
        if self._others >= FLOOD and self._only is None and recent and now_ns >= self._not_before_ns:
            self._shut_out(followed, now_ns)

    def _shut_out(self, followed: Address, now_ns: int) -> None:
        """Connect the socket: from now on the kernel drops what others send."""
        assert self._socket is not None and self._loop is not None
        try:
            self._socket.connect(followed)
        except OSError:
            self._not_before_ns = now_ns + SHUT_AGAIN_NS
            return
        self._only, self._since_ns = followed, now_ns
        self.shut_out += 1
        self._check = self._loop.call_later(SILENCE_NS / 2e9, self._hear_all_after_silence)

    def _hear_all_after_silence(self) -> None:
        if self._socket is None or self._loop is None or self._only is None:
            return
        now_ns = time.monotonic_ns()
        if now_ns - max(self._heard_ns, self._since_ns) <= SILENCE_NS:
            self._check = self._loop.call_later(SILENCE_NS / 2e9, self._hear_all_after_silence)
            return
        if self._heard_ns <= self._since_ns + FLOOD_NS:  # what waited in the queue may still have come
            self._not_before_ns = now_ns + SHUT_AGAIN_NS
        self._only = None
        _disconnect(self._socket)
        if not self._socket.getsockname()[1]:  # a port that the kernel chose goes with the connection
            with contextlib.suppress(OSError):
                self._socket.bind((self.host, self.port))

    def _why(self, error: OSError) -> str:
        where = f"UDP port {self.port} on {self.host}"
        if error.errno == errno.EADDRINUSE:
            return f"{where} is in use by another program; stop it, or choose another port with --port"
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            return f"cannot listen on {self.host}: it is no address of this computer; 0.0.0.0 listens on all of them"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{where} needs privileges; choose a port of 1024 or more with --port"
        return f"cannot listen on {where}: {error.strerror}"


def _disconnect(sock: socket.socket) -> None:
    """Dissolve a datagram socket's association: connect it to an address of no family (POSIX, connect)."""
    ctypes.CDLL(None).connect(sock.fileno(), bytes(16), 16)
