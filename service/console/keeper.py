"""The loop's end of the desk: reads what our own part of the page shows, and does what its pages ask for."""

from __future__ import annotations

from typing import Final

import msgspec

from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.model import RobotModel
from teleopd.service.console.desk import Answer, Ask, Desk
from teleopd.service.console.figures import StagePlots, figures, recent
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.latency_status import LatencyStatus
from teleopd.service.streams import Bus

FIGURES_NS: Final = 100_000_000


class Keeper:
    """Of one console process. `asks`: pages may ask for more than to look."""

    def __init__(self, robot: RobotModel, bus: Bus, desk: Desk, *, asks: bool) -> None:
        self._robot, self._bus, self._desk = robot, bus, desk
        self._plots = StagePlots()
        self._due_ns = 0
        self._snapshot = NOTHING_YET
        """The newest; the gateway's thread reads it."""
        if asks:
            desk.check = self.check

    def complete(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the latencies that the service's parent published."""
        return snapshot._replace(latency=recent(self._latency()))

    def serve(self, snapshot: Snapshot) -> None:
        """One step of the loop; costs next to nothing while nobody hears the figures."""
        self._snapshot = snapshot
        while (ask := self._desk.take()) is not None:
            self._do(ask, snapshot.now_ns)
        if not self._desk.watchers or snapshot.now_ns < self._due_ns:
            return
        self._due_ns = snapshot.now_ns + FIGURES_NS
        shown = figures(self._robot, snapshot, self._plots.see(self._latency()), {})
        self._desk.message = msgspec.json.encode(shown)

    def check(self, ask: Ask) -> Answer:
        """Whether an ask is taken, in the gateway's thread; one sentence either way."""
        return Answer(False, "not here")

    def _do(self, ask: Ask, now_ns: int) -> None:
        pass

    def _latency(self) -> LatencyStatus | None:
        try:
            found: LatencyStatus | None = self._bus.slot("latency_status").read()
        except SegmentMissing:
            return None
        return found
