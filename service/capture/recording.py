"""One episode while it is recorded: samples, events, losses and its verdict. Its methods raise OSError: the disk."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from teleopd.robots.model import RobotModel
from teleopd.safety.words import Cause, Mode
from teleopd.service.capture.cameras.parts import Assembler
from teleopd.service.capture.records import EpisodeWish
from teleopd.service.capture.samples import BATCHES, Rows
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.spool import SpooledFile
from teleopd.service.capture.verdict import Verdict, VerdictMeter
from teleopd.service.capture.video import CAMERA
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

FLUSH_NS = 100_000_000
"""What a killed recorder may lose."""
LOOK_NS = 1_000_000_000
"""How often lost samples are said."""
LONG = 4096
"""Metadata longer than this are in the episode only, not in the manifest."""


class Inputs(NamedTuple):
    """One look at everything."""

    now_ns: int
    wall_ns: int
    """Wall clock at the same instant."""
    mode: int
    """Of the ladder; -1 while there is none."""
    rows: Mapping[str, Rows]
    """Stream, 'event' or 'camera/NAME' -> records drained from its ring."""
    lost: Mapping[str, int]
    """Stream -> samples its ring has dropped so far."""
    wishes: Sequence[EpisodeWish | None] = ()
    acts: Sequence[tuple[str, str]] = ()
    """(writer, act) of every operator's act since the last look."""


class Finished(NamedTuple):
    """A whole episode."""

    path: Path
    verdict: Verdict
    row: dict[str, Any]
    """Its line in the manifest."""


