"""The MQTT side: publishes, never subscribes. A broker that is absent, slow or mad costs messages and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections import deque
from collections.abc import Coroutine

import aiomqtt
import msgspec

from teleopd.service.telemetry.messages import Connection, Header, topic
from teleopd.service.telemetry.settings import Broker
from teleopd.service.telemetry.state import Stamps

KEEPALIVE_S = 2
"""The broker publishes the last will 1.5 times this after the last sign of life (MQTT 3.1.1, 3.1.2.10)."""
ANSWER_S = 3.0
"""A broker that does not confirm within this is left, and called anew."""
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 5.0
GOODBYE_S = 0.5
MOST_EVENTS = 256
"""Events kept while nobody takes them; the oldest go first, and are counted."""
MOST_UNASKED = 16
"""Messages of a broker that sends what nobody subscribed to; more are dropped."""
RETAINED = frozenset({"connection", "state"})
AT_LEAST_ONCE = frozenset({"connection", "state", "event"})

encode = msgspec.json.Encoder().encode
_silent = logging.getLogger("teleopd.mqtt")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Publisher:
    """Keeps one connection to the broker and hands on what was offered: the newest state and health, every event.

    Owned by one event loop.
    """

    def __init__(self, broker: Broker, serial: str, stamps: Stamps) -> None:
        self._broker, self._serial, self._stamps = broker, serial, stamps
        self._newest: dict[str, bytes] = {}
        self._events: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.connected = False
        self.connections = 0
        self.lost_events = 0
        self.trouble = ""
        """Why there is no connection, as the library says it."""

    def offer(self, message: Header) -> None:
        """Take a state, a health or an event; never waits."""
        kind = type(message).__name__.lower()
        if kind == "event":
            if len(self._events) >= MOST_EVENTS:
                self._events.popleft()
                self.lost_events += 1
            self._events.append(encode(message))
        else:
            self._newest[kind] = encode(message)
        self._wake.set()

    async def run(self) -> None:
        """Connect, publish, and again; ends when cancelled, with an orderly OFFLINE."""
        delay_s = FIRST_RETRY_S
        while True:
            began = time.monotonic()
            try:
                await self._connection()
            except (aiomqtt.MqttError, OSError, ValueError, RuntimeError, asyncio.InvalidStateError) as error:
                self.trouble = f"{type(error).__name__}: {error}"
            finally:
                self.connected = False
            delay_s = FIRST_RETRY_S if time.monotonic() - began > LAST_RETRY_S else min(2 * delay_s, LAST_RETRY_S)
            await asyncio.sleep(delay_s)

    async def _connection(self) -> None:
        """One connection, from its first word to whatever ends it."""
        broker = self._broker
        will = aiomqtt.Will(
            topic(self._serial, "connection"), self._word("CONNECTIONBROKEN"), qos=1, retain=True
        )
        client = aiomqtt.Client(
            broker.host, broker.port, username=broker.user or None, password=broker.password or None, will=will,
            keepalive=KEEPALIVE_S, timeout=ANSWER_S, identifier=f"teleopd-{self._serial}", logger=_silent,
            max_queued_incoming_messages=MOST_UNASKED,
            tls_context=ssl.create_default_context(cafile=broker.ca_file or None) if broker.tls else None,
        )  # fmt: skip
        async with client:
            await self._send(client, "connection", self._word("ONLINE"))
            self.connected, self.trouble = True, ""
            self.connections += 1
            try:
                await _first_to_fail(self._hand_on(client), _until_gone(client))
            except asyncio.CancelledError:
                with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                    await asyncio.wait_for(self._send(client, "connection", self._word("OFFLINE")), GOODBYE_S)
                raise

    async def _hand_on(self, client: aiomqtt.Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._events:
                await self._send(client, "event", self._events[0])
                self._events.popleft()
            for kind in tuple(self._newest):
                await self._send(client, kind, self._newest.pop(kind))

    async def _send(self, client: aiomqtt.Client, kind: str, payload: bytes) -> None:
        await client.publish(
            topic(self._serial, kind), payload, qos=1 if kind in AT_LEAST_ONCE else 0, retain=kind in RETAINED
        )

    def _word(self, state: str) -> bytes:
        header = self._stamps.next("connection", time.time())
        return encode(Connection(**header, connection_state=state))  # type: ignore[arg-type]


async def _until_gone(client: aiomqtt.Client) -> None:
    """Ends, with the library's error, when the connection does. What comes although nobody asked is dropped."""
    async for _unasked in client.messages:
        pass


async def _first_to_fail(*parts: Coroutine[None, None, None]) -> None:
    """Run side by side until one ends, and raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
