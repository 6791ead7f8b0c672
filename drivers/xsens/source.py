"""The Xsens MVN network streamer as a `Source`: UDP, latest wins, bound to one sender and one character."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from teleopd.drivers.clock import ClockMap
from teleopd.drivers.human_pose import MVN, Array, HumanPose, Skeleton
from teleopd.drivers.sequence import Order, SampleOrder
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceState
from teleopd.drivers.udp import Address, Tap, UdpListener
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.reassembly import Reassembler

DECLARED_HZ = 60.0
"""Until it is measured: the slowest suit (Awinda), so that staleness is judged leniently."""
STALE_PERIODS = 3
RATE_FRAMES = 300
"""Arrivals the measured rate is taken over: 5 s at 60 Hz."""
RATE_AFTER_NS = 250_000_000
"""Shortest span a rate is measured on [ns]."""
PAUSE_NS = 500_000_000
"""A longer silence is a pause, and its length no part of the rate."""
REBIND_NS = 1_000_000_000
"""After so long of silence the same computer may go on from another port: MVN was restarted. Another one never may."""
MAX_FOREIGN_NAMED = 16

log = logging.getLogger(__name__)


class XsensSource:
    """MVN type 02 datagrams -> `HumanPose` of the 23 MVN segments: metres, Z-up, wxyz, identity in the T-pose."""

    name = "xsens"
    skeleton: Skeleton = MVN

    def __init__(self, *, host: str = "0.0.0.0", port: int = wire.DEFAULT_PORT, character: int | None = None) -> None:
        """`host`, `port`: where to listen (0: any free port); `character`: MVN id, None for the first one heard."""
        self.counters = SourceCounters()
        self.nominal_hz = DECLARED_HZ
        self.sender: Address | None = None
        """The one computer and port that is listened to; None until its first valid datagram."""
        self.foreign_senders: list[Address] = []
        """The first few others that were heard."""
        self.character_name = ""
        self.null_pose: wire.NullPose | None = None
        """Segment origins in the T-pose, once MVN sent them."""
        self.other_messages: dict[int, int] = {}
        """Message type -> datagrams recognised but not a pose."""
        self.resets = 0
        self._listener = UdpListener(host, port, wire.MAX_DATAGRAM, self.receive)
        self._listener.followed = lambda: self.sender
        self._character = character
        self._order = SampleOrder()
        self._clock = ClockMap()
        self._parts = Reassembler()
        self._valid: npt.NDArray[np.bool_] = np.ones(wire.SEGMENTS, dtype=np.bool_)
        self._valid.setflags(write=False)
        self._quat: Array | None = None
        self._newest: HumanPose | None = None
        self._arrivals: deque[int] = deque(maxlen=RATE_FRAMES)
        self._heard_ns = 0
        self._fresh = asyncio.Event()
        self._open = False

    @property
    def port(self) -> int:
        """UDP port listened on; the real one once open."""
        return self._listener.port

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> SourceState:
        """Where the source stands at `now_ns`: CLOSED before and after, STALE when no pose came for 3 periods."""
        if not self._open:
            return SourceState.CLOSED
        if not self._arrivals:
            return SourceState.CONNECTING
        fresh = now_ns - self._arrivals[-1] <= STALE_PERIODS * 1e9 / self.nominal_hz
        return SourceState.STREAMING if fresh else SourceState.STALE

    async def open(self) -> None:
        """Listen.

        Raises:
            SourceUnavailable: the port is taken, or the address is not this computer's.
        """
        self._listener.open()
        self._open = True

    async def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed. One consumer."""
        while self._open:
            await self._fresh.wait()
            self._fresh.clear()
            pose, self._newest = self._newest, None
            if self._open and pose is not None:
                self.counters.delivered += 1
                yield pose

    async def close(self) -> None:
        """Stop listening and end `poses()`; safe to call twice."""
        self._open = False
        self._listener.close()
        self._fresh.set()

    def record(self, tap: Tap) -> None:
        """Show every datagram that arrives to `tap` first."""
        self._listener.tap = tap

    def take(self) -> HumanPose | None:
        """The pose the last `receive` made, once; for feeding by hand instead of `open` and `poses`."""
        pose, self._newest = self._newest, None
        return pose

    def receive(self, data: memoryview, sender: Address, now_ns: int) -> None:
        """Take one datagram received at `now_ns`; never raises, every one that cannot be used is counted."""
        self.counters.received += 1
        try:
            if not self._is_ours(sender, now_ns):
                return
            header = wire.read_header(data)
            self._bind(sender, now_ns)
            if not self._is_followed(header.character):
                return
            payload = data[wire.HEADER_SIZE :]
            if header.kind == wire.POSE:
                self._take_pose(header, payload, now_ns)
            else:
                self._take_other(header, payload)
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))

    def _is_ours(self, sender: Address, now_ns: int) -> bool:
        if self.sender is None or sender == self.sender:
            return True
        if sender[0] == self.sender[0] and now_ns - self._heard_ns > REBIND_NS:
            return True
        self.counters.foreign += 1
        if sender not in self.foreign_senders and len(self.foreign_senders) < MAX_FOREIGN_NAMED:
            self.foreign_senders.append(sender)
            log.warning("xsens: ignoring %s:%d; listening to %s:%d", *sender, *self.sender)
        return False

    def _bind(self, sender: Address, now_ns: int) -> None:
        """Only after a valid header: a stray datagram must not lock the real sender out."""
        if self.sender is not None and sender != self.sender:
            self._begin_anew()
            self._order = SampleOrder(lost=self._order.lost)
        self.sender = sender
        self._heard_ns = now_ns

    def _is_followed(self, character: int) -> bool:
        if self._character is None:
            self._character = character
        if character == self._character:
            return True
        self.counters.reject(
            "other_character", f"character {character} is streamed too; character {self._character} is followed"
        )
        return False

    def _take_other(self, header: wire.Header, payload: memoryview) -> None:
        if header.kind in wire.OTHER_POSES:
            raise ProtocolError(
                "wrong_type",
                f"pose type {header.kind:02d} ({wire.OTHER_POSES[header.kind]}) is streamed; "
                "in MVN's network streamer choose 'Position + Orientation (Quaternion)', type 02",
            )
        if header.kind == wire.META:
            self.character_name = wire.read_meta(payload).get("name", self.character_name)
        elif header.kind == wire.SCALE:
            null_pose = wire.read_null_pose(payload)
            self.null_pose = null_pose if null_pose.names else self.null_pose
        self.other_messages[header.kind] = self.other_messages.get(header.kind, 0) + 1

    def _take_pose(self, header: wire.Header, payload: memoryview, now_ns: int) -> None:
        wire.check_pose_part(header, len(payload))
        if header.sample == self._order.newest and not (header.last and header.part == 0):
            self.counters.duplicated += 1  # part of a sample that is already whole
            return
        whole = self._parts.add(header, payload)
        if whole is None:
            return
        pose = wire.read_pose(header, whole)
        order = self._order.judge(header.sample, header.time_code_ms, now_ns)
        self.counters.lost = self._order.lost
        if order is Order.DUPLICATE:
            self.counters.duplicated += 1
        elif order is Order.REORDERED:
            self.counters.reordered += 1
        else:
            if order is Order.RESTART:
                self._begin_anew()
            self._publish(header, pose, now_ns)

    def _begin_anew(self) -> None:
        """Another recording: its clock and its place have nothing to do with the one before."""
        self.resets += 1
        self._clock.reset()
        self._parts.clear()
        self._quat = None

    def _publish(self, header: wire.Header, pose: wire.Pose, now_ns: int) -> None:
        quat = pose.quat_w
        if self._quat is not None:  # q and -q are one orientation: keep to the hemisphere of the pose before
            quat[np.vecdot(quat, self._quat) < 0.0] *= -1.0
        self._quat = quat.copy()
        self._newest = HumanPose(
            skeleton=MVN,
            seq=header.sample,
            t_ns=now_ns,
            t_source_ns=self._clock.to_monotonic(header.time_code_ms * 1_000_000, now_ns),
            pos_w=pose.pos_w,
            quat_w=quat,
            valid=self._valid,
            deadman=False,
            resets=self.resets,
            buttons=frozenset(),
        )
        self._measure_rate(now_ns)
        self._fresh.set()

    def _measure_rate(self, now_ns: int) -> None:
        if self._arrivals and now_ns - self._arrivals[-1] > PAUSE_NS:
            self._arrivals.clear()
        self._arrivals.append(now_ns)
        span_ns = now_ns - self._arrivals[0]
        if span_ns >= RATE_AFTER_NS:
            self.nominal_hz = (len(self._arrivals) - 1) * 1e9 / span_ns
