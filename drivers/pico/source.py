"""A PICO headset as a `Source`, through the XRoboToolkit PC service: latest wins, one headset, reconnecting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
import numpy.typing as npt

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.clock import ClockMap
from teleopd.drivers.human_pose import MVN, Array, HumanPose, Skeleton
from teleopd.drivers.newest import NewestPose
from teleopd.drivers.pico import messages, skeleton, wire
from teleopd.drivers.pico.body_time import STALE_NS, BodyState, BodyTime
from teleopd.drivers.pico.client import Link, PcServiceClient
from teleopd.drivers.pico.extras import PicoExtras, read_extras
from teleopd.drivers.pico.operator import Fingers, OperatorInput
from teleopd.drivers.pico.recentre import Recentre
from teleopd.drivers.pico.sdk_backend import SdkLink
from teleopd.drivers.pico.stamps import StampOrder
from teleopd.drivers.reconnect import Phase, Reconnect
from teleopd.drivers.sequence import Order
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceState, SourceUnavailable, state_of
from teleopd.drivers.udp import Tap

DECLARED_HZ = 72.0
"""Until it is measured: the slowest display rate."""
HELD_UP_NS = 50_000_000
"""A frame that much later than the least delayed ones was held up, and more are right behind it."""
MAX_NAMED = 16
WILDCARDS = ("0.0.0.0", "::", "")
"""Addresses that mean 'this computer' to whoever listens; here they say where the service runs."""

BACKENDS: Mapping[str, Callable[[str, int], Link]] = {"grpc": PcServiceClient, "sdk": SdkLink}

log = logging.getLogger(__name__)


class PicoSource:
    """24 body joints -> `HumanPose` of the 23 MVN segments: metres, Z-up, wxyz, identity in the T-pose."""

    name = "pico"
    skeleton: Skeleton = MVN

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = wire.DEFAULT_PORT,
        device: str | None = None,
        deadman: str = "either_grip",
        grip_threshold: float = 0.6,
        buttons: Mapping[str, str] | None = None,
        backend: str = "grpc",
        link: Link | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            host, port: where the PC service listens.
            device: serial number of the headset; None follows the first one heard.
            deadman: which grip must be held: either_grip, left_grip, right_grip, both_grips.
            grip_threshold: press depth of grips and triggers that counts, 0.2 to 1.
            buttons: PICO button -> the name under which a pose reports it; `stop`, `force_limit_up` and
                `force_limit_down` do something, and `episode_...`. Not given: b is `stop`, y `episode_toggle`.
            backend: 'grpc', our own client, or 'sdk', the vendor's kit in a child process.
            link: another way to the service than these.

        Raises:
            OperatorError: unknown deadman or button, threshold out of range.
            SourceUnavailable: unknown backend.
        """
        if backend not in BACKENDS:
            raise SourceUnavailable(f"backend is '{backend}'; choose one of {', '.join(BACKENDS)}")
        self.counters = SourceCounters()
        self.host = "127.0.0.1" if host in WILDCARDS else host
        self.port = port
        self.device = device
        """Serial number of the headset that is followed; None until one is heard."""
        self.foreign_devices: list[str] = []
        """The first few other headsets that were heard."""
        self.events: dict[str, int] = {}
        """Feedback name -> messages that were not tracking frames."""
        self.recentres = 0
        """Origin jumps seen."""
        self.repeated = 0
        """Frames whose body was the one before."""
        self.resets = 0
        self.reconnect = Reconnect()
        self._backend = backend
        self._link = link
        self._fingers = OperatorInput(deadman, grip_threshold, buttons)
        self._order = StampOrder()
        self._clock = ClockMap()
        self._body_time = BodyTime()
        self._recentre = Recentre()
        self._rate = ArrivalRate(DECLARED_HZ)
        self._valid: npt.NDArray[np.bool_] = np.ones(len(MVN.body_names), dtype=np.bool_)
        self._valid.setflags(write=False)
        self._quat: Array | None = None
        self._newest = NewestPose(self.counters, HELD_UP_NS)
        self._tracking: tuple[messages.Tracking, int] | None = None
        self._seq = -1
        self._broken = False  # something came between: the next pose does not continue the one before
        self._running: asyncio.Task[None] | None = None
        self._tap: Tap | None = None

    @property
    def nominal_hz(self) -> float:
        """Measured rate of new bodies [Hz]; 72 until there are some."""
        return self._rate.hz

    @property
    def state(self) -> SourceState:
        """Where the source stands now."""
        return self.state_at(time.monotonic_ns())

    def state_at(self, now_ns: int) -> SourceState:
        """Where the source stands at `now_ns`: STALE when no new body came for 3 periods, whatever else arrives."""
        newest_ns, hz = self._rate.newest_ns, self._rate.hz
        return state_of(is_open=self._newest.is_open, newest_ns=newest_ns, now_ns=now_ns, hz=hz)

    @property
    def extras(self) -> PicoExtras | None:
        """Head, controllers, hands and trackers of the newest frame; None before it, and when it cannot be read."""
        if self._tracking is None:
            return None
        try:
            return read_extras(*self._tracking)
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))
            return None

    def why_silent(self) -> str:
        """What keeps poses from coming, as one sentence; '' while nothing is known to."""
        if self.reconnect.phase is not Phase.CONNECTED:
            return self.reconnect.last_failure
        if wire.FIND not in self.events and wire.CONNECT not in self.events and not self.counters.received:
            return "the PC service runs, but no headset is connected to it; connect in XRoboToolkit on the headset"
        if not self.counters.received:
            return "a headset is connected, but sends no tracking; switch on 'Send' in XRoboToolkit on the headset"
        return self.counters.last_rejection

    async def open(self) -> None:
        """Start connecting, and keep at it until closed: service and headset may come later.

        Raises:
            SourceUnavailable: grpcio is not installed, or the port is impossible.
        """
        if self._newest.is_open:
            return
        if self._link is None:
            self._link = BACKENDS[self._backend](self.host, self.port)
        self._newest.begin()
        self._running = asyncio.create_task(self._stay_connected(self._link))

    def poses(self) -> AsyncIterator[HumanPose]:
        """Yield the newest pose each time there is a new one, until the source is closed. One consumer."""
        return self._newest.poses()

    async def close(self) -> None:
        """Leave the service and end `poses()`; safe to call twice."""
        self._newest.end()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def control(self, command: str) -> bool:
        """Send a JSON command to the followed headset; False when none is, or it could not be sent."""
        if self._link is None or self.device is None:
            return False
        return await self._link.control(self.device, command)

    def record(self, tap: Tap) -> None:
        """Show every message that arrives to `tap` first; port 0 of the receiver: it came over a connection of ours."""
        self._tap = tap

    def take(self) -> HumanPose | None:
        """The pose the last `receive` made, once; for feeding by hand instead of `open` and `poses`."""
        return self._newest.take()

    def _arrived(self, data: bytes, now_ns: int) -> None:
        if self._tap is not None:
            self._tap(data, (self.host, self.port), ("127.0.0.1", 0), now_ns)
        self.receive(data, now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take one message received at `now_ns`; never raises, every one that cannot be used is counted."""
        try:
            feedback = wire.decode_feedback(data)
            if feedback.name == wire.STATE and feedback.content is not None:
                self._take_state(feedback.device, feedback.content, now_ns)
            else:
                self._take_event(feedback)
        except ProtocolError as error:
            self.counters.received += 1
            self.counters.reject(error.reason, str(error))

    async def _stay_connected(self, link: Link) -> None:
        while self._newest.is_open:
            await asyncio.sleep(self.reconnect.wait_ns(time.monotonic_ns()) / 1e9)
            self.reconnect.begin(time.monotonic_ns())
            try:
                why = await link.run(self._connected, self._arrived)
            except Exception as error:  # whatever a transport does, the source goes on trying
                log.exception("pico: the connection failed")
                why = f"the connection failed: {type(error).__name__}: {messages.short(error)}"
            if self.reconnect.phase is Phase.CONNECTED:
                log.warning("pico: %s", why)
                self.counters.reject("connection", why)
            self.reconnect.failed(time.monotonic_ns(), why)
            self._interrupted()

    def _connected(self) -> None:
        self.reconnect.connected(time.monotonic_ns())

    def _interrupted(self) -> None:
        """Whatever comes next does not continue what came before."""
        self._broken = True
        self._fingers.release()
        self._order.paused()

    def _take_event(self, feedback: wire.Feedback) -> None:
        name = feedback.name if feedback.name in self.events or len(self.events) < MAX_NAMED else "other"
        self.events[name] = self.events.get(name, 0) + 1
        if name == wire.MISSING and feedback.device == self.device:
            self._interrupted()
            self.counters.reject("device_missing", f"headset {self.device} has left the PC service")

    def _take_state(self, device: str, text: bytes, now_ns: int) -> None:
        if self._is_other(device):
            return
        tracking = messages.read_tracking(text)
        if tracking is None:
            self.events[wire.STATE] = self.events.get(wire.STATE, 0) + 1
            return
        self.counters.received += 1
        try:
            self._take_tracking(device, tracking, now_ns)
        except ProtocolError as error:
            self.counters.reject(error.reason, str(error))

    def _is_other(self, device: str) -> bool:
        """Another headset than the followed one; it never takes over."""
        if self.device is None or device == self.device:
            return False
        self.counters.foreign += 1
        if device not in self.foreign_devices and len(self.foreign_devices) < MAX_NAMED:
            self.foreign_devices.append(device)
            self.counters.last_rejection = f"headset {device} streams too; {self.device} is followed"
            log.warning("pico: ignoring headset %s; following %s", device, self.device)
        return True

    def _take_tracking(self, device: str, tracking: messages.Tracking, now_ns: int) -> None:
        if not tracking.stamp_ns:
            raise ProtocolError("no_stamp", "a frame carries no timeStampNs; update XRoboToolkit on the headset")
        order = self._order.judge(tracking.stamp_ns, now_ns)
        self.counters.lost = self._order.lost
        if order is Order.DUPLICATE:
            self.counters.duplicated += 1
            return
        if order is Order.REORDERED:
            self.counters.reordered += 1
            return
        if order is Order.RESTART:
            self._clock.reset()
        t_source_ns = self._clock.to_monotonic(tracking.stamp_ns, now_ns)
        self._tracking = (tracking, now_ns)
        self._check_focus(tracking)
        joints = messages.body_joints(tracking)
        if not self._is_new(joints, now_ns):
            return
        pos, quat = skeleton.to_mvn(messages.read_poses([joint.p for joint in joints]))
        self.device = device
        self._publish(pos, quat, self._fingers.read(tracking), now_ns, t_source_ns)

    def _check_focus(self, tracking: messages.Tracking) -> None:
        if tracking.app is not None and not tracking.app.focus:
            self._interrupted()
            raise ProtocolError(
                "focus_lost", "XRoboToolkit is not in front on the headset: a menu is open, or the headset is off"
            )

    def _is_new(self, joints: list[messages.Joint], now_ns: int) -> bool:
        state = self._body_time.judge([joint.t for joint in joints], [joint.p for joint in joints], now_ns)
        if state is BodyState.STALE:
            self._interrupted()
            raise ProtocolError(
                "stale_body",
                f"the body has stood still for {STALE_NS / 1e6:.0f} ms though frames arrive: body tracking stopped; "
                "put the headset on, or calibrate the trackers again",
            )
        self.repeated += state is BodyState.REPEATED
        self._broken |= state is BodyState.RESTARTED
        return state is not BodyState.REPEATED

    def _publish(self, pos: Array, quat: Array, fingers: Fingers, now_ns: int, t_source_ns: int) -> None:
        if self._recentre.jumped(pos, quat, t_source_ns):
            self.recentres += 1
            self._broken = True
        if self._quat is not None and (self._broken or self._rate.paused(now_ns)):
            self.resets += 1
        self._broken = False
        if self._quat is not None:  # q and -q are one orientation: keep to the hemisphere of the pose before
            quat[np.vecdot(quat, self._quat) < 0.0] *= -1.0
        self._quat = quat
        self._seq += 1
        self._newest.put(HumanPose(
            skeleton=MVN, seq=self._seq, t_ns=now_ns, t_source_ns=t_source_ns, pos_w=pos, quat_w=quat,
            valid=self._valid, deadman=fingers.deadman, resets=self.resets, buttons=fingers.buttons,
        ))  # fmt: skip
        self._rate.arrived(now_ns)
