"""A connection to the XRoboToolkit PC service: gRPC without generated code. Bytes come out, in the order they came.

The service serves one client: whoever watches last stops the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from teleopd.drivers.pico import wire
from teleopd.drivers.source import SourceUnavailable

CONNECT_S = 2.0
"""Longest wait for the service to answer; it runs on this computer or one network away."""
BEAT_S = 0.5
"""Period and deadline of the heartbeat, as in the vendor's client."""
LEAVE_S = 0.2
"""Longest wait for the service to hear that we leave."""
BEATS_MISSED = 4
"""So many in a row and the service is taken for dead, though its connection stands."""
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # otherwise a new channel inherits the waits of the one before
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


class Link(Protocol):
    """Where a source's messages come from: the gRPC client here, or the vendor's kit in a child process."""

    async def run(self, connected: Callable[[], None], receive: Callable[[bytes, int], None]) -> str:
        """Connect once and hand on every message until the connection ends; why it did, as one sentence."""

    async def control(self, device: str, command: str) -> bool:
        """Send a JSON command to a headset; False when it could not be sent."""


def load_grpc() -> Any:
    """The grpc package; raises SourceUnavailable naming the extra when it is not installed."""
    try:
        import grpc
        import grpc.aio
    except ImportError:
        raise SourceUnavailable("PICO needs the package grpcio; install it with: pip install 'teleopd[pico]'") from None
    return grpc


class PcServiceClient:
    """One connection at a time; `run` may be called again after it returned."""

    def __init__(self, host: str, port: int) -> None:
        """Raises SourceUnavailable when grpcio is missing or the port is impossible."""
        if not 1 <= port <= 65535:
            raise SourceUnavailable(f"port {port} of the PC service is not between 1 and 65535")
        self._grpc = load_grpc()
        self.target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._channel: Any = None

    async def run(self, connected: Callable[[], None], receive: Callable[[bytes, int], None]) -> str:
        """See `Link`."""
        self._channel = channel = self._grpc.aio.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        pid = wire.encode_pid(os.getpid() & 0x7FFFFFFF)
        watch: Any = None
        beating: asyncio.Task[None] | None = None
        try:
            if not await self._is_ready(channel):
                return f"no PC service answers at {self.target}; start XRoboToolkit's PC service there"
            watch = channel.unary_stream(wire.METHOD + "WatchServerFeedback")(pid)
            beating = asyncio.create_task(self._beat(channel, watch))
            connected()
            async for message in watch:
                receive(message, time.monotonic_ns())
            return "the PC service ended the stream; it serves one client, and another one may have connected"
        except self._grpc.aio.AioRpcError as error:
            return f"the connection to the PC service at {self.target} ended: {error.details() or error.code().name}"
        except asyncio.CancelledError:
            if watch is not None and watch.cancelled() and not _is_cancelling():
                return f"the PC service at {self.target} stopped answering its heartbeat"
            raise
        finally:
            self._channel = None
            if beating is not None:
                beating.cancel()
            await self._leave(channel, watch, pid)

    async def control(self, device: str, command: str) -> bool:
        """See `Link`."""
        channel = self._channel
        if channel is None:
            return False
        request = wire.encode_control(device, command.encode())
        try:
            await channel.unary_unary(wire.METHOD + "DeviceControlJson")(request, timeout=BEAT_S)
        except self._grpc.aio.AioRpcError:
            return False
        return True

    async def _is_ready(self, channel: Any) -> bool:
        """The channel connects at the first attempt; our own waits decide about the next ones."""
        states = self._grpc.ChannelConnectivity
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                state = channel.get_state(try_to_connect=True)
                while state not in (states.READY, states.TRANSIENT_FAILURE, states.SHUTDOWN):
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
                return bool(state is states.READY)
        return False

    async def _beat(self, channel: Any, watch: Any) -> None:
        beat, missed = channel.unary_unary(wire.METHOD + "SendBeat"), 0
        while missed < BEATS_MISSED:
            try:
                await beat(b"", timeout=BEAT_S)
                missed = 0
            except self._grpc.aio.AioRpcError:
                missed += 1
            await asyncio.sleep(BEAT_S)
        watch.cancel()

    async def _leave(self, channel: Any, watch: Any, pid: bytes) -> None:
        if watch is not None and (not watch.done() or watch.cancelled()):
            watch.cancel()
            with contextlib.suppress(self._grpc.aio.AioRpcError):
                await channel.unary_unary(wire.METHOD + "CancelServerFeedback")(pid, timeout=LEAVE_S)
        await channel.close()


def _is_cancelling() -> bool:
    """This task itself was asked to end, not merely the call it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
