"""A PICO headset behind its PC service, on any port: a motion clip over true gRPC, with faults on request."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from teleopd.drivers.emulation import EmulatorError, check_rate
from teleopd.drivers.faults import FaultPlan, Faults
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.resampling import resample
from teleopd.drivers.pico import wire
from teleopd.drivers.pico.frames import TRACKERS, FrameWriter, Moment
from teleopd.drivers.pico.service import PcService

RATE_HZ = (1.0, 240.0)
DEFAULT_HZ = 90.0
"""The headset's highest display rate."""
CATCH_UP_S = 0.5
"""A stream over TCP loses nothing: frames held up come in a burst, unless they are later than this."""
CONNECTED = 1
"""Status in deviceConnect."""
JOINT_EPOCH_NS = 3_600_000_000_000
"""The body's clock at the first frame: an hour after the headset was switched on."""


WALL_OFFSET_NS = 1_700_000_000_000_000_000
"""The headset's wall clock less this host's monotonic one."""


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to listen, what to send, and what goes wrong on the way. Times count from the first frame."""

    host: str = "127.0.0.1"
    """Address the service listens on."""
    port: int | None = None
    """Its port; None: the PC service's own, 60061; 0: a free one."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: 90."""
    device: str = "PA9E10MGH0000000"
    """Serial number of the headset."""
    grip: float = 0.0
    """How deep both grips are held, 0 to 1: the operator's deadman."""
    grip_at_s: float = 0.0
    """From here on; a deadman that is held from the start is no press [s]."""
    hands: bool = False
    """Send both hands too."""
    trackers: int = 0
    """Motion trackers sent as objects, 0 to 3: left ankle, right ankle, waist."""
    digits: int = 9
    """Significant digits of every number, 6 to 17; with hands and 17 a frame exceeds 16,351 B."""
    wait_for_client: bool = True
    """Begin the motion when the first client connects."""
    loss: float = 0.0
    """Share of frames lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Largest random extra delay [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From here on the body stands still in frames with a running stamp, as when body tracking stops [s]."""
    freeze_s: float = 1.0
    """How long [s]."""
    focus_lost_at_s: float | None = None
    """From here on the app is in the background [s]."""
    focus_lost_s: float = 1.0
    """How long [s]."""
    recenter_at_s: float | None = None
    """From here on the world has another origin and heading [s]."""
    clock_jump_at_s: float | None = None
    """From here on the headset's wall clock is off [s]."""
    clock_jump_s: float = 5.0
    """By so much; negative: backwards [s]."""
    missing_at_s: float | None = None
    """The headset leaves the service here [s]."""
    missing_s: float = 1.0
    """And comes back after so long [s]."""
    seed: int = 0
    """Seed of the faults."""


