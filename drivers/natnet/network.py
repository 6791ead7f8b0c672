"""Who is listened to: one server, its command port, and the port its frames come from."""

from __future__ import annotations

import logging
import socket

from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.messages import ServerInfo
from teleopd.drivers.natnet.sockets import CommandSocket, GroupSocket, address_towards
from teleopd.drivers.source import SourceError, SourceUnavailable
from teleopd.drivers.udp import Address, Receive, Tap

ANYONE = "0.0.0.0"
MAX_FOREIGN_NAMED = 16

log = logging.getLogger(__name__)


class Network:
    """The client's sockets; datagrams of everyone but the server are dropped, by the kernel where it can."""

    def __init__(self, host: str, port: int, local: str, group: str, data_port: int, receive: Receive) -> None:
        """See `NatNetSource`; raises SourceError for a port or group that cannot be."""
        if not 1 <= port <= 65535 or not 0 <= data_port <= 65535:
            raise SourceError(f"command port {port} or data port {data_port} is not between 1 and 65535")
        if group not in ("", "none") and not _is_group(group):
            raise SourceError(f"'{group}' is no multicast address; give one from 224.0.0.0 up, 'none' or nothing")
        self.port = port
        self.server: str | None = None
        """Address of the one computer that is listened to; None until it is known."""
        self.frames_from: Address | None = None
        """Where its frames come from; None until the first."""
        self.foreign_senders: list[Address] = []
        """The first few others that were heard."""
        self.command = CommandSocket(local, receive)
        self._host, self._local, self._group, self._data_port = host, local, group, data_port
        self._receive = receive
        self._frames: GroupSocket | None = None
        self._opened = False

    def open(self) -> None:
        """Bind the command socket on the running loop.

        Raises:
            SourceUnavailable: the server's name does not resolve, or the local address is not this computer's.
        """
        if self._host != ANYONE:
            try:
                self.server = socket.gethostbyname(self._host)
            except OSError as error:
                raise SourceUnavailable(f"cannot find the computer '{self._host}': {error.strerror}") from None
        self.command.open()
        self._opened = True
        self.listen_anew()

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._opened = False
        self.command.close()
        if self._frames is not None:
            self._frames.close()
            self._frames = None

    def record(self, tap: Tap) -> None:
        """Show every datagram that arrives to `tap` first; the group's socket takes it over when it is joined."""
        self.command.tap = tap

    def send(self, datagrams: list[bytes]) -> str:
        """Send to the server, or to whoever is there; returns why none could be sent, or ''."""
        targets = ["255.255.255.255", "127.0.0.1"] if self.server is None else [self.server]
        trouble = ""
        for datagram in datagrams:
            whys = [self.command.send(datagram, (target, self.port)) for target in targets]
            if all(whys):
                trouble = f"cannot send to {targets[0]}:{self.port}: {whys[0]}"
        return trouble

    def is_ours(self, sender: Address) -> bool:
        """Whether this is the server; another one is noted, and named once."""
        bound = self.frames_from
        if self.server is None:
            return True
        if sender[0] == self.server and (bound is None or sender[1] in (self.port, bound[1])):
            return True
        if sender not in self.foreign_senders and len(self.foreign_senders) < MAX_FOREIGN_NAMED:
            self.foreign_senders.append(sender)
            log.warning("optitrack: ignoring %s:%d; listening to %s:%d", *sender, *(bound or (self.server, self.port)))
        return False

    def bind_frames(self, sender: Address) -> None:
        """A valid frame came from here; only then, for a stray datagram must not lock the real sender out."""
        if self.frames_from is None:
            self.frames_from = sender
            self._filter((self.port, sender[1]))

    def listen_anew(self) -> None:
        """The server's frames may come from another port than before."""
        self.frames_from = None
        self._filter(())

    def join(self, info: ServerInfo) -> None:
        """Listen to the server's multicast group, if not done yet; nothing where nothing was opened, as in a replay.

        Raises:
            SourceUnavailable: the port is taken, or there is no way to join.
        """
        if self._frames is not None or self.server is None or not self._opened:
            return
        group = self._group or (info.group if _is_group(info.group) else wire.GROUP)
        interface = self._local if self._local != ANYONE else address_towards(self.server, self.port)
        data_port = self._data_port or info.data_port or wire.DATA_PORT
        frames = GroupSocket(group, data_port, interface, self._receive)
        frames.tap = self.command.tap
        frames.open()
        self._frames = frames

    def _filter(self, ports: tuple[int, ...]) -> None:
        if self.server is None:
            return
        self.command.hear_only(self.server, ports)
        if self._frames is not None:
            self._frames.hear_only(self.server, ports)


def _is_group(text: str) -> bool:
    try:
        return 224 <= socket.inet_aton(text)[0] < 240
    except OSError:
        return False
