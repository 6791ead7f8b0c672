"""Publishing to a real mosquitto, and to brokers that are absent, slow, flapping or mad."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from teleopd.service.console.snapshot import Snapshot
from teleopd.service.telemetry import publisher
from teleopd.service.telemetry.messages import Event
from teleopd.service.telemetry.publisher import KEEPALIVE_S, MOST_EVENTS, Publisher
from teleopd.service.telemetry.settings import Broker
from teleopd.service.telemetry.state import Identity, Stamps, state_message

from .brokers import MAD, MadBroker, Mosquitto, Subscriber, free_port


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code, in less time."""
    for name, value in (("ANSWER_S", 0.3), ("FIRST_RETRY_S", 0.05), ("LAST_RETRY_S", 0.1)):
        monkeypatch.setattr(publisher, name, value)


@contextlib.asynccontextmanager
async def publishing(port: int) -> AsyncIterator[Publisher]:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    made = Publisher(Broker("127.0.0.1", port), "lab-7", Stamps("lab-7"))
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def event(number: int) -> Event:
    return Event(header_id=number, timestamp="", serial_number="lab-7", kind="mode", text=f"{number}", mode="IDLE")


def test_state_and_connection_are_retained_events_come_in_order(
    mosquitto: Mosquitto, full: Snapshot, who: Identity
):
    async def run() -> None:
        async with Subscriber(mosquitto.port) as live, publishing(mosquitto.port) as one:
            one.offer(state_message(full, who, Stamps("lab-7").next("state", 0.0)))
            for number in range(20):
                one.offer(event(number))
            await live.until(lambda: len(live.of("event")) == 20 and live.of("state"), "20 events and a state")
            assert [found["text"] for found in live.of("event")] == [str(number) for number in range(20)]
            assert [found["connectionState"] for found in live.of("connection")] == ["ONLINE"]
            async with Subscriber(mosquitto.port) as late:
                await late.until(lambda: len(late.heard) == 2, "what is retained")
                assert sorted((topic, retained) for topic, retained, _ in late.heard) == [
                    ("teleop/v1/lab-7/connection", True), ("teleop/v1/lab-7/state", True),
                ]  # fmt: skip
        async with Subscriber(mosquitto.port) as after:
            await after.until(lambda: after.of("connection"), "its last word")
            assert after.of("connection")[0]["connectionState"] == "OFFLINE"

    asyncio.run(run())


def test_an_absent_broker_that_comes_and_goes_is_called_until_it_answers(tmp_path: Path):
    port = free_port()

    async def run() -> None:
        async with publishing(port) as one:
            for number in range(MOST_EVENTS + 7):
                one.offer(event(number))
            while not one.trouble:
                await asyncio.sleep(0.01)
            assert (one.connected, one.lost_events) == (False, 7)
            broker = Mosquitto(tmp_path / "a", port)
            async with Subscriber(port) as live:
                one.offer(event(999))
                await live.until(lambda: any(found["text"] == "999" for found in live.of("event")), "the newest event")
            while not one.connected:
                await asyncio.sleep(0.01)
            broker.close()
            while one.connected:
                await asyncio.sleep(0.01)
            again = Mosquitto(tmp_path / "b", port)
            async with Subscriber(port) as live:
                await live.until(lambda: live.of("connection"), "ONLINE after the broker's restart")
                assert live.of("connection")[-1]["connectionState"] == "ONLINE"
            assert one.connections == 2
        again.close()

    asyncio.run(run())


@pytest.mark.parametrize("way", MAD)
def test_a_broker_that_is_mad_is_left_and_called_again(way: str, tmp_path: Path):
    """What it sends is heeded by nobody; a sane one in its place hears everything."""

    async def run() -> None:
        async with MadBroker(way) as mad, publishing(mad.port) as one:
            number = 0
            while mad.calls < 3:
                one.offer(event(number := number + 1))
                await asyncio.sleep(0.02)
            assert mad.first_words[0][0] == 0x10, "CONNECT"
            keepalive_at = mad.first_words[0].index(b"MQTT") + len(b"MQTT") + 2  # after level and flags
            word = mad.first_words[0][keepalive_at : keepalive_at + 2]
            assert word == KEEPALIVE_S.to_bytes(2, "big"), "1.5 times it is below 5 s"
            assert not any(word[:1] == b"\x82" for word in mad.first_words), "never subscribes"
            await mad.__aexit__()
            broker = Mosquitto(tmp_path / "sane", mad.port)
            async with Subscriber(mad.port) as live:
                one.offer(event(10**6))
                await live.until(lambda: any(e["text"] == "1000000" for e in live.of("event")), f"{way} is over")
        broker.close()

    asyncio.run(run())
