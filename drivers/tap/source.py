"""A recorded capture as a live source: every packet, byte for byte, through its device's own source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from teleopd.drivers.home import expanded
from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.messages import Kind
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import ProtocolError, SourceCounters, SourceError, SourceState, SourceUnavailable, state_of
from teleopd.drivers.tap.capture import DEVICES, Arrival, device_of, guess_device, read_capture
from teleopd.drivers.udp import Address
from teleopd.drivers.vmc import wire as vmc
from teleopd.drivers.vmc.source import VmcSource
from teleopd.drivers.xsens.source import XsensSource

HARMLESS = frozenset({"stop"})
"""Recorded buttons that are handed on like an operator's: no other is anybody's hand, as with the deadman."""
_TO_SERVER = (
    Kind.CONNECT, Kind.DISCOVERY, Kind.REQUEST, Kind.REQUEST_MODELDEF, Kind.REQUEST_FRAMEOFDATA, Kind.KEEPALIVE,
    Kind.ECHOREQUEST, Kind.DISCONNECT,
)  # fmt: skip
"""Messages a NatNet client sends; a capture made by another program holds them too."""


class TapError(SourceError, ValueError):
    """A capture that cannot be played, or an option that cannot be; one sentence."""


class Player(Protocol):
    """A device's source, fed by hand: it opens nothing."""

    counters: SourceCounters

    @property
    def nominal_hz(self) -> float:
        """The device's rate [Hz]."""

    def feed(self, arrival: Arrival, now_ns: int) -> HumanPose | None:
        """Take one packet received at `now_ns` [monotonic]; the pose it made."""


