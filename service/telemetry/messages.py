"""What is published over MQTT: one strictly typed record a topic, in the manner of VDA 5050. Out only.

Field names are camelCase on the wire. A reader ignores keys it does not know; a change that breaks one raises the
first number of `VERSION` and the topic's `v1`. `docs/telemetry.schema.json` is `json_schema()`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

VERSION = "1.0"
MANUFACTURER = "teleopd"
ROOT = "teleop/v1"
KINDS = ("connection", "state", "health", "event")
ConnectionState = Literal["ONLINE", "OFFLINE", "CONNECTIONBROKEN"]
MOST_TEXT = 300
"""Characters of one sentence."""
MOST_ALARMS = 16


class Header(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """Begins every message, as in VDA 5050."""

    header_id: int
    """Counts the messages of this topic, from 1; starts again with the process."""
    timestamp: str
    """UTC, ISO 8601 with milliseconds."""
    serial_number: str
    """The robot's own name in its topics."""
    version: str = VERSION
    manufacturer: str = MANUFACTURER


class Connection(Header, kw_only=True, frozen=True, rename="camel"):
    """Retained. CONNECTIONBROKEN is the last will: the broker publishes it when the robot falls silent. It tells a
    fleet view that nothing is known; it is no safety timeout."""

    connection_state: ConnectionState


class SourceState(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """Where the operator's motion comes from."""

    name: str
    state: str
    """connecting, streaming, stale or closed."""
    rate_hz: float
    age_ms: float | None
    """Of the newest frame; null before the first."""
    loss: float
    """Share of frames that never came, 0 to 1."""


class MotorState(msgspec.Struct, kw_only=True, frozen=True, rename="camel"):
    """The hottest motor, and how many report a fault."""

    hottest_joint: str
    hottest_celsius: float
    faults: int


class State(Header, kw_only=True, frozen=True, rename="camel"):
    """Retained, once a second: what an overview shows of a robot."""

    robot: str
    """Model: unitree_g1, ..."""
    mode: str
    """Of the ladder; UNKNOWN before the robot loop spoke."""
    mode_seconds: float
    mode_cause: str | None
    """Why the mode was entered; null for an operator's act or normal progress."""
    causes: list[str]
    """In force now."""
    alarms: list[str]
    """What a person should look at, most urgent first, as sentences."""
    operator: str
    """As `--operator` names them; empty: nobody was named."""
    engaged: bool
    """The deadman that counts is held."""
    source: SourceState
    policy: str
    battery_percent: float | None
    """Null where the robot reports none."""
    motors: MotorState | None
    recording: str
    """What is recorded; empty: nothing."""
    session_seconds: float
    """Since the service started."""
    software_version: str
    config_sha256: str


class Health(Header, kw_only=True, frozen=True, rename="camel"):
    """Once a second: every figure that the Prometheus endpoint gives, under the same names."""

    metrics: dict[str, float]


class Event(Header, kw_only=True, frozen=True, rename="camel"):
    """At once: something changed."""

    kind: Literal["mode", "cause", "cleared", "recording", "source"]
    text: str
    mode: str
    cause: str | None = None


TYPES: dict[str, type[Header]] = {"connection": Connection, "state": State, "health": Health, "event": Event}


def topic(serial: str, kind: str) -> str:
    """'teleop/v1/<serial>/<kind>'."""
    return f"{ROOT}/{serial}/{kind}"


def check_serial(serial: str) -> str:
    """`serial`, if it can stand in a topic.

    Raises:
        ValueError: it is empty, longer than 64 characters, or has any other than letters, digits, '_', '-' and '.'.
    """
    plain = serial.isascii() and serial.replace("_", "").replace("-", "").replace(".", "").isalnum()
    if not plain or len(serial) > 64:
        raise ValueError(f"serial '{serial}' is not 1 to 64 letters, digits, '_', '-' or '.'")
    return serial


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every message, by topic."""
    kinds, components = msgspec.json.schema_components(TYPES.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"teleopd telemetry {VERSION}",
        "topics": {topic("<serial>", name): schema for name, schema in zip(TYPES, kinds, strict=True)},
        "$defs": components,
    }
