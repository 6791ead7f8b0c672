"""The Xsens MVN network streamer as a `Source`: UDP or TCP, latest wins, bound to one sender and one character."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from teleopd.drivers.clock import ClockMap
from teleopd.drivers.human_pose import MVN, Array, HumanPose, Skeleton
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.sequence import Order, SampleOrder
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceState, SourceUnavailable, state_of
from teleopd.drivers.udp import Address, Tap, UdpListener
from teleopd.drivers.xsens import tables, wire
from teleopd.drivers.xsens.characters import who_is_streamed
from teleopd.drivers.xsens.reassembly import Reassembler
from teleopd.drivers.xsens.scale import NullPose, read_null_pose
from teleopd.drivers.xsens.tcp import TcpListener

DECLARED_HZ = 60.0
"""Until it is measured: the slowest suit (Awinda), so that staleness is judged leniently."""
RATE_FRAMES = 300
"""Arrivals the measured rate is taken over: 5 s at 60 Hz."""
RATE_AFTER_NS = 250_000_000
"""Shortest span a rate is measured on [ns]."""
PAUSE_NS = 500_000_000
"""A longer silence is a pause, and its length no part of the rate."""
REBIND_NS = 1_000_000_000
"""After so long of silence the same computer may go on from another port: MVN was restarted. Another one never may."""
MAX_FOREIGN_NAMED = 16
MAX_NAME = 40
"""Longest character name kept."""
NO_POSE_NS = 1_000_000_000
"""After so long without a pose, what else arrives is worth a word: the streamer was set up without type 02."""
TRANSPORTS = ("udp", "tcp")

log = logging.getLogger(__name__)


class XsensSource:
    """MVN type 02 datagrams -> `HumanPose` of the 23 MVN segments: metres, Z-up, wxyz, identity in the T-pose."""

    name = "xsens"
    skeleton: Skeleton = MVN

    def __init__(
        self, *, host: str = "0.0.0.0", port: int = wire.DEFAULT_PORT, character: int | None = None,
        transport: Literal["udp", "tcp"] = "udp",
    ) -> None:  # fmt: skip
        """Nothing is opened yet.

        Args:
            host, port: where to listen (0: any free port).
            character: MVN id, 0 to 255; None for the first one heard.
            transport: 'udp', or 'tcp', to which MVN connects.

        Raises:
            SourceUnavailable: impossible port or character, unknown transport.
        """
        if transport not in TRANSPORTS:
            raise SourceUnavailable(f"transport is '{transport}'; choose one of {', '.join(TRANSPORTS)}")
        if character is not None and not 0 <= character <= 255:
            raise SourceUnavailable(f"character is {character}; give 0 to 255")
        self.counters = SourceCounters()
        self.nominal_hz = DECLARED_HZ
        self.sender: Address | None = None
        """The one computer and port that is listened to; None until its first valid datagram."""
        self.foreign_senders: list[Address] = []
        """The first few others that were heard."""
        self.character_name = ""
        self.null_pose: NullPose | None = None
        """Segment origins in the T-pose, once MVN sent them."""
        self.other_messages: dict[int, int] = {}
        """Message type -> datagrams recognised but not a pose."""
        self.characters: dict[int, str] = {}
        """Ids heard so far -> their names, as far as MVN sent them."""
        self.extras: tables.Extras | None = None
        """Props and fingers of the newest pose; None where the stream has none."""
        self.resets = 0
        self._listener: UdpListener | TcpListener
        if transport == "udp":
            self._listener = UdpListener(host, port, wire.MAX_DATAGRAM, self.receive)
        else:
            self._listener = TcpListener(host, port, self.receive, self._refuse, self._connection_ended)
        self._listener.followed = lambda: self.sender
        self._character = character
        self._order = SampleOrder()
        self._clock = ClockMap()
        self._parts = Reassembler()
        self._valid: npt.NDArray[np.bool_] = np.ones(wire.SEGMENTS, dtype=np.bool_)
        self._valid.setflags(write=False)
        self._quat: Array | None = None
        self._newest = NewestPose(self.counters)
        self._arrivals: deque[int] = deque(maxlen=RATE_FRAMES)
        self._heard_ns = 0
        self._pose_or_start_ns = 0

    @property
    def port(self) -> int:
        """Port listened on; the real one once open."""
        return self._listener.port

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> SourceState:
        """Where the source stands at `now_ns`: CLOSED before and after, STALE when no pose came for 3 periods."""
        newest_ns = self._arrivals[-1] if self._arrivals else None
        return state_of(is_open=self._newest.is_open, newest_ns=newest_ns, now_ns=now_ns, hz=self.nominal_hz)

    async def open(self) -> None:
        """Listen.

        Raises:
            SourceUnavailable: the port is taken, or the address is not this computer's.
        """
        self._listener.open()
        self._newest.begin()

    def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed. One consumer."""
        return self._newest.poses()

    async def close(self) -> None:
        """Stop listening and end `poses()`; safe to call twice."""
        self._listener.close()
        self._newest.end()

    def record(self, tap: Tap) -> None:
        """Show every datagram that arrives to `tap` first."""
        self._listener.tap = tap

    def take(self) -> HumanPose | None:
        """The pose the last `receive` made, once; for feeding by hand instead of `open` and `poses`."""
        return self._newest.take()

    def receive(self, data: memoryview, sender: Address, now_ns: int) -> None:
        """Take one datagram received at `now_ns`; never raises, every one that cannot be used is counted."""
        self.counters.received += 1
        try:
            if not self._is_ours(sender, now_ns):
                self._refuse_sender(data, sender)
                return
            header = wire.read_header(data)
            payload = data[wire.HEADER_SIZE :]
            if self._character is None:
                self._character = header.character
            if header.character != self._character:
                self._take_bystander(header, payload)
                return
            self._bind(sender, now_ns)
            if header.kind == wire.POSE:
                self._take_pose(header, payload, now_ns)
            else:
                self._take_other(header, payload, now_ns)
        except ProtocolError as error:
            self._refuse(error)

    def _refuse(self, error: ProtocolError) -> None:
        self.counters.reject(error.reason, str(error))

    def _connection_ended(self, peer: Address, now_ns: int) -> None:
        """A TCP sender hung up: the same computer may come back at once."""
        if peer == self.sender:
            self._heard_ns = now_ns - REBIND_NS - 1

    def _is_ours(self, sender: Address, now_ns: int) -> bool:
        if self.sender is None or sender == self.sender:
            return True
        return sender[0] == self.sender[0] and now_ns - self._heard_ns > REBIND_NS

    def _refuse_sender(self, data: memoryview, sender: Address) -> None:
        """Count and name it; MVN itself sends every further character from a port of its own.

        Raises:
            ProtocolError: a datagram of the followed computer that cannot be read.
        """
        assert self.sender is not None
        if sender[0] == self.sender[0] and bytes(data[:4]) == b"MXTP":
            header = wire.read_header(data)
            if header.character != self._character:
                self._take_bystander(header, data[wire.HEADER_SIZE :])
                return
        self.counters.foreign += 1
        if sender not in self.foreign_senders and len(self.foreign_senders) < MAX_FOREIGN_NAMED:
            self.foreign_senders.append(sender)
            log.warning("xsens: ignoring %s:%d; listening to %s:%d", *sender, *self.sender)

    def _bind(self, sender: Address, now_ns: int) -> None:
        """Only after a valid header: a stray datagram must not lock the real sender out."""
        if sender != self.sender:
            if self.sender is not None:
                self._begin_anew()
                self._order = SampleOrder(lost=self._order.lost)
            self._pose_or_start_ns = now_ns
        self.sender = sender
        self._heard_ns = now_ns

    def _take_bystander(self, header: wire.Header, payload: memoryview) -> None:
        """Another character: counted and named, never followed."""
        self._note_name(header, payload)
        assert self._character is not None
        self.counters.reject("other_character", who_is_streamed(self.characters, self._character))

    def _note_name(self, header: wire.Header, payload: memoryview) -> None:
        name = self.characters.setdefault(header.character, "")
        if header.kind == wire.META:
            self.characters[header.character] = wire.read_meta(payload).get("name", name)[:MAX_NAME]

    def _take_other(self, header: wire.Header, payload: memoryview, now_ns: int) -> None:
        if header.kind == wire.META:
            self._note_name(header, payload)
            self.character_name = self.characters[header.character]
        elif header.kind == wire.SCALE:
            null_pose = read_null_pose(payload)
            self.null_pose = null_pose if null_pose.names else self.null_pose
        self._check_there_are_poses(header.kind, now_ns)
        self.other_messages[header.kind] = self.other_messages.get(header.kind, 0) + 1

    def _check_there_are_poses(self, kind: int, now_ns: int) -> None:
        """Other types are welcome beside type 02.

        Raises:
            ProtocolError: wrong_type, when they are all there is.
        """
        waited = now_ns - self._pose_or_start_ns > NO_POSE_NS
        if kind in wire.OTHER_POSES and (waited or not self._arrivals):
            what = f"pose type {kind:02d} ({wire.OTHER_POSES[kind]}) is streamed"
        elif kind in wire.ADDITIONS and waited:
            what = f"type {kind:02d} ({wire.ADDITIONS[kind]}) is streamed, but no pose"
        else:
            return
        raise ProtocolError(
            "wrong_type",
            f"{what}; in MVN's network streamer choose 'Position + Orientation (Quaternion)', type 02",
        )

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
            self.extras = None
            if header.props or header.fingers:
                self.extras = wire.read_extras(header, whole)

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
        self._newest.put(HumanPose(
            skeleton=MVN, seq=header.sample, t_ns=now_ns,
            t_source_ns=self._clock.to_monotonic(header.time_code_ms * 1_000_000, now_ns), pos_w=pose.pos_w,
            quat_w=quat, valid=self._valid, deadman=False, resets=self.resets, buttons=frozenset(),
        ))  # fmt: skip
        if header.character not in self.characters:
            self.characters[header.character] = ""
        self._pose_or_start_ns = now_ns
        self._measure_rate(now_ns)

    def _measure_rate(self, now_ns: int) -> None:
        if self._arrivals and now_ns - self._arrivals[-1] > PAUSE_NS:
            self._arrivals.clear()
        self._arrivals.append(now_ns)
        span_ns = now_ns - self._arrivals[0]
        if span_ns >= RATE_AFTER_NS:
            self.nominal_hz = (len(self._arrivals) - 1) * 1e9 / span_ns