class PicoEmulator:
    """Sends a clip at absolute deadlines to whoever watches."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range."""
        self._options = options = options or EmulatorOptions()
        rate_hz = DEFAULT_HZ if options.rate_hz is None else options.rate_hz
        _check(options, rate_hz)
        self.clip = resample(clip, rate_hz)
        self.port = wire.DEFAULT_PORT if options.port is None else options.port
        self.sent = 0
        """Frames handed to a client."""
        self.unsent = 0
        """Frames for which there was none."""
        self.skipped = 0
        """Frames that were too late to be sent."""
        self.service: PcService | None = None
        """While it runs."""
        self.pressed: bool | None = None
        """Set by whoever plays the operator: both grips are held, or not; None: as the options say."""
        self._faults = FaultPlan(Faults(options.loss, options.jitter_ms, options.dup, options.reorder), options.seed)
        self._writer = FrameWriter(
            self.clip, hands=options.hands, trackers=options.trackers, digits=options.digits,
            recentre=options.recenter_at_s is not None,
        )  # fmt: skip
        self._on_the_way: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()
        self._present = True

    @property
    def address(self) -> str:
        """Where the service listens, as text."""
        return f"grpc://{self._options.host}:{self.port}"

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Send the clip once, or again and again, for at most `seconds` [s]; `progress` hears the stream time [s].

        Raises:
            SourceUnavailable: grpcio is missing, the port is taken or the address is not this computer's.
        """
        service = self.service = PcService(self._options.host, self.port)
        service.greeting = self._arrival()
        try:
            await service.start()
            self.port = service.port
            if self._options.wait_for_client:
                await service.watched.wait()
            await self._stream(service, self._total(seconds, loop), progress)
            service.publish(self._feedback(wire.MISSING))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(service.flush(), 1.0)
        finally:
            await service.stop()

    def frame(self, index: int, start_wall_ns: int) -> bytes:
        """The message of stream frame `index`, whose first frame was sent at that wall time [ns]."""
        options, t_s, frames = self._options, index / self.clip.fps, len(self.clip.pos_w)
        frozen = _within(t_s, options.freeze_at_s, options.freeze_s)
        body = round((options.freeze_at_s or 0.0) * self.clip.fps) if frozen else index
        jumped = options.clock_jump_at_s is not None and t_s >= options.clock_jump_at_s
        wall_ns = start_wall_ns + round(1e9 * (t_s + (options.clock_jump_s if jumped else 0.0)))
        moment = Moment(
            stamp_ns=wall_ns // 1_000_000 * 1_000_000,
            joint_time=JOINT_EPOCH_NS + round(1e9 * body / self.clip.fps),
            body=body % frames,
            devices=index % frames,
            recentred=options.recenter_at_s is not None and t_s >= options.recenter_at_s,
            focus=not _within(t_s, options.focus_lost_at_s, options.focus_lost_s),
            grip=self._grip(t_s),
        )
        return wire.encode_feedback(wire.Feedback(wire.STATE, options.device, None, self._writer.text(moment)))

    def _grip(self, t_s: float) -> float:
        """How deep both grips are held at this stream time [s], 0 to 1."""
        if self.pressed is None:
            return self._options.grip if t_s >= self._options.grip_at_s else 0.0
        return (self._options.grip or 1.0) if self.pressed else 0.0

    def _arrival(self) -> list[bytes]:
        return [self._feedback(wire.FIND), self._feedback(wire.CONNECT, CONNECTED)]

    def _feedback(self, name: str, status: int | None = None) -> bytes:
        return wire.encode_feedback(wire.Feedback(name, self._options.device, status))

    def _total(self, seconds: float | None, loop: bool) -> int:
        frames = len(self.clip.pos_w)
        if seconds is None:
            return 1 << 62 if loop else frames
        total = round(seconds * self.clip.fps)
        return total if loop else min(total, frames)

    async def _stream(self, service: PcService, total: int, progress: Callable[[float], None] | None) -> None:
        period_ns, start_ns, frame = 1e9 / self.clip.fps, time.monotonic_ns(), 0
        start_wall_ns = start_ns + WALL_OFFSET_NS
        while frame < total:
            due_ns = start_ns + int(frame * period_ns)
            await self._sleep_until(due_ns, service)
            late_ns = time.monotonic_ns() - due_ns
            if late_ns > CATCH_UP_S * 1e9:
                skip = min(int(late_ns / period_ns), total - 1 - frame)
                self.skipped += skip
                frame += skip
                due_ns = start_ns + int(frame * period_ns)
            self._emit(frame, start_wall_ns, due_ns, int(period_ns), service)
            frame += 1
            if progress is not None:
                progress(frame / self.clip.fps)
        while self._on_the_way:
            await self._sleep_until(self._on_the_way[0][0], service)

    def _emit(self, frame: int, start_wall_ns: int, due_ns: int, period_ns: int, service: PcService) -> None:
        missing = _within(frame / self.clip.fps, self._options.missing_at_s, self._options.missing_s)
        if missing == self._present:
            self._present = not missing
            for message in self._arrival() if self._present else [self._feedback(wire.MISSING)]:
                service.publish(message)
            service.greeting = self._arrival() if self._present else []
        if missing:
            return
        leaves = self._faults.departures(due_ns, period_ns)
        message = self.frame(frame, start_wall_ns) if leaves else b""
        for leaves_ns in leaves:
            heapq.heappush(self._on_the_way, (leaves_ns, next(self._order), message))
        self._send_due(time.monotonic_ns(), service)

    async def _sleep_until(self, due_ns: int, service: PcService) -> None:
        """Sleep to a deadline, sending what leaves before it; lets the server run even when late."""
        while True:
            now_ns = time.monotonic_ns()
            self._send_due(now_ns, service)
            next_ns = min(due_ns, self._on_the_way[0][0]) if self._on_the_way else due_ns
            await asyncio.sleep(max(0, next_ns - now_ns) / 1e9)
            if time.monotonic_ns() >= due_ns:
                return

    def _send_due(self, now_ns: int, service: PcService) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= now_ns:
            if service.publish(heapq.heappop(self._on_the_way)[2]):
                self.sent += 1
            else:
                self.unsent += 1


def _within(t_s: float, start_s: float | None, length_s: float) -> bool:
    return start_s is not None and start_s <= t_s < start_s + length_s


def _check(options: EmulatorOptions, rate_hz: float) -> None:
    check_rate(rate_hz, RATE_HZ)
    if not 0.0 <= options.grip <= 1.0:
        raise EmulatorError(f"grip is {options.grip}; give 0 to 1")
    if not 0 <= options.trackers <= len(TRACKERS):
        raise EmulatorError(f"trackers are {options.trackers}; give 0 to {len(TRACKERS)}")
    if not 6 <= options.digits <= 17:
        raise EmulatorError(f"digits are {options.digits}; give 6 to 17")
    port = wire.DEFAULT_PORT if options.port is None else options.port
    if not 0 <= port <= 65535:
        raise EmulatorError(f"port {port} is not between 0 and 65535")
