"""Simulated robots that report to a real broker through the publisher of the service."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Mode
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.link_status import LinkStatus
from teleopd.service.telemetry.publisher import Publisher
from teleopd.service.telemetry.settings import Broker
from teleopd.service.telemetry.state import Identity, Stamps, state_message

from .conftest import NOW, low_state, safety

MODES = (Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.DAMPED)


async def report(number: int, port: int, period_s: float) -> None:
    """One robot: a connection of its own, its state once a period."""
    who = Identity(
        f"g1-{number:02d}", MODEL, "pico", f"operator {number}", "default", "0" * 64, "0.1.0", NOW, GATE_STEPS
    )
    stamps = Stamps(who.serial)
    publisher = Publisher(Broker("127.0.0.1", port), who.serial, stamps)
    running = asyncio.create_task(publisher.run())
    looked = Snapshot(
        NOW, None, None, None, None, None, low_state(),
        safety(MODES[number % len(MODES)], causes=int(number % 10 == 0)), {}, {},
        link=LinkStatus(NOW, 5, *range(9), battery=number),
    )  # fmt: skip
    try:
        while True:
            publisher.offer(state_message(looked, who, stamps.next("state", time.time())))
            await asyncio.sleep(period_s)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def fleet(count: int, port: int, period_s: float = 1.0) -> None:
    """All of them, spread over the second."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(report(number, port, period_s)))
        await asyncio.sleep(period_s / count)
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fleet(int(sys.argv[1]), int(sys.argv[2])))
