"""Somebody's program that sends poses: a motion clip as `teleopd.pose/1` frames, with faults on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from teleopd.drivers.emulation import at_rate, fault_plan, port_or, shown_frame
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.network import wire
from teleopd.drivers.network.websocket import PATH
from teleopd.drivers.pacing import Pacer
from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.udp_sender import UdpSender

if TYPE_CHECKING:
    import aiohttp

QUEUE = 64
"""Frames that may wait for a slow WebSocket; then new ones are dropped."""


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Where to send, how, how fast, and what goes wrong on the way."""

    host: str = "127.0.0.1"
    """Receiver's address."""
    port: int | None = None
    """Receiver's port; None: 9870."""
    rate_hz: float | None = None
    """Frames per second [Hz]; None: the clip's."""
    transport: Literal["udp", "websocket"] = "udp"
    encoding: Literal["json", "msgpack"] = "json"
    token: str | None = None
    """Shown to a WebSocket server."""
    up: Literal["z", "y"] = "z"
    """Axes of the frames."""
    deadman: bool = False
    """The operator holds the deadman."""
    loss: float = 0.0
    """Share of frames lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Largest random extra delay [ms]."""
    dup: float = 0.0
    """Share sent twice, 0 to 1."""
    reorder: float = 0.0
    """Share sent after their successor, 0 to 1."""
    freeze_at_s: float | None = None
    """From this stream time on [s] the pose stands still while counters run."""
    freeze_s: float = 1.0
    """How long it stands still [s]."""
    seed: int = 0
    """Seed of the faults."""


class NetworkEmulator:
    """Sends a clip at absolute deadlines; one missed by a whole period is skipped, never caught up in a burst."""

    options = EmulatorOptions

    def __init__(self, clip: MotionClip, options: EmulatorOptions | None = None) -> None:
        """Raises EmulatorError or FaultError for an option outside its range."""
        self._options = options = options or EmulatorOptions()
        self.clip = at_rate(clip, options.rate_hz)
        self.port = port_or(options.port, wire.DEFAULT_PORT)
        self.sent = 0
        """Frames handed to the network."""
        self.skipped = 0
        """Frames whose deadline had passed by a whole period."""
        self.pressed: bool | None = None
        """Set by whoever plays the operator: the deadman is held, or not; None: as the options say."""
        self._faults = fault_plan(options)

    @property
    def address(self) -> str:
        """Where the frames go, as text."""
        if self._options.transport == "udp":
            return f"udp://{self._options.host}:{self.port}"
        return f"ws://{self._options.host}:{self.port}{PATH}"

    async def run(
        self, *, seconds: float | None = None, loop: bool = False, progress: Callable[[float], None] | None = None
    ) -> None:
        """Send the clip once, or again and again, for at most `seconds` [s]; `progress` hears the stream time [s].

        Each repetition is a new recording: counter and stamp start at zero.

        Raises:
            SourceUnavailable: the receiver cannot be reached, or refuses.
        """
        if self._options.transport == "udp":
            with UdpSender(self._options.host, self.port) as sender:
                try:
                    await self._play(sender.send, seconds, loop, progress)
                finally:
                    self.sent += sender.sent
        else:
            await self._run_websocket(seconds, loop, progress)

    def frame(self, number: int) -> bytes:
        """The bytes of a frame of the clip."""
        shown, options = self._shown(number), self._options
        pos, quat = self.clip.pos_w[shown], self.clip.quat_w[shown]
        if options.up == "y":
            pos, quat = pos[:, [1, 2, 0]], quat[:, [0, 2, 3, 1]]
        frame = wire.Frame(
            schema=wire.SCHEMA, seq=number, stamp_ns=int(number * 1e9 / self.clip.fps),
            names=self.clip.skeleton.body_names, pos_m=pos.tolist(), quat_wxyz=quat.tolist(), up=options.up,
            deadman=options.deadman if self.pressed is None else self.pressed,
        )  # fmt: skip
        return wire.encode(frame, options.encoding)

    def _shown(self, number: int) -> int:
        return shown_frame(number, self.clip.fps, self._options.freeze_at_s, self._options.freeze_s)

    async def _play(
        self, send: Callable[[bytes], None], seconds: float | None, loop: bool,
        progress: Callable[[float], None] | None,
    ) -> None:  # fmt: skip
        pacer, frames, period_ns = Pacer(send), len(self.clip.pos_w), int(1e9 / self.clip.fps)

        def emit(number: int, due_ns: int) -> None:
            for leaves_ns in self._faults.departures(due_ns, period_ns):
                pacer.leave(leaves_ns, self.frame(number % frames))

        try:
            await pacer.play(frames, self.clip.fps, emit, seconds=seconds, loop=loop, progress=progress)
        finally:
            self.skipped += pacer.skipped

    async def _run_websocket(
        self, seconds: float | None, loop: bool, progress: Callable[[float], None] | None
    ) -> None:
        try:
            import aiohttp
        except ImportError:
            raise SourceUnavailable(
                "transport websocket needs aiohttp; install it with: pip install 'teleopd[network]'"
            ) from None
        headers = {"Authorization": f"Bearer {self._options.token}"} if self._options.token is not None else {}
        try:
            async with aiohttp.ClientSession() as session, session.ws_connect(self.address, headers=headers) as socket:
                await self._stream(socket, seconds, loop, progress)
        except aiohttp.WSServerHandshakeError as error:
            raise SourceUnavailable(f"{self.address} refuses: HTTP status {error.status}") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise SourceUnavailable(f"cannot send to {self.address}: {error}") from None

    async def _stream(
        self, socket: aiohttp.ClientWebSocketResponse, seconds: float | None, loop: bool,
        progress: Callable[[float], None] | None,
    ) -> None:  # fmt: skip
        waiting: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)

        async def write() -> None:
            while True:
                data = await waiting.get()
                if self._options.encoding == "json":
                    await socket.send_str(data.decode())
                else:
                    await socket.send_bytes(data)
                self.sent += 1
                waiting.task_done()

        def send(data: bytes) -> None:
            if not waiting.full():
                waiting.put_nowait(data)

        playing = asyncio.create_task(self._play(send, seconds, loop, progress))
        writing, reading = asyncio.create_task(write()), asyncio.create_task(_until_closed(socket))
        try:
            await asyncio.wait((playing, writing, reading), return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                await asyncio.wait((asyncio.create_task(waiting.join()), writing, reading), timeout=2.0,
                                   return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        finally:
            for task in (playing, writing, reading):
                task.cancel()
            await asyncio.gather(playing, writing, reading, return_exceptions=True)
        if not playing.cancelled() and (failure := playing.exception()) is not None:
            raise failure


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read, so that pings are answered, until the server closes."""
    async for _ in socket:
        pass
