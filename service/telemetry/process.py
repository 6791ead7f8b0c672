"""The telemetry process: looks at the slots ten times a second and tells the broker and the metrics endpoint.

It may die, hang or be flooded; nothing waits for it, and nothing it hears reaches the service: it only publishes.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import RobotModel
from teleopd.robots.rates import freeze_collector
from teleopd.service.child import CpuMeter, Ending, refuse
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot, read_snapshot
from teleopd.service.latency_status import LatencyStatus
from teleopd.service.streams import Bus, LoopStatus
from teleopd.service.telemetry.messages import Event, Health
from teleopd.service.telemetry.metrics import all_metrics
from teleopd.service.telemetry.settings import TelemetrySettings
from teleopd.service.telemetry.state import Identity, Stamps, happenings, mode_name, state_message

if TYPE_CHECKING:
    from teleopd.service.telemetry.exposition import Figures
    from teleopd.service.telemetry.publisher import Publisher

LOOK_S = 0.1
LIVE_LOOKS = 5
"""So often the parent hears that this process lives; it ends one that hangs, so that the broker hears of it at once."""
TELL_LOOKS = 10
"""State and health go out every so many looks: once a second."""
NICE = 5
GOODBYES, GOODBYE_S = 3, 0.6
"""The parent waits 3 s for the end of a process."""


def main(session: Session, robot: str, settings: TelemetrySettings) -> None:
    """Entry of the process."""
    from teleopd.robots.catalog import load_robot

    os.nice(NICE)
    asyncio.run(serve(session, load_robot(robot), settings, Ending()))


async def serve(session: Session, model: RobotModel, settings: TelemetrySettings, ending: Ending) -> None:
    """Look and tell until the service ends."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # a library's own, of a mad broker
    look = Look(session, model, settings)
    endpoint = None
    if settings.metrics_port:
        from teleopd.service.telemetry.exposition import Endpoint

        try:
            endpoint = Endpoint(look.figures(), settings.metrics_host, settings.metrics_port)
        except OSError as error:
            where = f"{settings.metrics_host}:{settings.metrics_port}"
            refuse(session, "telemetry", f"the metrics endpoint cannot listen on {where}: {error.strerror}")
    publishing = None if settings.broker is None else asyncio.create_task(look.publisher(settings).run())
    freeze_collector()
    try:
        while not ending.now:
            look.once(time.monotonic_ns(), time.time())
            await asyncio.sleep(LOOK_S)
        if ending.orphaned and not ending.asked:
            os._exit(1)  # no goodbye: the broker publishes the last will, for the service has died
    finally:
        if publishing is not None:
            await _say_goodbye(publishing)
        if endpoint is not None:
            endpoint.close()


async def _say_goodbye(publishing: asyncio.Task[None]) -> None:
    """Cancel, and again: `asyncio.wait_for` of Python 3.11 may swallow one, when what it waits for comes just then."""
    for _ in range(GOODBYES):
        publishing.cancel()
        await asyncio.wait({publishing}, timeout=GOODBYE_S)
        if publishing.done():
            return


class Look:
    """One look at the slots after the other, and what follows from it. Owned by one event loop."""

    def __init__(self, session: Session, model: RobotModel, settings: TelemetrySettings) -> None:
        self._bus = Bus(session, model.n)
        self._settings = settings
        self._who = Identity(
            settings.serial, model, settings.source, settings.operator, settings.policy, settings.config_sha256,
            settings.software_version, time.monotonic_ns(), settings.gate_steps,
        )  # fmt: skip
        self._stamps = Stamps(settings.serial)
        self._before: Snapshot = NOTHING_YET
        self._looks = 0
        self._live, self._cpu = self._bus.slot("loop_telemetry"), CpuMeter()
        self._figures: Figures | None = None
        self._publisher: Publisher | None = None

    def figures(self) -> Figures:
        """What a metrics endpoint shows of every look from here on."""
        from teleopd.service.telemetry.exposition import Figures

        self._figures = Figures(self._who.model.name, self._who.serial)
        return self._figures

    def publisher(self, settings: TelemetrySettings) -> Publisher:
        """Who takes the messages of every look from here on."""
        from teleopd.service.telemetry.publisher import Publisher

        assert settings.broker is not None
        self._publisher = Publisher(settings.broker, settings.serial, self._stamps)
        return self._publisher

    def once(self, now_ns: int, wall_s: float) -> None:
        """Read every slot, tell what changed, and once a second how it stands."""
        snapshot = read_snapshot(self._bus, now_ns)
        if self._publisher is not None:
            for found in happenings(self._before, snapshot):
                header = self._stamps.next("event", wall_s)
                self._publisher.offer(Event(
                    **header, kind=found.kind, text=found.text, mode=mode_name(snapshot), cause=found.cause  # type: ignore[arg-type]
                ))  # fmt: skip
        self._before = snapshot
        if self._looks % TELL_LOOKS == 0:
            self._tell(snapshot, wall_s)
        if self._looks % LIVE_LOOKS == 0:
            live = LoopStatus(now_ns, 1.0 / LOOK_S, self._looks, 0, 0.0, 0.0, 0.0, 0.0, 0.0, self._cpu.percent())
            self._live.write(live)
        self._looks += 1

    def _tell(self, snapshot: Snapshot, wall_s: float) -> None:
        latency = self._latency()
        metrics = all_metrics(snapshot, latency, self._who.gate_steps) | self._broker_metrics()
        if self._figures is not None:
            self._figures.show(metrics, latency)
        if self._publisher is not None:
            state = state_message(snapshot, self._who, self._stamps.next("state", wall_s))
            self._publisher.offer(state)
            self._publisher.offer(Health(**self._stamps.next("health", wall_s), metrics=metrics))  # type: ignore[arg-type]

    def _latency(self) -> LatencyStatus | None:
        try:
            found: LatencyStatus | None = self._bus.slot("latency_status").read()
        except SegmentMissing:
            return None
        return found

    def _broker_metrics(self) -> dict[str, float]:
        publisher = self._publisher
        if publisher is None:
            return {}
        return {
            "teleopd_mqtt_connected": float(publisher.connected),
            "teleopd_mqtt_connections_total": float(publisher.connections),
            "teleopd_mqtt_lost_events_total": float(publisher.lost_events),
        }
