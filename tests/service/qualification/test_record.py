"""The record is about one policy, one robot and one safety table, and nothing else passes for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.qualification import record
from teleopd.service.qualification.criteria import CRITERIA

LEFT, RIGHT = "a" * 64, "b" * 64
PASSING = {one.name: one.limit for one in CRITERIA}


@pytest.fixture(scope="module")
def default() -> ResolvedPolicy:
    found = resolve("default", MODEL)
    assert found is not None
    return found


def save(made: record.Record, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.encode(made))


def made(who: record.Identity | None = None, profile: str = "full", **figures: float | None) -> record.Record:
    who = who or record.Identity("unitree_g1", "default", LEFT, LEFT, LEFT, LEFT)
    return record.make(who, profile, 3, ["dance.bvh"], [{"kind": "nominal"}], {**PASSING, **figures}, {}, "0.1.0")


def test_it_comes_back_as_it_was_written(tmp_path: Path):
    one = made()
    file = tmp_path / "new" / record.file_name(one.identity, one.profile)
    save(one, file)
    assert record.load(file) == one
    assert one.passed and one.failures() == []
    assert json.loads(file.read_text())["schema"] == "teleopd.qualification/1"


def test_a_failed_line_fails_the_record():
    one = made(dropout_drift=0.62)
    assert not one.passed
    assert [line.sentence() for line in one.failures()] == ["dropout_drift is 0.62, wanted at most 0.5 m"]


def test_the_file_is_named_after_robot_policy_key_and_profile():
    one = made()
    key = one.identity.key[:12]
    assert record.file_name(one.identity, one.profile) == f"unitree_g1-default-{key}.json"
    assert record.file_name(one.identity, "quick") == f"unitree_g1-default-{key}-quick.json"
    odd = record.Identity("unitree_g1", "../my policy", LEFT, LEFT, LEFT, LEFT)
    assert not set("/ ") & set(record.file_name(odd, "full"))


@pytest.mark.parametrize("part", ["onnx", "card", "model", "safety"])
def test_each_part_changes_the_key(part: str):
    one = record.Identity("unitree_g1", "default", LEFT, LEFT, LEFT, LEFT)
    other = record.Identity(**{name: getattr(one, name) for name in one.__struct_fields__} | {part: RIGHT})
    assert one.key != other.key
    assert one.differs(other) == [record.WHAT[part]]
    assert one.differs(one) == []


def test_it_hashes_the_file_on_the_disk_and_the_card_as_served(default: ResolvedPolicy, tmp_path: Path):
    one = record.identity(default, MODEL)
    assert one.onnx == default.card.model.sha256
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(default.onnx_path.read_bytes() + b"\0")
    assert record.identity(default._replace(onnx_path=copy), MODEL).differs(one) == ["the ONNX file"]
    title = msgspec.structs.replace(default.card, rate_hz=51.0)
    assert record.identity(default._replace(card=title), MODEL).differs(one) == ["its card"]
    assert record.identity(default, H1).differs(one) == ["the robot's model"]


def test_a_number_of_the_robot_counts_and_what_is_written_about_it_does_not(tmp_path: Path):
    one = record.robot_sha256(MODEL)
    assert record.robot_sha256(replace(MODEL, provenance={"q_stand": "elsewhere"}, title="G1!")) == one
    assert record.robot_sha256(replace(MODEL, q_stand=MODEL.q_stand + np.eye(1, MODEL.n, 4)[0] * 1e-6)) != one
    limits = {5: replace(MODEL.limits, tau_max=MODEL.limits.tau_max * 1.01)}
    assert record.robot_sha256(replace(MODEL, limits_by_mode_machine=limits)) != one
    other = tmp_path / "robot.xml"
    other.write_bytes(MODEL.mjcf.read_bytes() + b" ")
    assert record.robot_sha256(replace(MODEL, mjcf=other)) != one


def test_a_threshold_or_an_action_counts_and_its_explanation_does_not(monkeypatch: pytest.MonkeyPatch):
    one = record.safety_sha256()
    rows = list(record.THRESHOLD_TABLE)
    monkeypatch.setattr(record, "THRESHOLD_TABLE", [rows[0]._replace(provenance="other words"), *rows[1:]])
    assert record.safety_sha256() == one
    monkeypatch.setattr(record, "THRESHOLD_TABLE", [rows[0]._replace(value=2.5), *rows[1:]])
    assert record.safety_sha256() != one
    monkeypatch.setattr(record, "THRESHOLD_TABLE", rows)
    causes = list(record.TABLE)
    monkeypatch.setattr(record, "TABLE", [causes[0]._replace(action=causes[1].action), *causes[1:]])
    assert record.safety_sha256() != one


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "{file} is no qualification record: Input data was truncated"),
        (b"{\"schema\": 1", "{file} is no qualification record: "),
        (b"[]", "{file} is no qualification record: Expected `object`, got `array`"),
        (b"\xff\xfe", "{file} is no qualification record: "),
        (b"{}", "{file} is no qualification record: Object missing required field `schema`"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_one_sentence(tmp_path: Path, content: bytes, sentence: str):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(record.BadRecord) as error:
        record.load(file)
    assert str(error.value).startswith(sentence.format(file=file)) and "\n" not in str(error.value)


def test_another_version_and_other_criteria_are_refused(tmp_path: Path):
    file = tmp_path / "a.json"
    save(made(), file)
    text: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps(text | {"schema": "teleopd.qualification/9"}))
    with pytest.raises(record.BadRecord, match=r"has schema 'teleopd.qualification/9'; this version reads"):
        record.load(file)
    file.write_text(json.dumps(text | {"lines": text["lines"][1:]}))
    with pytest.raises(record.BadRecord, match="was judged by other criteria than today's"):
        record.load(file)


def test_the_users_folder_follows_xdg():
    assert record.user_folder({"XDG_DATA_HOME": "/data"}) == Path("/data/teleopd/qualification")
    home = Path("~/.local/share/teleopd/qualification").expanduser()
    assert record.user_folder({}) == record.user_folder({"XDG_DATA_HOME": "relative"}) == home


def test_a_place_is_a_file_a_folder_or_nothing(tmp_path: Path):
    save(made(), tmp_path / "good.json")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "other.txt").write_text("{")
    found = record.look_up(tmp_path)
    assert len(found.records) == 1 and len(found.broken) == 1
    assert len(record.look_up(tmp_path / "good.json").records) == 1
    assert record.look_up(tmp_path / "nothing") == record.Found([], [])
