"""The browser view's front door: the only thing that listens. HTTP and WebSocket, with token, Origin check and limits.

A thread of its own with an event loop. It hands a soft stop on at once; everything else it relays to the hidden viser.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from teleopd.service.console.access import Access, Brake, Role
from teleopd.service.console.desk import Desk
from teleopd.service.console.errors import PortTaken
from teleopd.service.console.relay import Relay
from teleopd.service.console.side import Side
from teleopd.service.console.tls import server_context

MAX_PAGES: Final = 16
"""Pages open at once; each costs some per cent of a core."""
MAX_SILENT: Final = 128
"""Connections without a whole request so far."""
MAX_BODY: Final = 1024
"""Longest body of a request [bytes]; none is expected."""
FIRST_REQUEST_S: Final = 10.0
"""How long a connection may stay silent before its first request."""
MAX_PRESS: Final = 64
OURS: Final = {
    name: "text/css" if name.endswith(".css") else "application/javascript"
    for name in ("console.css", "console.js", "side.css", "plots.js", "side.js", "setup.js")
}
"""Files of ours, in the order in which a page loads them: what stops first."""
HEAD: Final = "".join(
    f'<link rel="stylesheet" href="/teleopd/{name}">' if name.endswith(".css")
    else f'<script src="/teleopd/{name}" defer></script>'
    for name in OURS
).encode() + b"</body>"  # fmt: skip
SECURITY: Final = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
NO_TOKEN: Final = "this console needs its token: open the address with ?token=... that `teleop serve` printed\n"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """Serves until closed. `stop` is called from the gateway's thread for each press of the soft stop. `desk`: what
    our own part of the page shows and asks."""

    def __init__(self, access: Access, relay: Relay, stop: Callable[[], None], desk: Desk | None = None) -> None:
        """
        Raises:
            PortTaken: another program listens on the port.
            CertificateRefused, KeyEncrypted: the certificate or its key cannot be used.
        """
        self.access = access
        self._relay, self._stop = relay, stop
        self._side = Side(desk or Desk(), self._role, SECURITY)
        self._brake = Brake()
        self._presses: deque[str] = deque(maxlen=64)
        self._cookie = f"teleopd_{access.port}"
        self._pages = 0
        self._silent: dict[int, Any] = {}
        """Connections without a whole request so far, oldest first."""
        self._tls = server_context(access)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._failed: Exception | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="gateway", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed

    def close(self) -> None:
        """End every connection and the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5.0)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(ready))
        finally:
            self._loop.close()
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(middlewares=[self._guarded()], client_max_size=MAX_BODY)
        app.router.add_post("/stop", self._on_stop)
        app.router.add_get("/alive", self._on_alive)
        self._side.add_to(app.router)
        app.router.add_get("/teleopd/{name}", self._on_ours)
        app.router.add_get("/{path:.*}", self._on_page)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await runner.setup()
        await self._relay.open()
        try:
            server = await self._loop.create_server(
                self._protocols(runner), self.access.host, self.access.port, ssl=self._tls, reuse_address=True
            )
        except OSError:
            self._failed = PortTaken(self.access.host, self.access.port)
            await self._relay.close()
            await runner.cleanup()
            return
        ready.set()
        await self._ended.wait()
        server.close()
        await self._side.close()
        await self._relay.close()
        await runner.cleanup()

    def _protocols(self, runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
        """One protocol a connection. Who connects and says nothing is cut, the oldest first: nobody is crowded out."""
        assert runner.server is not None
        make = runner.server

        def connected() -> asyncio.Protocol:
            protocol = make()
            self._silent[id(protocol)] = protocol
            if len(self._silent) > MAX_SILENT:
                self._cut(next(iter(self._silent)))
            self._loop.call_later(FIRST_REQUEST_S, lambda: self._cut(id(protocol)))
            return protocol

        return connected

    def _cut(self, number: int) -> None:
        protocol = self._silent.pop(number, None)
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()

    def _guarded(self) -> Any:
        """What every request passes: own origin, right token, and headers that say no to other pages."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._silent.pop(id(request.protocol), None)
            refused = self._refusal(request)
            if refused is None:
                return await handler(request)
            refused.headers.update(SECURITY)
            if refused.status >= 400:
                refused.force_close()
            return refused

        return guard

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What a stranger is told; None: go on. Programs send no Origin, browsers always do where it matters."""
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{'https' if self._tls else 'http'}://{request.host}":
            return web.Response(status=403, text="only pages of this console may ask\n")
        said = self._said(request)
        if self._role(request) is not None:
            return self._remembered(request) if "token" in request.query and request.method == "GET" else None
        if said and self._brake.wrong(request.remote or "", time.monotonic()):
            wait = {"Retry-After": "60"}
            return web.Response(status=429, text="too many wrong tokens; wait a minute\n", headers=wait)
        return web.Response(status=401, text=NO_TOKEN)

    def _said(self, request: web.Request) -> str:
        """The token of an address opened for the first time, of a program's header or of a page's cookie."""
        if "token" in request.query:
            return request.query["token"]
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        return word.strip() if scheme.lower() == "bearer" else request.cookies.get(self._cookie, "")

    def _role(self, request: web.Request) -> Role | None:
        return self.access.tokens.role(self._said(request))

    def _remembered(self, request: web.Request) -> web.Response:
        """The same page without the token in its address, which would end up in the browser's history."""
        answer = web.Response(status=303, headers={"Location": request.path})
        answer.set_cookie(
            self._cookie, request.query["token"], httponly=True, samesite="Lax", secure=self._tls is not None
        )
        return answer

    async def _on_stop(self, request: web.Request) -> web.Response:
        press = request.query.get("press", "")
        if len(press) > MAX_PRESS:
            return web.Response(status=400, text=f"press: at most {MAX_PRESS} characters\n", headers=SECURITY)
        if not press or press not in self._presses:
            self._presses.append(press)
            self._stop()
        return web.Response(text="stop sent\n", headers=SECURITY)

    async def _on_alive(self, request: web.Request) -> web.Response:
        return web.json_response({"role": self._role(request)}, headers={**SECURITY, "Cache-Control": "no-store"})

    async def _on_ours(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in OURS:
            return web.Response(status=404, text="no such file\n", headers=SECURITY)
        body = importlib.resources.files("teleopd.service.console").joinpath("page", name).read_bytes()
        return web.Response(body=body, content_type=OURS[name], charset="utf-8", headers=SECURITY)

    async def _on_page(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._on_websocket(request)
        index = request.path in ("/", "/index.html")
        status, headers, body = await self._relay.file(request.path, "" if index else _gzip(request))
        if index:
            body = body.replace(b"</body>", HEAD, 1)
            headers |= {"Content-Length": str(len(body)), "Cache-Control": "no-store"}
        return web.Response(status=status, body=body, headers={**headers, **SECURITY})

    async def _on_websocket(self, request: web.Request) -> web.StreamResponse:
        role = self._role(request)
        if role is None or self._pages >= MAX_PAGES:
            return web.Response(status=503, text=f"{MAX_PAGES} pages are open; close one\n", headers=SECURITY)
        self._pages += 1
        try:
            return await self._relay.converse(request, role)
        finally:
            self._pages -= 1


def _gzip(request: web.Request) -> str:
    return "gzip" if "gzip" in request.headers.get("Accept-Encoding", "") else ""
