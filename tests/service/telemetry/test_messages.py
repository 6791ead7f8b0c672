"""The messages: their schema is the documented one, and what is published satisfies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from teleopd.safety.words import Mode
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.telemetry.messages import TYPES, VERSION, Event, Health, check_serial, json_schema, topic
from teleopd.service.telemetry.state import Identity, Stamps, happenings, state_message

from .conftest import NOW, safety

ROOT = Path(__file__).resolve().parents[3]
S = 10**9


def plain(message: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(message))


@pytest.mark.checkout
def test_the_documented_schema_is_that_of_the_code():
    documented = json.loads((ROOT / "docs" / "telemetry.schema.json").read_text())
    assert documented == json_schema(), "run: make docs-generated"


def test_everything_published_satisfies_its_schema(full: Snapshot, who: Identity):
    schema, stamps = json_schema(), Stamps("lab-7")
    header = {kind: stamps.next(kind, 1.5) for kind in TYPES}
    made: list[tuple[str, Any]] = [
        ("state", state_message(full, who, header["state"])),
        ("state", state_message(NOTHING_YET, who, header["state"])),
        ("health", Health(**header["health"], metrics={"teleopd_engaged": 1.0})),
        ("event", Event(**header["event"], kind="mode", text="ACTIVE", mode="ACTIVE")),
        ("connection", TYPES["connection"](**header["connection"], connection_state="ONLINE")),  # type: ignore[call-arg]
    ]
    for kind, message in made:
        one = {"$defs": schema["$defs"], **schema["topics"][topic("<serial>", kind)]}
        jsonschema.Draft202012Validator(one).validate(plain(message))
        wrong = plain(message) | {"headerId": "one"}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(one).validate(wrong)


def test_the_state_of_a_healthy_run(full: Snapshot, who: Identity):
    found = plain(state_message(full, who, Stamps("lab-7").next("state", 0.25)))
    assert found == {
        "headerId": 1, "timestamp": "1970-01-01T00:00:00.250Z", "serialNumber": "lab-7", "version": VERSION,
        "manufacturer": "teleopd", "robot": "unitree_g1", "mode": "ACTIVE", "modeSeconds": 3.0, "modeCause": None,
        "causes": [], "alarms": [], "operator": "anna", "engaged": True,
        "source": {"name": "xsens", "state": "streaming", "rateHz": 119.9, "ageMs": 12.0, "loss": 0.015},
        "policy": "default", "batteryPercent": 81.0,
        "motors": {"hottestJoint": "left_knee_joint", "hottestCelsius": 71.2, "faults": 1},
        "recording": "REC 12 s walk.mcap", "sessionSeconds": 60.0, "softwareVersion": "0.1.0",
        "configSha256": "0" * 64,
    }  # fmt: skip


def test_before_the_robot_loop_spoke_the_mode_is_unknown(who: Identity):
    found = plain(state_message(NOTHING_YET._replace(now_ns=NOW), who, Stamps("lab-7").next("state", 0.0)))
    assert (found["mode"], found["motors"], found["batteryPercent"]) == ("UNKNOWN", None, None)
    assert found["source"] == {"name": "xsens", "state": "connecting", "rateHz": 0.0, "ageMs": None, "loss": 0.0}


def test_a_silent_robot_loop_and_causes_are_alarms(full: Snapshot, who: Identity):
    late = full._replace(now_ns=NOW + 3 * S, safety=safety(Mode.HOLD, causes=0b11, mode_cause=0))
    found = plain(state_message(late, who, Stamps("lab-7").next("state", 0.0)))
    assert found["alarms"] == ["robot-io is silent for 3.0 s", "source stale", "source lost"]
    assert (found["causes"], found["modeCause"]) == (["SOURCE_STALE", "SOURCE_LOST"], "SOURCE_STALE")


def test_events_are_what_changed_between_two_looks(full: Snapshot):
    held = full._replace(safety=safety(Mode.HOLD, causes=0b1, mode_cause=0))
    assert list(happenings(full, full)) == []
    assert list(happenings(full, held)) == [
        ("mode", "HOLD because of source stale", "SOURCE_STALE"), ("cause", "source stale", "SOURCE_STALE"),
    ]  # fmt: skip
    assert list(happenings(held, full)) == [
        ("mode", "ACTIVE", None), ("cleared", "source stale is over", "SOURCE_STALE"),
    ]  # fmt: skip
    first = [found.kind for found in happenings(NOTHING_YET, full)]
    assert first == ["mode", "source", "recording"]


def test_headers_count_by_topic_and_carry_utc():
    stamps = Stamps("lab-7")
    assert [stamps.next("state", 0.0)["header_id"] for _ in range(3)] == [1, 2, 3]
    assert stamps.next("event", 86_400.1234) == {
        "header_id": 1, "timestamp": "1970-01-02T00:00:00.123Z", "serial_number": "lab-7",
    }  # fmt: skip


@pytest.mark.parametrize("serial", ["", "a/b", "a+", "#", "a b", "ä", "x" * 65, "a\n"])
def test_a_serial_that_is_no_part_of_a_topic_is_refused(serial: str):
    with pytest.raises(ValueError, match=r"is not 1 to 64 letters, digits"):
        check_serial(serial)
    assert check_serial("g1-lab_2.local") == "g1-lab_2.local"