class TapSource:
    """Implements `Source`. Packets come at their recorded distances; a late consumer gets the newest pose.

    The device's code sees the recorded times whatever the speed, and so decides as it did live; of NatNet the echoes
    are left out, which answer a clock that is gone: its time is mapped by the least delayed frame. A recorded deadman
    is nobody's hand, so poses carry none unless asked for.
    """

    name = "tap"
    skeleton: Skeleton = MVN

    def __init__(
        self,
        file: str,
        *,
        device: str = "",
        speed: float = 1.0,
        keep_deadman: bool = False,
        character: int | None = None,
        person: str | None = None,
        up_axis: str = "y",
        deadman: str = "either_grip",
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Read the file; clock and sleep are injected by tests.

        Args:
            file: pcap or pcapng.
            device: xsens, optitrack, pico, network or vmc; '' finds out.
            speed: times real time, above 0.
            keep_deadman: hand on the recorded deadman and all buttons, not only `stop`; for virtual robots.
            character, person, up_axis, deadman: as of the device's own source.

        Raises:
            SourceUnavailable: the file cannot be read, or is of vmc and python-osc is missing.
            TapError: it holds nothing of a device, or an option is wrong.
        """
        if not 0.0 < speed < float("inf"):
            raise TapError(f"speed is {speed}; give a number above 0, 1 for real time")
        if device and device not in DEVICES:
            raise TapError(f"device is '{device}'; choose one of {', '.join(DEVICES)}")
        capture = read_capture(expanded(file, SourceUnavailable))
        self.device = device or guess_device(capture.arrivals) or ""
        if not self.device:
            raise TapError(
                capture.trouble and f"{file}: {capture.trouble}"
                or f"{file} holds no packets of {', '.join(DEVICES[:-1])} or {DEVICES[-1]}"
            )
        arrivals = [a for a in capture.arrivals if device_of(a) == self.device]
        if not arrivals:
            raise TapError(f"{file} holds no packets of {self.device}")
        self._arrivals = sorted(arrivals, key=lambda arrival: arrival.t_ns)
        self._player: Player
        if self.device == "xsens":
            self._player = _DatagramPlayer(XsensSource(character=character))
        elif self.device == "network":
            self._player = _DatagramPlayer(NetworkSource())
        elif self.device == "vmc":
            vmc.check_available()
            self._player = _DatagramPlayer(VmcSource())
        elif self.device == "pico":
            self._player = _PicoPlayer(deadman)
        else:
            self._player = _NatNetPlayer(self._arrivals, person, up_axis)
        self.cut_short = capture.trouble
        """Why the end of the file could not be read; '' for a whole file."""
        self._speed, self._keep_deadman = speed, keep_deadman
        self._clock_ns, self._sleep = clock_ns, sleep
        self._next = 0
        self._newest_ns: int | None = None
        self._open = False

    @property
    def nominal_hz(self) -> float:
        """The device's, times the speed [Hz]."""
        return self._player.nominal_hz * self._speed

    @property
    def counters(self) -> SourceCounters:
        """The device's, as they would have been live."""
        return self._player.counters

    @property
    def duration_s(self) -> float:
        """From the first packet to the last [s], at speed 1."""
        return (self._arrivals[-1].t_ns - self._arrivals[0].t_ns) / 1e9

    @property
    def state(self) -> SourceState:
        """CONNECTING until the first pose, STALE when none came for 3 periods, CLOSED before, after and at the end."""
        now_ns = self._clock_ns()
        return state_of(is_open=self._open, newest_ns=self._newest_ns, now_ns=now_ns, hz=self.nominal_hz)

    async def open(self) -> None:
        """Begin; the file was read at construction."""
        self._open = True

    async def close(self) -> None:
        """Stop; safe to call twice."""
        self._open = False

    async def poses(self) -> AsyncIterator[HumanPose]:
        """The newest pose whenever packets that were due made one; ends, and closes, after the last packet."""
        start_ns = self._clock_ns()
        while self._open and self._next < len(self._arrivals):
            await self._sleep(max(self._due_ns(start_ns) - self._clock_ns(), 0) / 1e9)
            now_ns, newest = self._clock_ns(), None
            while self._open and self._next < len(self._arrivals) and self._due_ns(start_ns) <= now_ns:
                due_ns = self._due_ns(start_ns)
                pose = self._feed_next(start_ns)
                if pose is not None:
                    age_ns = pose.t_ns - pose.t_source_ns
                    newest = pose._replace(t_ns=due_ns, t_source_ns=due_ns - age_ns)
            if newest is not None:
                self.counters.delivered += 1
                self._newest_ns = now_ns
                yield newest
        self._open = False

    def step(self, start_ns: int = 0) -> HumanPose | None:
        """The next pose, without a clock: stamps are `start_ns` plus the recorded distance; None at the end."""
        while self._next < len(self._arrivals):
            pose = self._feed_next(start_ns)
            if pose is not None:
                self.counters.delivered += 1
                return pose
        return None

    def _due_ns(self, start_ns: int) -> int:
        return start_ns + int((self._arrivals[self._next].t_ns - self._arrivals[0].t_ns) / self._speed)

    def _feed_next(self, start_ns: int) -> HumanPose | None:
        arrival = self._arrivals[self._next]
        self._next += 1
        pose = self._player.feed(arrival, start_ns + arrival.t_ns - self._arrivals[0].t_ns)
        if pose is None or self._keep_deadman:
            return pose
        return pose._replace(deadman=False, buttons=pose.buttons & HARMLESS)


class _DatagramPlayer:
    def __init__(self, source: XsensSource | NetworkSource | VmcSource) -> None:
        self._source = source
        self.counters = source.counters

    @property
    def nominal_hz(self) -> float:
        return self._source.nominal_hz

    def feed(self, arrival: Arrival, now_ns: int) -> HumanPose | None:
        self._source.receive(memoryview(arrival.payload), arrival.source, now_ns)
        return self._source.take()


class _PicoPlayer:
    def __init__(self, deadman: str) -> None:
        self._source = PicoSource(deadman=deadman)
        self.counters = self._source.counters

    @property
    def nominal_hz(self) -> float:
        return self._source.nominal_hz

    def feed(self, arrival: Arrival, now_ns: int) -> HumanPose | None:
        self._source.receive(arrival.payload, now_ns)
        return self._source.take()


class _NatNetPlayer:
    def __init__(self, arrivals: list[Arrival], person: str | None, up_axis: str) -> None:
        self._server = _server_of(arrivals)
        self._source = NatNetSource(
            host=self._server[0], port=self._server[1], person=person, up_axis=up_axis, group="none"
        )
        self.counters = self._source.counters

    @property
    def nominal_hz(self) -> float:
        return self._source.nominal_hz

    def feed(self, arrival: Arrival, now_ns: int) -> HumanPose | None:
        if natnet.read_header(arrival.payload)[0] in _TO_SERVER:
            return None
        self._source.receive(memoryview(arrival.payload), arrival.source, now_ns)
        return self._source.take()


def _server_of(arrivals: list[Arrival]) -> Address:
    """Where the first SERVERINFO came from.

    Raises:
        TapError: there is none, and so no telling which bitstream the frames are in.
    """
    for arrival in arrivals:
        try:
            if natnet.read_header(arrival.payload)[0] is Kind.SERVERINFO and arrival.source[1]:
                return arrival.source
        except ProtocolError:
            continue
    raise TapError(
        "the capture holds no answer of Motive to a CONNECT (SERVERINFO), which says how its frames are to be read; "
        "start recording before the client connects"
    )
