"""From a browser to the hidden viser and back: files, and the messages of the page within its role and budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import msgspec
from aiohttp import web

from teleopd.service.console.access import Budget, Role
from teleopd.service.console.hidden import HOST, SECRET_HEADER

MAX_MESSAGE: Final = 64 * 1024
"""Longest message of a page [bytes]; cameras and buttons are some hundred."""
MAX_ANSWER: Final = 64 * 1024 * 1024
"""Longest message of viser [bytes]; the robot's meshes are some hundred kB."""
RATE_HZ, BURST = 300.0, 600
"""Messages of a page: camera 60 Hz, held buttons 20 Hz each, and room."""
WATCHING = frozenset({"ViewerCameraMessage"})
"""What a watcher's page may send beside presses of the stop."""
PRESSES = frozenset({"GuiUpdateMessage", "GuiButtonHoldMessage"})
PASSED_ON = ("Content-Type", "Content-Encoding", "Content-Length")
MOVE_PERIOD_S: Final = 1.0 / 60.0
"""Twice as often as there are new poses."""
UNRULY = 1008
"""WebSocket close code 'policy violation' (RFC 6455 §7.4.1)."""


class Word(msgspec.Struct):
    """As much of a page's message as decides whether it passes."""

    type: str
    uuid: str = ""


def permitted(word: Word, role: Role, for_all: frozenset[str]) -> bool:
    """Whether a page of this role may say it. `for_all`: identifiers of the buttons that anybody may press."""
    return role is Role.OPERATE or word.type in WATCHING or (word.type in PRESSES and word.uuid in for_all)


class Relay:
    """Speaks to the hidden server for the pages."""

    def __init__(
        self, port: int, secret: str, for_all: Callable[[], frozenset[str]], poses: Callable[[], bytes] = bytes
    ) -> None:
        """`poses`: the newest poses of the scene, a message for the pages; `for_all`: what any page may press."""
        self._base = f"http://{HOST}:{port}"
        self._headers = {SECRET_HEADER: secret}
        self._for_all, self._poses = for_all, poses
        self._client: aiohttp.ClientSession | None = None
        self._decoder = msgspec.msgpack.Decoder(Word)
        self.unruly = 0
        """Connections ended because of what they sent."""

    async def open(self) -> None:
        """Within the loop that serves."""
        self._client = aiohttp.ClientSession(auto_decompress=False, headers=self._headers)

    async def close(self) -> None:
        """End all connections to it."""
        if self._client is not None:
            await self._client.close()

    async def file(self, path: str, accepts: str) -> tuple[int, dict[str, str], bytes]:
        """One file of viser's page: status, headers, body."""
        assert self._client is not None
        async with self._client.get(self._base + path, headers={"Accept-Encoding": accepts}) as answer:
            body = await answer.read()
            return answer.status, {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}, body

    async def converse(self, request: web.Request, role: Role) -> web.WebSocketResponse:
        """One page's WebSocket, until either side ends."""
        assert self._client is not None
        offered = filter(None, map(str.strip, request.headers.get("Sec-WebSocket-Protocol", "").split(",")))
        inner = await self._client.ws_connect(self._base, protocols=[*offered][:4], max_msg_size=MAX_ANSWER)
        chosen = [inner.protocol] if inner.protocol else []
        outer = web.WebSocketResponse(protocols=chosen, max_msg_size=MAX_MESSAGE, heartbeat=10.0, compress=False)
        there = asyncio.Event()
        try:
            await outer.prepare(request)
            ways = [
                asyncio.ensure_future(way)
                for way in (self._inward(outer, inner, role, there), _outward(inner, outer), self._move(outer, there))
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            await inner.close()
            if outer.prepared and not outer.closed:
                await outer.close()
        return outer

    async def _move(self, outer: web.WebSocketResponse, there: asyncio.Event) -> None:
        """Tell a page the newest poses, once it has spoken: it knows then what there is to move."""
        await there.wait()
        last = b""
        while not outer.closed:
            poses = self._poses()
            if poses is not last and poses:
                last = poses
                await outer.send_bytes(poses)
            await asyncio.sleep(MOVE_PERIOD_S)

    async def _inward(
        self, outer: web.WebSocketResponse, inner: aiohttp.ClientWebSocketResponse, role: Role, there: asyncio.Event
    ) -> None:
        budget = Budget(RATE_HZ, BURST, time.monotonic())
        async for message in outer:
            word = self._understood(message)
            if word is None or not budget.spend(time.monotonic()):
                self.unruly += 1
                what = "messages of the page only" if word is None else "too many messages"
                await outer.close(code=UNRULY, message=what.encode())
                return
            there.set()
            if permitted(word, role, self._for_all()):
                await inner.send_bytes(message.data)

    def _understood(self, message: aiohttp.WSMessage) -> Word | None:
        if message.type is not aiohttp.WSMsgType.BINARY:
            return None
        try:
            return self._decoder.decode(message.data)
        except (msgspec.DecodeError, RecursionError):
            return None


async def _outward(inner: aiohttp.ClientWebSocketResponse, outer: web.WebSocketResponse) -> None:
    async for message in inner:
        if message.type is aiohttp.WSMsgType.BINARY:
            await outer.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await outer.send_str(message.data)
