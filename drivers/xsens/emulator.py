"""An Xsens MVN network streamer on any host and port: a motion clip as true MVN datagrams, with faults on request."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from teleopd.drivers.faults import FaultPlan, Faults
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.resampling import null_pose, resample
from teleopd.drivers.source import SourceError, SourceUnavailable
from teleopd.drivers.xsens import wire

RATE_HZ = (1.0, 1000.0)
INFO_PERIOD_S = 1.0
"""Name (12) and null pose (13) are repeated so often, so that a receiver that joins late learns them."""


class EmulatorError(SourceError, ValueError):
    """An emulator setting outside its range."""


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to send, how fast, and what goes wrong on the way."""

    host: str = "127.0.0.1"
    """Receiver's address."""
    port: int | None = None
    """Receiver's UDP port; None: MVN's own, 9763."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: the clip's."""
    character: int = 0
    """MVN character id, 0 to 255."""
    loss: float = 0.0
    """Share of pose datagrams lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Largest random extra delay [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From this stream time on [s] the pose stands still while counters run, as when a sensor drops out of MVN."""
    freeze_s: float = 1.0
    """How long it stands still [s]."""
    seed: int = 0
    """Seed of the faults."""


class XsensEmulator:
    """Sends a clip at absolute deadlines; one missed by a whole period is skipped, never caught up in a burst."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range."""
        self._options = options = options or EmulatorOptions()
        rate_hz = clip.fps if options.rate_hz is None else options.rate_hz
        if not RATE_HZ[0] <= rate_hz <= RATE_HZ[1]:
            raise EmulatorError(f"rate is {rate_hz} Hz; give {RATE_HZ[0]:.0f} to {RATE_HZ[1]:.0f}")
        if not 0 <= options.character <= 255:
            raise EmulatorError(f"character is {options.character}; give 0 to 255")
        self.clip = resample(clip, rate_hz)
        self.port = wire.DEFAULT_PORT if options.port is None else options.port
        if not 1 <= self.port <= 65535:
            raise EmulatorError(f"port {self.port} is not between 1 and 65535")
        self.sent = 0
        """Pose datagrams handed to the network."""
        self.skipped = 0
        """Frames whose deadline had passed by a whole period."""
        self.unsent = 0
        """Datagrams the network refused."""
        self._faults = FaultPlan(Faults(options.loss, options.jitter_ms, options.dup, options.reorder), options.seed)
        self._null_pose = null_pose(self.clip)
        self._on_the_way: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()

    @property
    def address(self) -> str:
        """Where the datagrams go, as text."""
        return f"udp://{self._options.host}:{self.port}"

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Send the clip once, or again and again, for at most `seconds` [s]; `progress` hears the stream time [s].

        Each repetition is a new recording: counter and time code start at zero, as MVN's do.

        Raises:
            SourceUnavailable: the receiver's address cannot be reached.
        """
        with self._connect() as sock:
            frames = len(self.clip.pos_w)
            total = frames if seconds is None else round(seconds * self.clip.fps)
            if not loop:
                total = min(total, frames)
            elif seconds is None:
                total = 1 << 62
            period_ns, start_ns, frame = 1e9 / self.clip.fps, time.monotonic_ns(), 0
            while frame < total:
                due_ns = start_ns + int(frame * period_ns)
                await self._sleep_until(due_ns, sock)
                late = int((time.monotonic_ns() - due_ns) / period_ns)
                if late:
                    skip = min(late, total - 1 - frame)
                    self.skipped += skip
                    frame += skip
                    due_ns = start_ns + int(frame * period_ns)
                self._emit(frame % frames, due_ns, int(period_ns), sock)
                frame += 1
                if progress is not None:
                    progress(frame / self.clip.fps)
            while self._on_the_way:
                await self._sleep_until(self._on_the_way[0][0], sock)

    def datagrams(self, frame: int) -> tuple[bytes, list[bytes]]:
        """Pose datagram of a frame, and the character information that goes along with it (mostly none)."""
        fps, options = self.clip.fps, self._options
        stamp = {"sample": frame, "time_code_ms": int(1000 * frame / fps + 0.5), "character": options.character}
        shown = self._shown(frame)
        pose = wire.encode_pose(self.clip.pos_w[shown], self.clip.quat_w[shown], **stamp)
        if frame % max(1, round(INFO_PERIOD_S * fps)):
            return pose, []
        tags = {"name": self.clip.name.replace("\n", " "), "xmid": "emulated", "color": "3399ff"}
        return pose, [wire.encode_meta(tags, **stamp), wire.encode_null_pose(self._null_pose, **stamp)]

    def _shown(self, frame: int) -> int:
        """Index of the clip frame whose pose is sent."""
        start_s = self._options.freeze_at_s
        if start_s is None:
            return frame
        first = round(start_s * self.clip.fps)
        return first if first <= frame < first + round(self._options.freeze_s * self.clip.fps) else frame

    def _emit(self, frame: int, due_ns: int, period_ns: int, sock: socket.socket) -> None:
        pose, info = self.datagrams(frame)
        for datagram in info:
            self._send(datagram, sock)
        for leaves_ns in self._faults.departures(due_ns, period_ns):
            heapq.heappush(self._on_the_way, (leaves_ns, next(self._order), pose))
        self._send_due(time.monotonic_ns(), sock)

    async def _sleep_until(self, due_ns: int, sock: socket.socket) -> None:
        """Sleep to a deadline, sending what leaves before it."""
        while True:
            now_ns = time.monotonic_ns()
            self._send_due(now_ns, sock)
            next_ns = min(due_ns, self._on_the_way[0][0]) if self._on_the_way else due_ns
            if now_ns >= due_ns:
                return
            await asyncio.sleep(max(0, next_ns - now_ns) / 1e9)

    def _send_due(self, now_ns: int, sock: socket.socket) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= now_ns:
            self.sent += self._send(heapq.heappop(self._on_the_way)[2], sock)

    def _send(self, datagram: bytes, sock: socket.socket) -> bool:
        try:
            sock.send(datagram)
        except ConnectionRefusedError:
            try:  # reports that an *earlier* datagram found nobody listening; this one was not sent yet
                sock.send(datagram)
            except OSError:
                self.unsent += 1
                return False
        except OSError:
            self.unsent += 1
            return False
        return True

    def _connect(self) -> socket.socket:
        host = self._options.host
        try:
            family, kind, proto, _, address = socket.getaddrinfo(host, self.port, type=socket.SOCK_DGRAM)[0]
            sock = socket.socket(family, kind, proto)
        except OSError as error:
            raise SourceUnavailable(f"cannot send to '{host}': {error.strerror}") from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.connect(address)
        except OSError as error:
            sock.close()
            raise SourceUnavailable(f"cannot send to {host}:{self.port}: {error.strerror}") from None
        return sock