class Recording:
    """The episode in the making."""

    def __init__(
        self, folder: Path, header: EpisodeHeader, model: RobotModel, given: Inputs, *, balances: bool
    ) -> None:
        """
        Raises:
            RecordingError: the folder cannot be written to.
        """
        self._header, self._balances = header, balances
        stem = f"{header.robot}_{_utc(given.wall_ns):%Y%m%d-%H%M%S}"
        self.file = SpooledFile(folder, stem)
        try:
            self._writer = EpisodeWriter(self.file, header, given.now_ns, given.wall_ns)
            self.file.drain()  # a disk that takes nothing is found before anyone relies on it
        except OSError:
            self.file.discard()
            raise
        self._columns = {
            name: [column.name for column in channel.columns]
            for name, channel in channels(header.joint_names, header.body_names).items()
        }
        self._meter = VerdictMeter(model)
        self._cameras = {name: Assembler() for name in header.cameras}
        self._pictured_ns = dict.fromkeys(header.cameras, given.now_ns)
        self.begun_ns = self._flushed_ns = self._looked_ns = given.now_ns
        self._to_wall_ns = given.wall_ns - given.now_ns
        self._lost_before = dict(given.lost)
        self._lost_said = 0
        self.lost = 0
        """Samples that did not reach the file so far."""
        self._mode, self._causes = given.mode, 0
        self._meter.mode(given.mode, -1)
        self._event(given.now_ns, "episode", "the episode begins", verb="start")
        if given.mode >= 0:
            self._event(given.now_ns, "mode", Mode(given.mode).name, mode=Mode(given.mode).name, cause=None)

    def take(self, given: Inputs) -> None:
        """Write what came, flush when it is time."""
        for row in given.rows.get("event", ()):
            self._safety_event(row)
        for who, act in given.acts:
            self._event(given.now_ns, "operator", f"{who}: {act}", who=who, act=act)
        bodies = len(self._header.body_names)
        for name, make in BATCHES.items():
            rows = given.rows.get(name)
            if rows is None or len(rows) == 0:
                continue
            batch = make(rows, bodies)
            if len(batch.t_ns):
                self._writer.write(name, *batch)
                self._meter.add(name, batch.t_ns, dict(zip(self._columns[name], batch.arrays, strict=True)))
        self._take_observations(given)
        self._take_pictures(given)
        self._meter.wall_step((given.wall_ns - given.now_ns) - self._to_wall_ns)
        if given.now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = given.now_ns
            self._say_lost(given)
        if given.now_ns - self._flushed_ns >= FLUSH_NS:
            self._flushed_ns = given.now_ns
            self._writer.flush()

    def _take_observations(self, given: Inputs) -> None:
        rows = given.rows.get("observation")
        if rows is not None and len(rows):
            size = int(rows["size"][0])
            rows = rows[rows["size"] == size]  # one policy runs in a session
            self._writer.observations(rows["t_ns"], rows["values"][:, :size], rows["targets_seq"])

    def _take_pictures(self, given: Inputs) -> None:
        for name, assembler in self._cameras.items():
            rows = given.rows.get(f"{CAMERA}{name}")
            for picture in () if rows is None else assembler.take(rows):
                self._writer.picture(name, picture.t_ns, picture.t_received_ns, picture.data, picture.size)
                self._meter.no_picture(name, picture.t_received_ns - self._pictured_ns[name])
                self._pictured_ns[name] = picture.t_received_ns

    def finish(self, given: Inputs, why: str, success: str = "") -> Finished:
        """Write the end and give the file its name."""
        lost = self._lost_now(given)
        self.lost = sum(lost.values())
        for name, at_ns in self._pictured_ns.items():
            self._meter.no_picture(name, given.now_ns - at_ns)
        verdict = self._meter.result(self.lost, balances=self._balances)
        duration_s = (given.now_ns - self.begun_ns) / 1e9
        self._event(given.now_ns, "episode", f"the episode ends: {why}", verb="stop")
        counts = dict(self._writer.counts)
        result = {
            "success": success, "ended": why, "verdict": verdict.verdict,
            "verdict_reasons": json.dumps(verdict.reasons), "duration_s": f"{duration_s:.3f}",
        }  # fmt: skip
        path = self._writer.finish(result, lost)
        said = {key: value for key, value in self._header.metadata.items() if len(value) <= LONG}
        row = {
            "recorded": f"{_utc(given.wall_ns):%Y-%m-%dT%H:%M:%SZ}", "robot": self._header.robot, **said,
            "success": success, "ended": why, "verdict": verdict.verdict, "verdict_reasons": list(verdict.reasons),
            "figures": dict(verdict.figures), "split": "train" if verdict.verdict == "keep" else verdict.verdict,
            "duration_s": round(duration_s, 3), "samples": counts, "dropped": lost,
        }  # fmt: skip
        return Finished(path, verdict, row)

    def abandon(self) -> None:
        """The disk refuses: the `.part` stays as it is."""
        self._writer.abandon()

    def _lost_now(self, given: Inputs) -> dict[str, int]:
        lost = {name: max(0, count - self._lost_before.get(name, 0)) for name, count in given.lost.items()}
        return lost | {f"{CAMERA}{name}": assembler.lost for name, assembler in self._cameras.items()}

    def _say_lost(self, given: Inputs) -> None:
        lost = self._lost_now(given)
        self.lost = sum(lost.values())
        if self.lost > self._lost_said:
            self._lost_said = self.lost
            text = ", ".join(f"{count} of {name}" for name, count in lost.items() if count)
            self._event(given.now_ns, "drop", f"samples lost so far: {text}", lost=lost)

    def _safety_event(self, row: Any) -> None:
        t_ns, mode, cause, causes = (int(row[key]) for key in ("t_ns", "mode", "mode_cause", "causes"))
        if mode != self._mode:
            self._mode = mode
            self._meter.mode(mode, cause)
            why = Cause(cause).name if cause >= 0 else None
            text = Mode(mode).name + (f" ({why})" if why else "")
            self._event(t_ns, "mode", text, mode=Mode(mode).name, cause=why)
        for one in Cause:
            if (causes ^ self._causes) >> one & 1:
                active = bool(causes >> one & 1)
                text = f"{one.name} {'begins' if active else 'is over'}"
                self._event(t_ns, "cause", text, cause=one.name, active=active)
        self._causes = causes

    def _event(self, t_ns: int, kind: str, text: str, **more: object) -> None:
        self._writer.event(t_ns, {"kind": kind, "text": text, **more})


def _utc(wall_ns: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(wall_ns / 1e9, datetime.UTC)
