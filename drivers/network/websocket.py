"""A WebSocket server for one sender: every message goes to `receive`; whoever may not send is refused in a sentence."""

from __future__ import annotations

import asyncio
import errno
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from teleopd.drivers.network.wire import MAX_FRAME
from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.udp import Address, Receive, Tap

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/pose"
GOING_AWAY_S = 1.0
"""How long a client may take to say goodbye when the server closes [s]."""


class Gatekeeper(Protocol):
    """Decides about senders; `BoundSender` does."""

    def admits(self, sender: Address, now_ns: int) -> bool:
        """May this sender send now?"""

    def release(self, sender: Address) -> None:
        """This sender has gone."""


class WebSocketListener:
    """Listens for one client at `ws://host:port/pose`; a newcomer replaces it where the gatekeeper admits him."""

    def __init__(
        self, host: str, port: int, token: str | None, receive: Receive, gate: Gatekeeper,
        reject: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        """Nothing is opened yet.

        Args:
            token: what a client must show as `?token=` or `Authorization: Bearer`; None: nothing.
            receive: takes each message; the same as for datagrams.
            gate: says who may send.
            reject: counts what was refused: reason, sentence.

        Raises:
            SourceUnavailable: a port outside 0 to 65535, or an empty token.
        """
        if not 0 <= port <= 65535:
            raise SourceUnavailable(f"TCP port {port} is not between 0 and 65535")
        if token is not None and not token:
            raise SourceUnavailable("the token is empty; give one of at least one character, or none at all")
        self.host = host
        self.port = port
        self.tap: Tap | None = None
        """Is shown every message first; must neither block nor raise."""
        self._token = token
        self._receive = receive
        self._gate = gate
        self._reject = reject
        self._runner: web.AppRunner | None = None
        self._client: web.WebSocketResponse | None = None

    async def open(self) -> None:
        """Listen; a second call changes nothing.

        Raises:
            SourceUnavailable: aiohttp is missing, the port is taken, or the address is not this computer's.
        """
        if self._runner is not None:
            return
        try:
            from aiohttp import web
        except ImportError:
            raise SourceUnavailable(
                "transport websocket needs aiohttp; install it with: pip install 'teleopd[network]'"
            ) from None
        app = web.Application()
        app.router.add_get(PATH, self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=GOING_AWAY_S)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise SourceUnavailable(self._why(error)) from None
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def close(self) -> None:
        """Send the client away and stop listening; safe to call twice."""
        runner, self._runner = self._runner, None
        client, self._client = self._client, None
        if client is not None:
            await client.close(code=1001, message=b"the service stops")
        if runner is not None:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        name = request.transport.get_extra_info("peername") if request.transport is not None else None
        peer = (str(name[0]), int(name[1])) if name else ("unknown", 0)
        refusal = self._refusal(request, peer)
        if refusal is not None:
            status, sentence = refusal
            return web.Response(status=status, text=sentence + "\n")
        socket = web.WebSocketResponse(max_msg_size=MAX_FRAME, compress=False, timeout=GOING_AWAY_S)
        if not socket.can_prepare(request):
            return web.Response(status=426, text=f"connect to {PATH} as a WebSocket\n")
        await socket.prepare(request)
        before, self._client = self._client, socket
        if before is not None:
            asyncio.get_running_loop().create_task(before.close(code=1008, message=b"another client took over"))
        try:
            await self._read(socket, peer)
        finally:
            if self._client is socket:
                self._client = None
                self._gate.release(peer)
        return socket

    async def _read(self, socket: web.WebSocketResponse, peer: Address) -> None:
        from aiohttp import WebSocketError, WSMsgType

        async for message in socket:
            if self._client is not socket:
                return
            if message.type is WSMsgType.TEXT:
                self._hand_on(message.data.encode(), peer)
            elif message.type is WSMsgType.BINARY:
                self._hand_on(message.data, peer)
            elif isinstance(message.data, WebSocketError):
                sentence = f"a WebSocket client was disconnected: {' '.join(str(message.data).split())[:120]}"
                self._reject("oversized" if message.data.code == 1009 else "websocket", sentence)
                return

    def _hand_on(self, data: bytes, peer: Address) -> None:
        now_ns = time.monotonic_ns()
        if self.tap is not None:
            self.tap(data, peer, (self.host, self.port), now_ns)
        self._receive(memoryview(data), peer, now_ns)

    def _refusal(self, request: web.Request, peer: Address) -> tuple[int, str] | None:
        """Why this client may not connect, as HTTP status and sentence; None when it may."""
        if self._token is not None:
            shown = request.query.get("token") or request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(shown.encode(errors="replace"), self._token.encode()):
                sentence = f"the token of {peer[0]}:{peer[1]} is {'wrong' if shown else 'missing'}"
                self._reject("token", sentence)
                return 401, sentence
        elif "Origin" in request.headers:  # any web page the user opens could connect to this computer otherwise
            sentence = "a browser may send poses only with a token; start the service with one"
            self._reject("browser", sentence)
            return 403, sentence
        if self._client is not None and not self._gate.admits(peer, time.monotonic_ns()):
            return 409, "another client is sending; one at a time"
        return None

    def _why(self, error: OSError) -> str:
        where = f"TCP port {self.port} on {self.host}"
        if error.errno == errno.EADDRINUSE:
            return f"{where} is in use by another program; stop it, or choose another port with --port"
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{where} needs privileges; choose a port of 1024 or more with --port"
        return f"cannot listen on {self.host}: it is no address of this computer; 0.0.0.0 listens on all of them"
