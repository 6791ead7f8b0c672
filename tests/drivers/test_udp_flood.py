"""A flooded port: the kernel is told to drop the flooder, every good datagram comes, and others are heard later."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from teleopd.drivers.udp import FLOOD, UdpListener

PATIENCE_S = 30.0
"""Nothing is asserted about how long things take; this only ends a test that would hang."""
GARBAGE = bytes(200)


class Port:
    """A listener that follows one sender, and the sockets that send to it."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self.listener = UdpListener("127.0.0.1", 0, 1000, self._hear)
        self.good, self.other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for each in (self.good, self.other):
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        self.listener.followed = lambda: self.good.getsockname()
        self.sent = 0

    def _hear(self, data: memoryview, sender: tuple[str, int], _now_ns: int) -> None:
        self.heard.append((bytes(data), sender))

    def send(self, sock: socket.socket, data: bytes) -> None:
        sock.sendto(data, ("127.0.0.1", self.listener.port))

    def garbage(self, count: int) -> None:
        for _ in range(count):
            try:
                self.send(self.other, GARBAGE)
            except OSError:  # refused: the kernel tells the flooder that nobody listens to it
                continue

    async def good_arrives(self) -> None:
        """Send one good datagram and wait until it was heard."""
        self.sent += 1
        number = str(self.sent).encode()
        self.send(self.good, number)
        await until(lambda: (number, self.good.getsockname()) in self.heard[-2000:])

    def others_heard(self) -> int:
        return sum(sender != self.good.getsockname() for _, sender in self.heard)

    def close(self) -> None:
        self.listener.close()
        self.good.close()
        self.other.close()


async def until(done: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not done():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), PATIENCE_S)


async def flooded() -> Port:
    """A port whose listener has shut the flooder out; what waited in the kernel's queue has come through."""
    port = Port()
    port.listener.open()
    while not port.listener.shut_out:
        port.garbage(100)
        await port.good_arrives()
    await port.good_arrives()
    return port


def test_every_good_datagram_comes_and_none_of_the_flooders():
    async def run() -> None:
        port = await flooded()
        before = port.others_heard()
        for _ in range(100):
            port.garbage(100)
            await port.good_arrives()
        good = [data for data, sender in port.heard if sender == port.good.getsockname()]
        assert good == [str(number).encode() for number in range(1, port.sent + 1)]
        assert port.others_heard() == before, "the kernel let a foreign datagram through"
        assert port.listener.shut_out == 1
        port.close()

    asyncio.run(run())


def test_a_few_foreign_datagrams_are_heard_so_that_they_can_be_named():
    async def run() -> None:
        port = Port()
        port.listener.open()
        for _ in range(10):
            port.garbage(FLOOD // 20)
            await port.good_arrives()
            await until(lambda: port.others_heard() % (FLOOD // 20) == 0)
        assert port.others_heard() == FLOOD // 20 * 10 and port.listener.shut_out == 0
        port.close()

    asyncio.run(run())


def test_everybody_is_heard_again_once_the_followed_sender_is_silent():
    async def run() -> None:
        port = await flooded()
        newcomer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        newcomer.bind(("127.0.0.1", 0))
        newcomer.setblocking(False)

        def heard() -> bool:
            try:
                port.send(newcomer, b"here")
            except OSError:
                pass
            return any(data == b"here" for data, _ in port.heard)

        await until(heard)
        newcomer.close()
        port.close()

    asyncio.run(run())


def test_nobody_is_shut_out_while_nobody_is_followed():
    async def run() -> None:
        port = Port()
        port.listener.followed = lambda: None
        port.listener.open()
        while port.others_heard() < 3 * FLOOD:
            port.garbage(100)
            await asyncio.sleep(0)
        assert port.listener.shut_out == 0
        port.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["xsens", "network", "vmc"])
def test_every_source_that_listens_says_whom_it_follows(name):
    from teleopd.launch import registry

    source = registry.load("source", name)(host="127.0.0.1", port=0)
    assert source._listener.followed() is None
    if name == "xsens":
        source.sender = ("192.0.2.1", 9)
    else:
        source._sender.bind(("192.0.2.1", 9), 1)
    assert source._listener.followed() == ("192.0.2.1", 9)
