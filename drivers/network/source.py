"""Frames of `teleopd.pose/1` as a `Source`: UDP or WebSocket, latest wins, bound to one sender."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Literal

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.clock import ClockMap
from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.network import wire
from teleopd.drivers.network.bodies import Bodies, Person
from teleopd.drivers.network.websocket import WebSocketListener
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.sender import BoundSender
from teleopd.drivers.sequence import Order, SampleOrder
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceState, SourceUnavailable, state_of
from teleopd.drivers.udp import Address, Tap, UdpListener

DECLARED_HZ = 30.0
"""Until it is measured: a camera, so that staleness is judged leniently."""
HELD_UP_NS = 50_000_000
"""A frame that much later than the least delayed ones was held up, and over TCP more are right behind it."""
TRANSPORTS = ("udp", "websocket")


class NetworkSource:
    """Anyone's poses -> `HumanPose` of the 23 MVN segments: metres, Z-up, wxyz, identity in the T-pose."""

    name = "network"
    skeleton: Skeleton = MVN

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = wire.DEFAULT_PORT,
        transport: Literal["udp", "websocket"] = "udp",
        token: str | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            host, port: where to listen (0: any free port).
            transport: 'udp', or 'websocket' at ws://host:port/pose.
            token: what a WebSocket client must show; None: nothing.

        Raises:
            SourceUnavailable: impossible port, unknown transport, or a token for UDP, which carries none.
        """
        if transport not in TRANSPORTS:
            raise SourceUnavailable(f"transport is '{transport}'; choose one of {', '.join(TRANSPORTS)}")
        if token is not None and transport == "udp":
            raise SourceUnavailable("a token is for transport websocket; UDP frames carry none")
        self.counters = SourceCounters()
        self.resets = 0
        self._sender = BoundSender(self.name, self.counters)
        self._listener: UdpListener | WebSocketListener
        if transport == "udp":
            self._listener = UdpListener(host, port, wire.MAX_FRAME, self.receive)
            self._listener.followed = lambda: self._sender.address
        else:
            self._listener = WebSocketListener(host, port, token, self.receive, self._sender, self.counters.reject)
        self._order = SampleOrder()
        self._clock = ClockMap()
        self._rate = ArrivalRate(DECLARED_HZ)
        self._bodies = Bodies()
        self._origin: int | None = None
        self._newest = NewestPose(self.counters, HELD_UP_NS)

    @property
    def port(self) -> int:
        """Port listened on; the real one once open."""
        return self._listener.port

    @property
    def sender(self) -> Address | None:
        """The one that is listened to; None until its first valid frame."""
        return self._sender.address

    @property
    def foreign_senders(self) -> list[Address]:
        """The first few others that were heard."""
        return self._sender.foreign

    @property
    def nominal_hz(self) -> float:
        """Measured frame rate [Hz]; 30 until there is one."""
        return self._rate.hz

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> SourceState:
        """Where the source stands at `now_ns`: CLOSED before and after, STALE when no pose came for 3 periods."""
        newest_ns, hz = self._rate.newest_ns, self._rate.hz
        return state_of(is_open=self._newest.is_open, newest_ns=newest_ns, now_ns=now_ns, hz=hz)

    async def open(self) -> None:
        """Listen.

        Raises:
            SourceUnavailable: the port is taken, the address is not this computer's, or aiohttp is missing.
        """
        if isinstance(self._listener, UdpListener):
            self._listener.open()
        else:
            await self._listener.open()
        self._newest.begin()

    def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed. One consumer."""
        return self._newest.poses()

    async def close(self) -> None:
        """Stop listening and end `poses()`; safe to call twice."""
        self._newest.end()
        if isinstance(self._listener, UdpListener):
            self._listener.close()
        else:
            await self._listener.close()

    def record(self, tap: Tap) -> None:
        """Show every frame that arrives to `tap` first."""
        self._listener.tap = tap

    def take(self) -> HumanPose | None:
        """The pose the last `receive` made, once; for feeding by hand instead of `open` and `poses`."""
        return self._newest.take()

    def receive(self, data: memoryview, sender: Address, now_ns: int) -> None:
        """Take one frame received at `now_ns`; never raises, every one that cannot be used is counted."""
        self.counters.received += 1
        if not self._sender.admits(sender, now_ns):
            return
        try:
            frame = wire.decode(data)
            if self._sender.bind(sender, now_ns):
                self._begin_anew()
                self._order = SampleOrder(lost=self._order.lost)
            self._take(frame, now_ns)
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))

    def _take(self, frame: wire.Frame, now_ns: int) -> None:
        order = self._order.judge(frame.seq, frame.stamp_ns // 1_000_000, now_ns)
        self.counters.lost = self._order.lost
        if order is Order.DUPLICATE:
            self.counters.duplicated += 1
            return
        if order is Order.REORDERED:
            self.counters.reordered += 1
            return
        if order is Order.RESTART:
            self._begin_anew()
        t_source_ns = self._clock.to_monotonic(frame.stamp_ns, now_ns)
        person = self._bodies.read(frame)
        if self._origin is not None and frame.origin != self._origin:
            self.resets += 1
        self._origin = frame.origin
        self._publish(frame, person, now_ns, t_source_ns)

    def _begin_anew(self) -> None:
        """Another recording or program: its clock and its place have nothing to do with the one before."""
        self.resets += 1
        self._clock.reset()
        self._bodies.forget()
        self._origin = None

    def _publish(self, frame: wire.Frame, person: Person, now_ns: int, t_source_ns: int) -> None:
        self._newest.put(HumanPose(
            skeleton=MVN, seq=frame.seq, t_ns=now_ns, t_source_ns=t_source_ns, pos_w=person.pos_w,
            quat_w=person.quat_w, valid=person.valid, deadman=frame.deadman, resets=self.resets,
            buttons=frozenset(frame.buttons),
        ))  # fmt: skip
        self._rate.arrived(now_ns)
