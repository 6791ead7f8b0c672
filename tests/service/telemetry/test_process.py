"""The telemetry process as the service starts it: real shared memory, a real broker, a real endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from teleopd.launch.processes import Processes
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Mode
from teleopd.service.streams import Bus
from teleopd.service.telemetry.settings import Broker, TelemetrySettings

from .brokers import Mosquitto, Subscriber, free_port
from .conftest import latency, safety
from .test_exposition import scrape

SERVICE = Path(__file__).resolve().parents[3] / "service" / "telemetry"
PUBLISHING = ("messages", "state", "settings", "publisher", "exposition", "process")


@contextlib.contextmanager
def telemetry(owner: SessionOwner, port: int, metrics_port: int = 0) -> Iterator[Any]:
    processes = Processes(print)
    settings = TelemetrySettings(
        "lab-7", "xsens", "anna", "default", "0" * 64, "0.1.0", GATE_STEPS, broker=Broker("127.0.0.1", port),
        metrics_port=metrics_port,
    )  # fmt: skip
    processes.start("telemetry", session=owner.session, robot="unitree_g1", settings=settings)
    process = processes.children["telemetry"].process
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGCONT)
        process.terminate()
        process.join(60)  # longer than the service would wait: other tests run beside this one
        processes.end()


def test_slots_become_messages_and_metrics_and_a_freeze_becomes_the_last_will(
    owner: SessionOwner, mosquitto: Mosquitto
):
    bus = Bus(owner.session, MODEL.n, create=True)
    metrics_port = free_port()

    async def run() -> None:
        async with Subscriber(mosquitto.port) as live:
            with telemetry(owner, mosquitto.port, metrics_port) as process:
                await live.until(lambda: any(s["mode"] == "UNKNOWN" for s in live.of("state")), "a first state")
                bus.slot("latency_status").write(latency())
                bus.slot("safety_status").write(safety(Mode.HOLD, causes=0b1, mode_cause=0))
                await live.until(lambda: any(s["mode"] == "HOLD" for s in live.of("state")), "the new mode")
                assert {"mode", "cause"} <= {event["kind"] for event in live.of("event")}
                await live.until(lambda: live.of("health")[-1]["metrics"].get("teleopd_mode_hold") == 1.0, "health")
                scraped = await asyncio.to_thread(scrape, metrics_port)
                assert scraped["teleopd_mode_hold"] == 1.0 and scraped["teleopd_mqtt_connected"] == 1.0
                os.kill(process.pid, signal.SIGSTOP)
                await live.until(lambda: live.of("connection")[-1]["connectionState"] == "CONNECTIONBROKEN", "the will")
                os.kill(process.pid, signal.SIGCONT)
                await live.until(lambda: live.of("connection")[-1]["connectionState"] == "ONLINE", "it is back")
            await live.until(lambda: live.of("connection")[-1]["connectionState"] == "OFFLINE", "an orderly end")

    asyncio.run(run())


def test_a_taken_metrics_port_is_one_sentence_for_the_parent(owner: SessionOwner, mosquitto: Mosquitto):
    Bus(owner.session, MODEL.n, create=True)
    with telemetry(owner, mosquitto.port, mosquitto.port) as process:
        process.join(60)
        assert process.exitcode == 3
    sentence = owner.session.path("telemetry.refused").read_text()
    assert sentence == f"the metrics endpoint cannot listen on 127.0.0.1:{mosquitto.port}: Address already in use"


@pytest.mark.checkout
def test_nothing_is_taken_from_a_broker_and_no_slot_is_written():
    """No command path: who writes no slot but its own sign of life and subscribes to nothing can command nothing."""
    for name in PUBLISHING:
        text = (SERVICE / f"{name}.py").read_text().replace("self._live.write(live)", "")
        assert not re.search(r"\bsubscribe\(|OperatorWriter|\.write\(|EpisodeWishes|ForceLimitWriter", text), name
