"""A whole service that tells of itself: whatever broker it has, and whatever becomes of the telemetry process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from teleopd.safety.words import Cause, Mode

from ..service.telemetry.brokers import MadBroker, Mosquitto, Subscriber, free_port
from .conftest import StartService, until
from .operating import Operator, stands, walking

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.long]
BROKERS = ("absent", "silent", "slow", "flapping", "garbage", "greets_then_garbage", "commands")
CONTROL = (Cause.TARGETS_LOST, Cause.STATE_LOST, Cause.STANDBY_TOOK_OVER, Cause.RESTARTED, Cause.OPERATOR_STOP,
           Cause.OPERATOR_DAMP)  # fmt: skip
"""What would show that telemetry had reached the control path."""


@contextlib.contextmanager
def broker(way: str) -> Iterator[int]:
    """A broker of that kind on a port of loopback, on a thread of its own."""
    if way == "absent":
        yield free_port()
        return
    ready, over, port = threading.Event(), threading.Event(), [0]

    async def serve() -> None:
        async with MadBroker(way) as mad:
            port[0] = mad.port
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield port[0]
    finally:
        over.set()
        thread.join(60)


@pytest.mark.parametrize("way", BROKERS)
def test_no_broker_has_an_effect_on_control(start_service: StartService, way: str):
    with broker(way) as port:
        service = walking(start_service, "--mqtt", f"127.0.0.1:{port}", "--metrics-port", str(free_port()))
        operator = Operator(service)
        try:
            operator.climb(Mode.ACTIVE)
            assert stands(service, 5.0), service.log()
            counts = service.status().cause_counts
            assert [cause.name for cause in CONTROL if counts[cause]] == [], service.log()
            assert service.has_child("telemetry"), service.log()
        finally:
            operator.close()
        service.interrupt()
        assert service.end() == 0, service.log()
        assert service.left() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_a_telemetry_process_that_is_lost_changes_nothing_and_is_told_as_the_last_will(
    start_service: StartService, number: signal.Signals, tmp_path: Path
):
    mosquitto = Mosquitto(tmp_path / "mosquitto")
    service = walking(start_service, "--mqtt", f"127.0.0.1:{mosquitto.port}", "--serial", "lab-7")
    operator = Operator(service)
    operator.climb(Mode.ACTIVE)

    async def lose() -> None:
        async with Subscriber(mosquitto.port) as live:
            await live.until(lambda: any(state["mode"] == "ACTIVE" for state in live.of("state")), "ACTIVE is told")
            lost = service.child("telemetry")
            lost.send_signal(number)
            try:
                await live.until(
                    lambda: any(word["connectionState"] == "CONNECTIONBROKEN" for word in live.of("connection")), "will"
                )
                assert stands(service, 2.0), service.log()
            finally:
                with contextlib.suppress(psutil.NoSuchProcess):
                    lost.send_signal(signal.SIGCONT)
            await live.until(lambda: live.of("connection")[-1]["connectionState"] == "ONLINE", "it is back")

    asyncio.run(lose())
    operator.close()
    service.interrupt()
    assert service.end() == 0, service.log()
    mosquitto.close()


def test_systemd_is_told_ready_and_fed_while_all_goes_on(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And a service that was killed comes up again disarmed, with its motor process's claim respected."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(0.2)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    service = walking(start_service)
    heard: list[str] = []

    def hear(word: str) -> bool:
        with contextlib.suppress(TimeoutError):
            heard.extend(manager.recv(4096).decode().splitlines())
        return word in heard

    until(lambda: hear("READY=1"), "READY", 300.0)  # the retargeter may have to be compiled first
    until(lambda: hear("WATCHDOG=1"), "WATCHDOG")
    assert "STATUS=ACTIVE" not in heard
    operator = Operator(service)
    operator.climb(Mode.ACTIVE)
    until(lambda: hear("STATUS=ACTIVE"), "the mode")
    operator.close()
    service.see_children()
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait(60)
    until(lambda: service.left() == [], "the motor process brought the robot down and ended")
    again = walking(start_service)
    again.wait_mode(Mode.IDLE)
    time.sleep(1.0)
    assert again.mode is Mode.IDLE, "nothing readies, arms or engages by itself"
    again.interrupt()
    assert again.end() == 0
    manager.close()
