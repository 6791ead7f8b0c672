"""The Virtual Motion Capture protocol as a `Source`: OSC over UDP, latest wins, bound to one sender."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import numpy as np

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.clock import ClockMap
from teleopd.drivers.human_pose import MVN, Array, HumanPose, Skeleton
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.sender import BoundSender
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceState, state_of
from teleopd.drivers.udp import Address, Tap, UdpListener
from teleopd.drivers.vmc import humanoid, wire
from teleopd.drivers.vmc.assembly import FrameAssembler

DECLARED_HZ = 60.0
"""Until it is measured: what most senders do."""
CLOCK_BACK_S = 0.2
"""Sender time that goes back so far was restarted."""
CLOCKS_APART_S = 1.0
"""Sender time that advanced so much more or less than ours was restarted or paused."""


class VmcSource:
    """Humanoid bones -> `HumanPose` of the 23 MVN segments: metres, Z-up, wxyz, identity in the T-pose."""

    name = "vmc"
    skeleton: Skeleton = MVN

    def __init__(self, *, host: str = "0.0.0.0", port: int = wire.DEFAULT_PORT) -> None:
        """`host`, `port`: where to listen (0: any free port); raises SourceUnavailable for an impossible port."""
        self.counters = SourceCounters()
        self.resets = 0
        self.other_messages = 0
        """Messages of the protocol, or of another over OSC, that say nothing about the body."""
        self._sender = BoundSender(self.name, self.counters)
        self._listener = UdpListener(host, port, wire.MAX_DATAGRAM, self.receive)
        self._listener.followed = lambda: self._sender.address
        self._assembler = FrameAssembler()
        self._rate = ArrivalRate(DECLARED_HZ)
        self._clock = ClockMap()
        self._time: tuple[float, int] | None = None
        self._status: wire.Status | None = None
        self._plan: humanoid.Plan | None = None
        self._held: tuple[Array, Array] | None = None
        self._broken = False  # something came between: the next pose does not continue the one before
        self._newest = NewestPose(self.counters)

    @property
    def port(self) -> int:
        """UDP port listened on; the real one once open."""
        return self._listener.port

    @property
    def sender(self) -> Address | None:
        """The one that is listened to; None until its first valid packet."""
        return self._sender.address

    @property
    def foreign_senders(self) -> list[Address]:
        """The first few others that were heard."""
        return self._sender.foreign

    @property
    def nominal_hz(self) -> float:
        """Measured frame rate [Hz]; 60 until there is one."""
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
            SourceUnavailable: python-osc is missing, the port is taken, or the address is not this computer's.
        """
        wire.check_available()
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
        if not self._sender.admits(sender, now_ns):
            return
        try:
            raw = bytes(data)
            packet = wire.decode(raw)
            self.other_messages += packet.skipped
            if packet.is_vmc:
                self._take(packet, raw, sender, now_ns)
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))

    def _take(self, packet: wire.Packet, raw: bytes, sender: Address, now_ns: int) -> None:
        if self._sender.bind(sender, now_ns):
            self._begin_anew()
        if packet.time_s is not None:
            if self._time is not None and -CLOCK_BACK_S <= packet.time_s - self._time[0] < 0.0:
                self.counters.reordered += 1  # overtaken by a frame that is in use already
                return
            self._take_time(packet.time_s, now_ns)
        if packet.status is not None:
            self._status = packet.status
        if not packet.transforms:
            return
        whole = self._assembler.add(packet.transforms, raw, now_ns, 1e9 / self._rate.hz)
        self.counters.lost = self._assembler.incomplete
        self.counters.duplicated = self._assembler.duplicated
        if whole is not None:
            self._check_status()
            self._publish(whole, now_ns)

    def _take_time(self, time_s: float, now_ns: int) -> None:
        if self._time is not None:
            passed_s = time_s - self._time[0]
            if passed_s < -CLOCK_BACK_S or abs(passed_s - (now_ns - self._time[1]) / 1e9) > CLOCKS_APART_S:
                self._clock.reset()
                self._broken = True
        self._time = time_s, now_ns

    def _check_status(self) -> None:
        status = self._status
        if status is None:
            return
        if not status.loaded:
            reason, sentence = "not_loaded", "the sending program has no avatar loaded"
        elif status.calibration is not None and status.calibration != wire.CALIBRATED:
            reason, sentence = "not_calibrated", "the sending program is not calibrated; calibrate it in the T-pose"
        elif status.tracking is False:
            reason, sentence = "tracking_bad", "the sending program says that its tracking is bad"
        else:
            return
        self._broken = True
        raise ProtocolError(reason, sentence)

    def _begin_anew(self) -> None:
        """Another program: its clock, its avatar and its place have nothing to do with the one before."""
        self._assembler.clear()
        self._clock.reset()
        self._time = self._status = None
        self._broken = True

    def _publish(self, frame: dict[str, wire.Transform], now_ns: int) -> None:
        if self._plan is None or self._plan.bones != frame.keys():
            self._plan = humanoid.plan(frozenset(frame))
        pos, quat, valid = humanoid.person(frame, self._plan)
        if self._held is not None:
            quat[np.vecdot(quat, self._held[1]) < 0.0] *= -1.0
            if not valid.all():
                pos[~valid], quat[~valid] = self._held[0][~valid], self._held[1][~valid]
            self.resets += self._broken
        self._broken = False
        self._held = pos.copy(), quat.copy()
        t_source_ns = now_ns if self._time is None else self._clock.to_monotonic(int(self._time[0] * 1e9), now_ns)
        self._newest.put(HumanPose(
            skeleton=MVN, seq=self._assembler.frames - 1, t_ns=now_ns, t_source_ns=t_source_ns, pos_w=pos, quat_w=quat,
            valid=valid, deadman=False, resets=self.resets, buttons=frozenset(),
        ))  # fmt: skip
        self._rate.arrived(now_ns)
