"""OptiTrack Motive as a `Source`: NatNet over UDP, multicast or unicast, latest wins, bound to one server."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import AsyncIterator

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.clock import ClockMap, EchoClock
from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.messages import (
    Echo,
    Frame,
    FrameFlag,
    Kind,
    Message,
    ModelDef,
    ServerInfo,
)
from teleopd.drivers.natnet.network import ANYONE, Network
from teleopd.drivers.natnet.plan import Plan, plan
from teleopd.drivers.natnet.session import Session
from teleopd.drivers.natnet.skeleton import UP_AXES, Person, Reader
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.sequence import Order, SampleOrder
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceError, SourceState, SourceUnavailable, state_of
from teleopd.drivers.udp import Address, Tap

DECLARED_HZ = 120.0
"""Until the server says, or it is measured: Motive's usual camera rate."""
TICK_S = 0.02
"""How often the session is asked what is due."""
MODELS_PATIENCE_NS = 2_000_000_000
"""Frames without model definitions for so long are an error to show."""

log = logging.getLogger(__name__)


class NatNetSource:
    """Frames of one skeleton, or of named rigid bodies, -> `HumanPose` of the 23 MVN segments."""

    name = "optitrack"
    skeleton: Skeleton = MVN

    def __init__(
        self,
        *,
        host: str = ANYONE,
        port: int = wire.COMMAND_PORT,
        local: str = ANYONE,
        group: str = "",
        data_port: int = 0,
        person: str | None = None,
        up_axis: str = "y",
    ) -> None:
        """`host`: Motive's computer, 0.0.0.0 finds it by broadcast; `port`: its command port, 1510.

        `local`: this computer's address on Motive's network, 0.0.0.0 finds it; `group`: a multicast address, 'none'
        for unicast, '' as the server says; `data_port`: 0 as the server says; `person`: the skeleton's name, None for
        the only one; `up_axis`: 'y' or 'z', Motive's streaming setting.

        Raises:
            SourceError: a port, group or axis that cannot be.
        """
        if up_axis not in UP_AXES:
            raise SourceError(f"up axis is '{up_axis}'; choose {' or '.join(UP_AXES)}")
        self.counters = SourceCounters()
        self.port = port
        self.network = Network(host, port, local, group, data_port, self.receive)
        self.models: ModelDef | None = None
        self.plan: Plan | None = None
        """Who is followed; None before the model definitions came, or when they name nobody that can be."""
        self.resets = 0
        self._person, self._up = person, up_axis
        self._session = Session(discover=host == ANYONE, multicast=None if group == "" else group != "none")
        self._reader: Reader | None = None
        self._followed: Plan | None = None
        self._no_plan: ProtocolError | None = None
        self._first_frame_ns: int | None = None
        self._changed = False
        self._order = SampleOrder()
        self._echo = EchoClock()
        self._passive = ClockMap()
        self._rate = ArrivalRate(DECLARED_HZ)
        self._newest = NewestPose(self.counters)
        self._ticking: asyncio.Task[None] | None = None

    @property
    def nominal_hz(self) -> float:
        """Declared by the server, then measured [Hz]."""
        return self._rate.hz

    @property
    def server(self) -> str | None:
        """Address of the one computer that is listened to; None until it is known."""
        return self.network.server

    @property
    def foreign_senders(self) -> list[Address]:
        """The first few others that were heard."""
        return self.network.foreign_senders

    @property
    def info(self) -> ServerInfo | None:
        """What the server said of itself."""
        return self._session.info

    @property
    def round_trip_ns(self) -> int | None:
        """Of the echo the clock rests on [ns]; None without any."""
        return None if self._echo.best is None else self._echo.best[0]

    @property
    def trouble(self) -> str:
        """Why no poses come, as far as it can be told from here; '' when they do or nothing was tried yet."""
        if self._rate.newest_ns is not None and self.state is SourceState.STREAMING:
            return ""
        if not self._session.connected:
            where = f"{self.server or 'the local network'}, command port {self.port}"
            why = self._session.reconnect.last_failure
            return f"{where}: {why}" if why else ""
        if self._no_plan is not None:
            return str(self._no_plan)
        if self.network.frames_from is None:
            how = "" if self._session.unicast else " by multicast; is it filtered, or the wrong local address chosen?"
            return self.counters.last_rejection or f"{self.server} answers but sends no frames{how}"
        return self.counters.last_rejection

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> SourceState:
        """Where the source stands at `now_ns`: CLOSED before and after, STALE when no pose came for 3 periods."""
        newest_ns, hz = self._rate.newest_ns, self._rate.hz
        return state_of(is_open=self._ticking is not None, newest_ns=newest_ns, now_ns=now_ns, hz=hz)

    async def open(self) -> None:
        """Bind a socket and begin to connect; a server that is not there yet is waited for.

        Raises:
            SourceUnavailable: `host` does not resolve, or `local` is not this computer's address.
        """
        if self._ticking is not None:
            return
        self.network.open()
        self._newest.begin()
        self._ticking = asyncio.create_task(self._tick())

    def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed. One consumer."""
        return self._newest.poses()

    async def close(self) -> None:
        """Take leave of the server, stop listening and end `poses()`; safe to call twice."""
        ticking, self._ticking = self._ticking, None
        if ticking is not None:
            ticking.cancel()
            if self._session.connected:
                self._send([wire.encode(Kind.DISCONNECT)])
        self.network.close()
        self._newest.end()

    async def _tick(self) -> None:
        while True:
            was_connected = self._session.connected
            self._send(self._session.due(time.monotonic_ns()))
            if was_connected and not self._session.connected:
                self.network.listen_anew()
            await asyncio.sleep(TICK_S)

    def _send(self, datagrams: list[bytes]) -> None:
        trouble = self.network.send(datagrams)
        if trouble:
            self._session.reconnect.last_failure = trouble

    def record(self, tap: Tap) -> None:
        """Show every datagram that arrives to `tap` first."""
        self.network.record(tap)

    def take(self) -> HumanPose | None:
        """The pose the last `receive` made, once; for feeding by hand instead of `open` and `poses`."""
        return self._newest.take()

    def receive(self, data: memoryview, sender: Address, now_ns: int) -> None:
        """Take one datagram received at `now_ns`; never raises, every one that cannot be used is counted."""
        self.counters.received += 1
        try:
            if self.network.is_ours(sender):
                message = wire.decode(data, self._session.version)
                self._take(message, sender, now_ns)
            else:
                self.counters.foreign += 1
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))

    def _take(self, message: Message, sender: Address, now_ns: int) -> None:
        body = message.body
        if isinstance(body, ServerInfo):
            self._take_server_info(body, sender, now_ns)
        elif self.server is None or self.info is None:
            return  # the bitstream is not known yet
        elif isinstance(body, Frame):
            self._session.heard(now_ns)
            self._take_frame(body, sender, now_ns)
        elif isinstance(body, ModelDef):
            self._session.heard(now_ns)
            self._take_models(body)
        elif isinstance(body, Echo) and body.server_ticks is not None:
            self._take_echo(body.client_stamp, body.server_ticks, now_ns)
        elif message.kind is Kind.RESPONSE and isinstance(body, bytes):
            self._take_rate(body)

    def _take_server_info(self, info: ServerInfo, sender: Address, now_ns: int) -> None:
        if sender[1] != self.port:
            return
        before = self.info
        self.network.server = sender[0]
        self._send(self._session.welcomed(info, now_ns))
        if before is not None and before != info:
            self._begin_anew()
        if not self._session.unicast:
            try:
                self.network.join(info)
            except SourceUnavailable as error:
                self.counters.reject("multicast", str(error))
                log.warning("optitrack: %s", error)
        self.network.listen_anew()
        self._send(self._session.due(now_ns))

    def _take_models(self, models: ModelDef) -> None:
        self._session.models_came()
        self.models = models
        try:
            self.plan, self._no_plan = plan(models, self._person), None
        except ProtocolError as error:
            self.plan, self._reader, self._no_plan = None, None, error
            raise
        before, self._followed = self._followed, self.plan
        if before is not None and not _same(before, self.plan):
            self.resets += 1
            self._reader = None
        if self._reader is None:
            self._reader = Reader(self.plan, self._up)
            log.info("optitrack: following %s", self.plan.label)

    def _take_echo(self, stamp: int, ticks: int, now_ns: int) -> None:
        assert self.info is not None
        if self._session.echo_answered(stamp):
            self._session.heard(now_ns)
            if not self._echo.exchange(stamp, self._ns(ticks), now_ns):
                self._passive.reset()

    def _take_rate(self, payload: bytes) -> None:
        if len(payload) == 4 and self._rate.newest_ns is None:
            (hz,) = struct.unpack("<f", payload)
            self._rate.hz = hz if 1.0 <= hz <= 2000.0 else self._rate.hz

    def _take_frame(self, frame: Frame, sender: Address, now_ns: int) -> None:
        self.network.bind_frames(sender)
        self._note_changes(frame, now_ns)
        if self._reader is None:
            self._without_reader(now_ns)
            return
        order = self._order.judge(frame.number & 0xFFFFFFFF, int(frame.timestamp_s * 1000.0), now_ns)
        self.counters.lost = self._order.lost
        if order is Order.DUPLICATE:
            self.counters.duplicated += 1
        elif order is Order.REORDERED:
            self.counters.reordered += 1
        else:
            if order is Order.RESTART:
                self._begin_anew()
                self._session.ask_clock(now_ns)
            self._publish(frame, self._reader.read(frame), now_ns)

    def _note_changes(self, frame: Frame, now_ns: int) -> None:
        """Ask for the definitions when the server says that they changed, or a skeleton is in none of them."""
        changed = bool(frame.params & FrameFlag.MODELS_CHANGED)
        known = () if self.models is None else [s.id for s in self.models.skeletons]
        if (changed and not self._changed) or any(s.id not in known for s in frame.skeletons):
            self._session.want_models()
        self._changed = changed
        if frame.params & FrameFlag.BITSTREAM_CHANGED:
            self._session.renew(now_ns)

    def _without_reader(self, now_ns: int) -> None:
        if self._no_plan is not None:
            raise self._no_plan
        if self._first_frame_ns is None:
            self._first_frame_ns = now_ns
        if now_ns - self._first_frame_ns > MODELS_PATIENCE_NS:
            raise ProtocolError(
                "no_models",
                f"frames arrive, but {self.server} sends no model definitions from its command port {self.port}",
            )

    def _begin_anew(self) -> None:
        """Another take or a restarted server: its clock and its place have nothing to do with the one before."""
        self.resets += 1
        self._echo.reset()
        self._passive.reset()
        if self.plan is not None:
            self._reader = Reader(self.plan, self._up)

    def _publish(self, frame: Frame, person: Person, now_ns: int) -> None:
        self._newest.put(HumanPose(
            skeleton=MVN, seq=frame.number, t_ns=now_ns, t_source_ns=self._exposure_ns(frame, now_ns),
            pos_w=person.pos_w.copy(), quat_w=person.quat_w.copy(), valid=person.valid, deadman=False,
            resets=self.resets, buttons=frozenset(),
        ))  # fmt: skip
        self._rate.arrived(now_ns)

    def _exposure_ns(self, frame: Frame, now_ns: int) -> int:
        """Monotonic time of the middle of the exposure: by echo, else by the least delayed frame."""
        if frame.transmit == 0:
            return self._passive.to_monotonic(int(frame.timestamp_s * 1e9), now_ns)
        sent_ns = self._ns(frame.transmit)
        exposed_ns = self._ns(frame.mid_exposure) if 0 < frame.mid_exposure <= frame.transmit else sent_ns
        passive_ns = self._passive.to_monotonic(sent_ns, now_ns) - (sent_ns - exposed_ns)
        echo_ns = self._echo.to_monotonic(exposed_ns, now_ns)
        return passive_ns if echo_ns is None else echo_ns

    def _ns(self, ticks: int) -> int:
        """Server ticks -> server time [ns]."""
        assert self.info is not None
        return ticks * 1_000_000_000 // self.info.clock_hz


def _same(a: Plan, b: Plan) -> bool:
    return (a.label, a.skeleton, a.ids) == (b.label, b.skeleton, b.ids) and bool((a.offsets == b.offsets).all())
