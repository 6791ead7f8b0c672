"""The gateway's routes for our own part of the page: live figures, pictures of the cameras, and questions.

    GET  /teleopd/live        WebSocket: the figures as JSON, 10 Hz; a page that is slow misses some
    GET  /teleopd/facts       what a page is told once of the run, JSON
    GET  /teleopd/camera/N    the newest picture of camera N, JPEG
    POST /teleopd/ask         one question as JSON (`desk.Ask`); needs the operator's token

Token, Origin and headers are the gateway's business; it sees every request before these do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web

from teleopd.service.console.access import Role
from teleopd.service.console.desk import Ask, Desk

LIVE_PERIOD_S: Final = 0.1
MAX_LIVE: Final = 16
"""Pages that hear the figures at once."""
MAX_SAID: Final = 1024
"""Longest message of a page on that socket [bytes]; none is expected."""
JSON: Final = "application/json"
NO_STORE: Final = {"Cache-Control": "no-store"}
UNRULY: Final = 1008
GOING_AWAY: Final = 1001
CLOSE_S: Final = 0.3
"""A page that does not answer the end of its socket is left."""


class Side:
    """Handlers over one desk."""

    def __init__(self, desk: Desk, role: Callable[[web.Request], Role | None], headers: Mapping[str, str]) -> None:
        self._desk, self._role, self._headers = desk, role, {**headers, **NO_STORE}
        self._open = set[web.WebSocketResponse]()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Before the gateway's own routes: the last of those takes every path."""
        router.add_get("/teleopd/live", self._on_live)
        router.add_get("/teleopd/facts", self._on_facts)
        router.add_get(r"/teleopd/camera/{number:\d}", self._on_picture)
        router.add_post("/teleopd/ask", self._on_ask)

    async def close(self) -> None:
        """End the pages' sockets."""
        await asyncio.gather(*(socket.close(code=GOING_AWAY) for socket in self._open), return_exceptions=True)

    async def _on_live(self, request: web.Request) -> web.StreamResponse:
        if self._desk.watchers >= MAX_LIVE:
            return self._text(503, f"{MAX_LIVE} pages are open; close one")
        socket = web.WebSocketResponse(timeout=CLOSE_S, max_msg_size=MAX_SAID, heartbeat=10.0, compress=False)
        if not socket.can_prepare(request).ok:
            return self._text(400, "the figures are told over a WebSocket")
        self._desk.watchers += 1
        try:
            await socket.prepare(request)
            self._open.add(socket)
            telling = asyncio.ensure_future(self._tell(socket))
            try:
                async for _said in socket:  # a page says nothing here
                    await socket.close(code=UNRULY, message=b"nothing is expected of a page here")
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
        finally:
            self._open.discard(socket)
            self._desk.watchers -= 1
        return socket

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        last = b""
        while not socket.closed:
            message = self._desk.message
            if message is not last:
                last = message
                await socket.send_str(message.decode())
            await asyncio.sleep(LIVE_PERIOD_S)

    async def _on_facts(self, request: web.Request) -> web.Response:
        facts = msgspec.json.decode(self._desk.facts)
        facts["asks"] = bool(facts.get("asks")) and self._role(request) is Role.OPERATE
        return web.Response(body=msgspec.json.encode(facts), content_type=JSON, headers=self._headers)

    async def _on_picture(self, request: web.Request) -> web.Response:
        picture = self._desk.pictures.get(int(request.match_info["number"]))
        if picture is None:
            return self._text(404, "no picture of this camera yet")
        return web.Response(body=picture, content_type="image/jpeg", headers=self._headers)

    async def _on_ask(self, request: web.Request) -> web.Response:
        if self._role(request) is not Role.OPERATE:
            return self._text(403, "this page may look and stop only; the operator's address does more")
        if request.content_type != JSON:
            return self._text(415, "questions are JSON")
        try:
            ask = msgspec.json.decode(await request.read(), type=Ask)
        except (msgspec.DecodeError, RecursionError) as error:
            return self._text(400, f"this is no question of a page: {str(error).replace('`', chr(39))}")
        answer = self._desk.ask(ask)
        return self._text(200 if answer.taken else 409, answer.sentence)

    def _text(self, status: int, sentence: str) -> web.Response:
        return web.Response(status=status, text=sentence + "\n", headers=self._headers)
