"""Brokers to publish to: a real mosquitto, and some that no one should have to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

CONNACK = bytes([0x20, 2, 0, 0])
PUBLISH_COMMAND = bytes([0x30, 12, 0, 4]) + b"stop" + b"engage"
ENDLESS = bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F])
"""Begins a message of 256 MiB."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A real broker on loopback."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        assert program, "mosquitto is not installed: launch/setup.sh installs it"
        self.port = port or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._conf = folder / "mosquitto.conf"
        user = "user root\n" if os.getuid() == 0 else ""
        self._conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n{user}")
        self._program, self._log = program, (folder / "mosquitto.log").open("w")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([self._program, "-c", str(self._conf)], stdout=self._log, stderr=self._log)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            assert self.process.poll() is None, self._conf.with_suffix(".log").read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def close(self) -> None:
        self.stop()
        self._log.close()


class Subscriber:
    """Collects what a broker hands out, by topic."""

    def __init__(self, port: int, topics: str = "teleop/v1/#") -> None:
        self._port, self._topics = port, topics
        self.heard: list[tuple[str, bool, dict[str, Any]]] = []
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Subscriber:
        self._task = asyncio.create_task(self._listen())
        await asyncio.wait_for(self._ready.wait(), 60)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            await client.subscribe(self._topics, qos=1)
            self._ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                self.heard.append((str(message.topic), message.retain, msgspec.json.decode(message.payload)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [payload for topic, _, payload in self.heard if topic.endswith("/" + kind)]

    async def until(self, done: Any, what: str) -> None:
        for _ in range(6000):
            if done():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not within 60 s: {what}; heard {[topic for topic, _, _ in self.heard]}")


class MadBroker:
    """Accepts connections and answers them its own way."""

    def __init__(self, way: str, port: int = 0) -> None:
        self.way, self.port = way, port
        self.calls = 0
        self.first_words: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> MadBroker:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            self.first_words.append(await reader.read(1024))
            await getattr(self, f"_{self.way}")(reader, writer)
            writer.close()

    async def _silent(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def _slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greets, then takes one byte now and then, and confirms nothing."""
        writer.write(CONNACK)
        while await reader.read(1):
            await asyncio.sleep(0.2)

    async def _flapping(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK)
        await writer.drain()

    async def _garbage(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(range(255, -1, -1)) * 64)
        await writer.drain()

    async def _greets_then_garbage(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CONNACK + bytes(range(255, -1, -1)) * 64)
        await writer.drain()

    async def _commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Sends what nobody asked for, and acknowledgements of nothing."""
        writer.write(CONNACK + 200 * (PUBLISH_COMMAND + bytes([0x40, 2, 0x55, 0x55])) + ENDLESS)
        await writer.drain()
        await reader.read()


MAD = ("silent", "slow", "flapping", "garbage", "greets_then_garbage", "commands")
