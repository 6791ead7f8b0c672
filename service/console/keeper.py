"""The loop's end of the desk: reads what our own part of the page shows, and does what its pages ask for."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import msgspec

from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.model import RobotModel
from teleopd.service.capture.records import CameraStatus, CameraTile, as_bytes, as_text
from teleopd.service.console.desk import Answer, Ask, Calibrate, CancelCalibration, ChooseSource, Desk, ForceLimit
from teleopd.service.console.facts import RunFacts, why_not_now
from teleopd.service.console.figures import StagePlots, figures, recent
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.console.wizard import Wizard
from teleopd.service.force_limit import ForceLimitWriter, check_force_limit
from teleopd.service.latency_status import LatencyStatus
from teleopd.service.setup_words import KINDS, SETUP_NAME_BYTES, SetupStatus, SetupWish
from teleopd.service.streams import MOST_CAMERAS, Bus

FIGURES_NS: Final = 100_000_000


class Keeper:
    """Of one console process. The loop's thread owns it; only `check` runs in the gateway's."""

    def __init__(
        self, robot: RobotModel, bus: Bus, desk: Desk, *, asks: bool, token: int = 0, facts: RunFacts | None = None
    ) -> None:
        """`asks`: pages may ask for more than to look. `token`: the session's operator token."""
        self._robot, self._bus, self._desk, self._token = robot, bus, desk, token
        self._facts = facts or RunFacts(keeps="this run takes no other source")
        self._plots = StagePlots()
        self._pictures_ns: dict[int, int] = {}
        self._due_ns = 0
        self._snapshot = NOTHING_YET
        """The newest; the gateway's thread reads it."""
        self._measured = deque[str](maxlen=4)
        """Operators whose file was written and who are not told to the parent yet."""
        self._wizard = Wizard(robot, self._measured.append)
        self._wished = 0
        desk.facts = msgspec.json.encode(self._facts.as_json(asks=asks))
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
        self._wizard.see(snapshot)
        if self._measured:
            self._use_measured(snapshot)
        if self._desk.watchers and snapshot.now_ns >= self._due_ns:
            self._due_ns = snapshot.now_ns + FIGURES_NS
            self._desk.message = msgspec.json.encode(self._message(snapshot))

    def check(self, ask: Ask) -> Answer:
        """Whether an ask is taken, in one sentence. In the gateway's thread: reads, and changes nothing."""
        snapshot = self._snapshot
        if isinstance(ask, Calibrate):
            return self._wizard.check(ask, snapshot)
        if isinstance(ask, ForceLimit):
            return _force_limit(ask, snapshot)
        if isinstance(ask, ChooseSource):
            return self._choose(ask, snapshot)
        return Answer(True, "cancelled")

    def _choose(self, ask: ChooseSource, snapshot: Snapshot) -> Answer:
        why = why_not_now(self._facts, snapshot.mode)
        if why:
            return Answer(False, why)
        if ask.name not in self._facts.sources:
            there_are = ", ".join(self._facts.sources)
            return Answer(False, f"source {ask.name} cannot be chosen here; there are: {there_are}")
        return Answer(True, f"source {ask.name}: asked for")

    def _do(self, ask: Ask, now_ns: int) -> None:
        if isinstance(ask, Calibrate):
            self._wizard.begin(ask, now_ns)
        elif isinstance(ask, CancelCalibration):
            self._wizard.cancel()
        elif isinstance(ask, ForceLimit):
            ForceLimitWriter(self._bus.slot("compliance_console"), self._token).ask(ask.newton, now_ns)
        elif isinstance(ask, ChooseSource):
            self._wish("source", ask.name, now_ns)

    def _use_measured(self, snapshot: Snapshot) -> None:
        """A freshly stored body: the run takes it where it can be changed now, else it waits for the next start."""
        operator, why = self._measured.popleft(), why_not_now(self._facts, snapshot.mode)
        if why:
            self._wizard.sentence += f". It is used at the next start, with --operator {operator}: {why}"
        else:
            self._wish("operator", operator, snapshot.now_ns)

    def _wish(self, kind: str, name: str, now_ns: int) -> None:
        last: SetupWish | None = self._read("setup_console")
        self._wished = 1 if last is None else last.seq + 1
        self._bus.slot("setup_console").write(
            SetupWish(self._wished, now_ns, self._token, KINDS.index(kind), as_bytes(name, SETUP_NAME_BYTES))
        )

    def _message(self, snapshot: Snapshot) -> dict[str, Any]:
        shown = figures(self._robot, snapshot, self._plots.see(self._latency()), self._cameras())
        shown["calibration"] = self._wizard.as_json(snapshot.now_ns)
        said: SetupStatus | None = self._read("setup_status")
        shown["setup"] = {
            "source": self._facts.source if said is None else as_text(said.source),
            "operator": self._facts.operator if said is None else as_text(said.operator),
            "sentence": "" if said is None else as_text(said.sentence),
            "why_not": why_not_now(self._facts, snapshot.mode),
            "waits": self._wished > (0 if said is None else said.taken),
        }
        return shown

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


def _force_limit(ask: ForceLimit, snapshot: Snapshot) -> Answer:
    policy = snapshot.policy
    if policy is None or math.isnan(policy.force_limit_n):
        return Answer(False, "nothing limits the force: the policy has no limit and compliance.admittance is off")
    if ask.newton is None:
        return Answer(True, "force limit: back to the run's own")
    try:
        check_force_limit(ask.newton)
    except ValueError as error:
        return Answer(False, str(error))
    return Answer(True, f"force limit: to {ask.newton:g} N at 1 N/s")
