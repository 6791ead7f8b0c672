"""The PC service's side of the gRPC wire, on loopback: what a client of the XRoboToolkit PC service talks to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

from teleopd.drivers.pico import wire
from teleopd.drivers.pico.client import load_grpc
from teleopd.drivers.source import ProtocolError, SourceUnavailable

MAX_WAITING = 256
"""Messages kept for a client that does not read; the oldest go first."""
MAX_KEPT = 64
SERVER_OPTIONS = (("grpc.so_reuseport", 0),)
"""Off: otherwise two servers share one port, and a client meets either."""


class _Watcher:
    """One client's stream."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.more = asyncio.Event()
        self.over = False

    def put(self, message: bytes) -> None:
        self.waiting.append(message)
        self.more.set()

    def end(self) -> None:
        self.over = True
        self.more.set()


class PcService:
    """Serves one client at a time, as the real one does: a new one ends the stream of the one before."""

    def __init__(self, host: str, port: int) -> None:
        """Raises SourceUnavailable when grpcio is missing or the port is impossible."""
        if not 0 <= port <= 65535:
            raise SourceUnavailable(f"port {port} of the PC service is not between 0 and 65535")
        self._grpc = load_grpc()
        self.host = host
        self.port = port
        """The real one once started."""
        self.watches = 0
        """Clients that connected so far."""
        self.beats = 0
        self.cancels = 0
        self.controls: deque[wire.Control] = deque(maxlen=MAX_KEPT)
        """The newest commands and bytes sent to devices."""
        self.watched = asyncio.Event()
        """Set while a client watches."""
        self.greeting: list[bytes] = []
        """Sent to every client first."""
        self._watcher: _Watcher | None = None
        self._server: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SourceUnavailable: the port is taken, or the address is not this computer's.
        """
        server = self._grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        try:
            self.port = server.add_insecure_port(where)
        except RuntimeError:
            await server.stop(None)
            raise SourceUnavailable(
                f"cannot listen on {where}: the port is in use, perhaps by the real PC service, or the address is not "
                "this computer's; stop the other program, or choose another port with --port"
            ) from None
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End every stream and stop listening; safe to call twice."""
        server, self._server = self._server, None
        if self._watcher is not None:
            self._watcher.end()
        if server is not None:
            await server.stop(0.2)

    def publish(self, message: bytes) -> bool:
        """Send to the client that watches; False when none does."""
        if self._watcher is None:
            return False
        self._watcher.put(message)
        return True

    async def flush(self) -> None:
        """Wait until the client has been sent everything, or has gone."""
        while self._watcher is not None and self._watcher.waiting:
            await asyncio.sleep(0.005)

    def _handlers(self) -> Any:
        unary, method = self._grpc.unary_unary_rpc_method_handler, "PXREAService.EAService"
        return self._grpc.method_handlers_generic_handler(
            method,
            {
                "WatchServerFeedback": self._grpc.unary_stream_rpc_method_handler(self._watch),
                "SendBeat": unary(self._beat),
                "CancelServerFeedback": unary(self._cancel),
                "DeviceControlJson": unary(self._control),
                "SendBytesToDevice": unary(self._control),
            },
        )

    async def _watch(self, _request: bytes, _context: Any) -> Any:
        if self._watcher is not None:
            self._watcher.end()
        self._watcher = watcher = _Watcher()
        self.watches += 1
        self.watched.set()
        try:
            for message in self.greeting:
                yield message
            while not watcher.over or watcher.waiting:
                while watcher.waiting:
                    yield watcher.waiting[0]
                    with contextlib.suppress(IndexError):
                        watcher.waiting.popleft()
                watcher.more.clear()
                if not watcher.over and not watcher.waiting:
                    await watcher.more.wait()
        finally:
            if self._watcher is watcher:
                self._watcher = None
                self.watched.clear()

    async def _beat(self, _request: bytes, _context: Any) -> bytes:
        self.beats += 1
        return b""

    async def _cancel(self, _request: bytes, _context: Any) -> bytes:
        self.cancels += 1
        return b""

    async def _control(self, request: bytes, _context: Any) -> bytes:
        with contextlib.suppress(ProtocolError):
            self.controls.append(wire.decode_control(request))
        return b""
