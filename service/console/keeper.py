"""The loop's end of the desk: reads what our own part of the page shows, and does what its pages ask for."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.model import RobotModel
from teleopd.service.capture.records import CameraStatus, CameraTile
from teleopd.service.console.desk import Answer, Ask, Desk
from teleopd.service.console.figures import StagePlots, figures, recent
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.latency_status import LatencyStatus
from teleopd.service.streams import MOST_CAMERAS, Bus

FIGURES_NS: Final = 100_000_000


class Keeper:
    """Of one console process. `asks`: pages may ask for more than to look."""

    def __init__(self, robot: RobotModel, bus: Bus, desk: Desk, *, asks: bool) -> None:
        self._robot, self._bus, self._desk = robot, bus, desk
        self._plots = StagePlots()
        self._pictures_ns: dict[int, int] = {}
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
        shown = figures(self._robot, snapshot, self._plots.see(self._latency()), self._cameras())
        self._desk.message = msgspec.json.encode(shown)

    def check(self, ask: Ask) -> Answer:
        """Whether an ask is taken, in the gateway's thread; one sentence either way."""
        return Answer(False, "not here")

    def _do(self, ask: Ask, now_ns: int) -> None:
        pass

    def _cameras(self) -> dict[int, tuple[CameraStatus, int]]:
        """What each camera says, and the time of its newest picture, which goes to the desk."""
        found = {}
        for number in range(MOST_CAMERAS):
            seen: CameraStatus | None = self._read(f"camera_status_{number}")
            if seen is None:
                continue
            tile: CameraTile | None = self._read(f"camera_tile_{number}")
            if tile is not None and tile.t_ns != self._pictures_ns.get(number):
                self._pictures_ns[number] = tile.t_ns
                self._desk.pictures[number] = tile.data[: tile.size].tobytes()
            found[number] = seen, self._pictures_ns.get(number, 0)
        return found

    def _latency(self) -> LatencyStatus | None:
        found: LatencyStatus | None = self._read("latency_status")
        return found

    def _read(self, name: str) -> Any:
        try:
            return self._bus.slot(name).read()
        except SegmentMissing:
            return None
