"""An emulated device's UDP socket: connected to one receiver, never blocking, and at ease when nobody listens."""

from __future__ import annotations

import socket

from teleopd.drivers.source import SourceUnavailable


class UdpSender:
    """Sends datagrams to one address; use as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        """Raises SourceUnavailable when the address cannot be reached."""
        self.sent = 0
        """Datagrams handed to the network."""
        self.unsent = 0
        """Datagrams the network refused."""
        try:
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, proto)
        except OSError as error:
            raise SourceUnavailable(f"cannot send to '{host}': {error.strerror}") from None
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise SourceUnavailable(f"cannot send to {host}:{port}: {error.strerror}") from None

    def __enter__(self) -> UdpSender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, datagram: bytes) -> None:
        """Send or count as unsent; never raises."""
        for _ in range(2):
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError:
                continue  # tells that an *earlier* datagram found nobody listening; this one was not sent yet
            except OSError:
                break
            self.sent += 1
            return
        self.unsent += 1
