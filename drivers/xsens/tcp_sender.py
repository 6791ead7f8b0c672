"""An emulated MVN's TCP connection: it waits for the receiver to come, and then never blocks."""

from __future__ import annotations

import asyncio
import os
import socket

from teleopd.drivers.source import SourceUnavailable

PATIENCE_S = 30.0
"""The receiver may be started after the emulator [s]."""
RETRY_S = 0.2


class TcpSender:
    """Sends whole datagrams one after another, or drops them whole where the network does not keep up."""

    def __init__(self, host: str, port: int, patience_s: float = PATIENCE_S) -> None:
        """Nothing is opened yet."""
        self.sent = 0
        """Datagrams handed to the network."""
        self.unsent = 0
        """Datagrams dropped."""
        self._host, self._port, self._patience_s = host, port, patience_s
        self._socket: socket.socket | None = None
        self._rest = b""

    async def connect(self) -> None:
        """Connect, trying again for a while.

        Raises:
            SourceUnavailable: nobody listens there.
        """
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + self._patience_s
        while True:
            try:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise SourceUnavailable(f"cannot send to '{self._host}': {error.strerror}") from None
            family, kind, proto, _, address = found[0]
            sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(max(give_up_s - loop.time(), RETRY_S)):
                    await loop.sock_connect(sock, address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:  # TimeoutError is one
                sock.close()
                if loop.time() + RETRY_S > give_up_s:
                    why = os.strerror(error.errno) if error.errno else "no answer"
                    raise SourceUnavailable(f"cannot connect to {self._host}:{self._port}: {why}") from None
                await asyncio.sleep(RETRY_S)
                continue
            self._socket = sock
            return

    def send(self, datagram: bytes) -> None:
        """Send or count as unsent.

        Raises:
            SourceUnavailable: the receiver hung up.
        """
        self._rest = self._rest[self._write(self._rest) :]
        if self._rest:
            self.unsent += 1
            return
        written = self._write(datagram)
        if not written:
            self.unsent += 1
            return
        self._rest = datagram[written:]
        self.sent += 1

    async def close(self) -> None:
        """Send what was begun, if that is soon done, and hang up; safe to call twice."""
        sock, self._socket = self._socket, None
        if sock is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await asyncio.get_running_loop().sock_sendall(sock, self._rest)
        except OSError:
            pass
        finally:
            sock.close()

    def _write(self, data: bytes) -> int:
        assert self._socket is not None
        if not data:
            return 0
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise SourceUnavailable(f"{self._host}:{self._port} hung up: {error.strerror}") from None
