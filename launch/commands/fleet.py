"""`teleop fleet`: every robot that reports to a broker. It shows and never commands."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import math
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from teleopd.launch.errors import CommandError
from teleopd.launch.telemetry import broker
from teleopd.service.telemetry.fleet import TOPICS, Fleet, Row, summary, urgent_first
from teleopd.service.telemetry.fleet_view import Page, page, table
from teleopd.service.telemetry.messages import ROOT
from teleopd.service.telemetry.settings import Broker

REFRESH_S = 2.0
RETRY_S = 2.0
ANSWER_S = 15.0
"""--json and a pipe wait so long for what the broker keeps of every robot."""
AT_ONCE_S = 0.05
FENCE = f"{ROOT}/-/-"
"""Nobody publishes there."""


@dataclass(frozen=True, slots=True)
class FleetView:
    """Show every robot that reports to an MQTT broker: mode, operator, source, battery, alarms."""

    broker: str
    """The broker, HOST or HOST:PORT."""
    seconds: float | None = None
    """End after so long [s]; otherwise Ctrl-C ends it, and --json and a pipe with what the broker keeps."""
    page: int = 0
    """Serve the table as a page on this port of 127.0.0.1, too."""
    user: str = ""
    """Name at the broker."""
    password_file: str = ""
    """File whose first line is the password at the broker."""
    tls: bool = False
    """Talk to the broker over TLS."""
    ca: str = ""
    """Certificates (PEM) the broker's is checked against."""
    json: bool = False
    """Print one JSON line a robot."""

    def run(self) -> int:
        """Show until the time is over; 0 when the broker answered, 1 when it never did."""
        if importlib.util.find_spec("aiomqtt") is None:
            raise CommandError("fleet needs aiomqtt; install it with: pip install 'teleopd[mqtt]'")
        if self.seconds is not None and not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds:g}; give a positive number")
        if not 0 <= self.page <= 65535:
            raise CommandError(f"--page {self.page} is not between 0 and 65535")
        at = broker(self.broker, user=self.user, password_file=self.password_file, tls=self.tls, ca_file=self.ca)
        once = self.json or not sys.stdout.isatty()
        at_once = once and not self.page and self.seconds is None
        seconds = self.seconds or (ANSWER_S if at_once else math.inf)
        follower = Follower(at)
        try:
            served = Page(self.page) if self.page else None
        except OSError as error:
            raise CommandError(f"--page {self.page} cannot be served: {error.strerror}") from None
        if served:
            Console(stderr=True).print(f"http://127.0.0.1:{served.port}/", highlight=False)
        try:
            live = None if once else Live(screen=True, auto_refresh=False)
            asyncio.run(self._show(follower, seconds, at_once, live, served))
        except KeyboardInterrupt:
            pass
        finally:
            if served:
                served.close()
        rows = follower.fleet.rows(time.monotonic())
        if self.json:
            for row in rows:
                print(json.dumps(row.as_dict()))
        elif once:
            Console(width=160).print(table(rows, follower.title(rows)))
        if not follower.answered:
            raise CommandError(f"broker {at.host}:{at.port} did not answer: {follower.trouble or 'no connection'}")
        return 0

    async def _show(
        self, follower: Follower, seconds: float, at_once: bool, live: Live | None, served: Page | None
    ) -> None:
        listening = asyncio.create_task(follower.run())
        deadline = time.monotonic() + seconds
        try:
            if live:
                live.start()
            while time.monotonic() < deadline and not (at_once and follower.complete.is_set()):
                rows = urgent_first(follower.fleet.rows(time.monotonic()))
                if live:
                    live.update(table(rows, follower.title(rows)), refresh=True)
                if served:
                    served.text = page(rows, follower.title(rows))
                left_s = min(REFRESH_S, max(0.0, deadline - time.monotonic()))
                await asyncio.sleep(AT_ONCE_S if at_once else left_s)
        finally:
            if live:
                live.stop()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await listening


class Follower:
    """Keeps a connection to the broker and a `Fleet` of what it says."""

    def __init__(self, at: Broker) -> None:
        self._at = at
        self.fleet = Fleet()
        self.answered = self.connected = False
        self.complete = asyncio.Event()
        """Everything that the broker keeps was heard."""
        self.trouble = ""

    def title(self, rows: list[Row]) -> str:
        """What stands above the table."""
        where = f"{self._at.host}:{self._at.port}"
        return f"{where}  {summary(rows, self.fleet.refused)}" + ("" if self.connected else "  NO CONNECTION")

    def _fence(self, left: int) -> None:
        if left <= 0:
            self.complete.set()

    async def run(self) -> None:
        """Listen, and again after every loss, until cancelled."""
        import ssl

        import aiomqtt

        at = self._at
        while True:
            try:
                async with aiomqtt.Client(
                    at.host, at.port, username=at.user or None, password=at.password or None, timeout=5.0,
                    tls_context=ssl.create_default_context(cafile=at.ca_file or None) if at.tls else None,
                    max_queued_incoming_messages=20_000,
                ) as client:  # fmt: skip
                    for topic in TOPICS:
                        await client.subscribe(topic, qos=0)
                    self.answered = self.connected = True
                    await client.unsubscribe(FENCE)  # is confirmed after the messages that the broker keeps
                    kept = len(client.messages)
                    self._fence(kept)
                    async for message in client.messages:
                        payload = message.payload if isinstance(message.payload, bytes) else b""
                        self.fleet.note(str(message.topic), payload, time.monotonic(), retained=message.retain)
                        self._fence(kept := kept - 1)
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                self.trouble = str(error)
            self.connected = False
            await asyncio.sleep(RETRY_S)
