"""Every robot that reports to a broker, as one table: what was heard, kept in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from teleopd.service.telemetry.messages import ROOT, Connection, State, check_serial

SILENT_S = 5.0
"""A robot that says it is online and sent no state for so long is shown as silent."""
MOST_ROBOTS = 1000
MOST_BYTES = 64 * 1024
"""Of one message; a larger one is not looked at."""
TOPICS = (f"{ROOT}/+/connection", f"{ROOT}/+/state")

_decode_state = msgspec.json.Decoder(State).decode
_decode_connection = msgspec.json.Decoder(Connection).decode


class Row(NamedTuple):
    """One robot, as the views show it."""

    serial: str
    connection: str
    """ONLINE, OFFLINE, CONNECTIONBROKEN, SILENT, or UNKNOWN before it was heard."""
    robot: str
    mode: str
    operator: str
    source: str
    """'xsens streaming 60 Hz'."""
    battery_percent: float | None
    alarms: tuple[str, ...]
    age_s: float | None
    """Since its last state arrived; None when that one was only kept by the broker."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: plain values, the same names."""
        return {**self._asdict(), "alarms": list(self.alarms)}


class Fleet:
    """What was heard of each robot. Owned by one thread."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[State, float | None]] = {}
        self._connections: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        """Reason -> messages that were not understood."""

    def note(self, topic: str, payload: bytes, now_s: float, *, retained: bool = False) -> None:
        """Take one message; whatever is wrong with it is counted and never raised."""
        parts = topic.split("/")
        if len(parts) != 4 or "/".join(parts[:2]) != ROOT or len(payload) > MOST_BYTES:
            return self._refuse("topic or size")
        serial, kind = parts[2:]
        try:
            check_serial(serial)
            if serial not in self._states and serial not in self._connections and len(self) >= MOST_ROBOTS:
                return self._refuse("too many robots")
            if kind == "state":
                self._states[serial] = (_decode_state(payload), None if retained else now_s)
            elif kind == "connection":
                self._connections[serial] = _decode_connection(payload).connection_state
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._refuse("not of the schema")

    def __len__(self) -> int:
        return len(self._states.keys() | self._connections.keys())

    def rows(self, now_s: float) -> list[Row]:
        """By name."""
        return [self._row(serial, now_s) for serial in sorted(self._states.keys() | self._connections.keys())]

    def _row(self, serial: str, now_s: float) -> Row:
        connection = self._connections.get(serial, "UNKNOWN")
        if serial not in self._states:
            return Row(serial, connection, "", "", "", "", None, (), None)
        state, heard_s = self._states[serial]
        age_s = None if heard_s is None else round(max(0.0, now_s - heard_s), 1)
        if connection == "ONLINE" and age_s is not None and age_s > SILENT_S:
            connection = "SILENT"
        source = f"{state.source.name} {state.source.state}"
        if state.source.state == "streaming":
            source += f" {state.source.rate_hz:.0f} Hz"
        return Row(
            serial, connection, state.robot, state.mode, state.operator, source, state.battery_percent,
            tuple(state.alarms), age_s,
        )  # fmt: skip

    def _refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1


def urgent_first(rows: list[Row]) -> list[Row]:
    """Robots that are gone, then those with alarms, then the others: a terminal may be shorter than the table."""
    gone = ("CONNECTIONBROKEN", "SILENT")
    return sorted(rows, key=lambda row: (row.connection not in gone, not row.alarms, row.serial))


def summary(rows: list[Row], refused: Mapping[str, int]) -> str:
    """'50 robots: 48 online, 1 offline, 1 gone; 3 with alarms'."""
    count = {name: sum(row.connection == name for row in rows) for name in ("ONLINE", "OFFLINE", "SILENT")}
    gone = len(rows) - sum(count.values())
    text = f"{len(rows)} robots: {count['ONLINE']} online, {count['OFFLINE']} offline"
    text += f", {count['SILENT']} silent" * (count["SILENT"] > 0) + f", {gone} gone" * (gone > 0)
    alarmed = sum(bool(row.alarms) for row in rows)
    text += f"; {alarmed} with alarms" * (alarmed > 0)
    return text + f"; {sum(refused.values())} messages refused" * bool(refused)
