"""From a snapshot of the slots to the messages and metrics that leave the computer. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from teleopd.drivers.source import SourceState as Phase
from teleopd.robots.model import LowState, RobotModel
from teleopd.safety.words import Cause
from teleopd.service.console.snapshot import Snapshot, recording_words, warnings
from teleopd.service.telemetry import messages
from teleopd.service.telemetry.messages import MOST_ALARMS, MOST_TEXT


class Identity(NamedTuple):
    """What does not change while the service runs."""

    serial: str
    model: RobotModel
    source: str
    operator: str
    policy: str
    config_sha256: str
    software_version: str
    started_ns: int
    gate_steps: tuple[str, ...]


class Stamps:
    """Numbers the messages of each topic."""

    def __init__(self, serial: str) -> None:
        self._serial = serial
        self._count = dict.fromkeys(messages.KINDS, 0)

    def next(self, kind: str, wall_s: float) -> dict[str, object]:
        """Header fields of the next message. `wall_s`: seconds since 1970."""
        self._count[kind] += 1
        return {"header_id": self._count[kind], "timestamp": iso(wall_s), "serial_number": self._serial}


def iso(wall_s: float) -> str:
    """UTC, ISO 8601 with milliseconds: '2026-11-21T10:00:00.123Z'."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def state_message(snapshot: Snapshot, who: Identity, header: dict[str, object]) -> messages.State:
    """The newest of everything, as one record."""
    link = snapshot.link
    safety = snapshot.safety
    since_s = 0.0 if safety is None else max(0, snapshot.now_ns - safety.mode_since_ns) / 1e9
    return messages.State(
        **header,  # type: ignore[arg-type]
        robot=who.model.name, mode=mode_name(snapshot), mode_seconds=round(since_s, 1),
        mode_cause=None if safety is None or safety.mode_cause < 0 else Cause(safety.mode_cause).name,
        causes=[cause.name for cause in causes(snapshot)],
        alarms=[alarm[:MOST_TEXT] for alarm in warnings(snapshot)[:MOST_ALARMS]],
        operator=who.operator, engaged=bool(safety is not None and safety.engage_held),
        source=_source(snapshot, who), policy=who.policy,
        battery_percent=None if link is None or link.battery < 0 else float(link.battery),
        motors=_motors(snapshot.state, who.model), recording=recording_words(snapshot)[:MOST_TEXT],
        session_seconds=round((snapshot.now_ns - who.started_ns) / 1e9, 1),
        software_version=who.software_version, config_sha256=who.config_sha256,
    )  # fmt: skip


def mode_name(snapshot: Snapshot) -> str:
    """Of the ladder, or UNKNOWN."""
    return "UNKNOWN" if snapshot.mode is None else snapshot.mode.name


def causes(snapshot: Snapshot) -> list[Cause]:
    """In force now."""
    return [] if snapshot.safety is None else [cause for cause in Cause if snapshot.safety.causes >> cause & 1]


def _source(snapshot: Snapshot, who: Identity) -> messages.SourceState:
    age_s = snapshot.source_age_s
    return messages.SourceState(
        name=who.source, state=snapshot.source_state.name.lower(),
        rate_hz=round(float(snapshot.source.rate_hz), 1) if snapshot.source else 0.0,
        age_ms=None if age_s is None else round(1e3 * age_s, 1),
        loss=round(float(snapshot.source.loss), 4) if snapshot.source else 0.0,
    )  # fmt: skip


def _motors(state: LowState | None, model: RobotModel) -> messages.MotorState | None:
    if state is None or not np.isfinite(state.temperature_c).any():
        return None
    hottest = int(np.nanargmax(state.temperature_c))
    return messages.MotorState(
        hottest_joint=model.joint_names[hottest], hottest_celsius=round(float(state.temperature_c[hottest]), 1),
        faults=int(np.count_nonzero(state.motor_fault)),
    )  # fmt: skip


class Happening(NamedTuple):
    """An event without its header."""

    kind: str
    text: str
    cause: str | None = None


def happenings(before: Snapshot, after: Snapshot) -> Iterator[Happening]:
    """What changed between two looks."""
    if after.mode is not None and after.mode != before.mode:
        assert after.safety is not None
        cause = None if after.safety.mode_cause < 0 else Cause(after.safety.mode_cause).name
        yield Happening("mode", mode_name(after) + (f" because of {_plain(cause)}" if cause else ""), cause)
    old, new = set(causes(before)), set(causes(after))
    for cause_ in sorted(new - old):
        yield Happening("cause", _plain(cause_.name), cause_.name)
    for cause_ in sorted(old - new):
        yield Happening("cleared", f"{_plain(cause_.name)} is over", cause_.name)
    if after.source_state != before.source_state and after.source is not None:
        yield Happening("source", f"source {Phase(after.source_state).name.lower()}")
    was, now = (None if look.recorder is None else look.recorder.state for look in (before, after))
    if now is not None and now != was and recording_words(after):
        yield Happening("recording", recording_words(after)[:MOST_TEXT])


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
