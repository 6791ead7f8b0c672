"""The record that a policy passed: of exactly this policy on exactly this robot under exactly this safety table."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from teleopd.robots.model import RobotModel
from teleopd.safety.failsafe import TABLE
from teleopd.safety.thresholds import THRESHOLD_TABLE
from teleopd.safety.words import Mode
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.qualification.criteria import CRITERIA, Line, judge

SCHEMA = "teleopd.qualification/1"
MAX_BYTES = 16 * 1024 * 1024
MAX_RECORDS = 1000
"""Files that are looked at in one folder."""
WHAT = {"onnx": "the ONNX file", "card": "its card", "model": "the robot's model", "safety": "the safety table"}


class BadRecord(ValueError):
    """A file that is no record; one sentence."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a record is about, each part by its sha256."""

    robot: str
    policy: str
    onnx: str
    card: str
    model: str
    safety: str

    @property
    def key(self) -> str:
        """One hash of the four."""
        return hashlib.sha256("".join((self.onnx, self.card, self.model, self.safety)).encode()).hexdigest()

    def differs(self, other: Identity) -> list[str]:
        """In words, what is not the same."""
        return [text for name, text in WHAT.items() if getattr(self, name) != getattr(other, name)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One qualification."""

    schema: str
    identity: Identity
    profile: str
    passed: bool
    lines: list[Line]
    figures: dict[str, float | None]
    created: str
    """Wall-clock time, for people."""
    version: str
    """Of teleopd."""
    seed: int
    clips: list[str]
    runs: list[dict[str, Any]]

    def failures(self) -> list[Line]:
        """Lines that do not pass, judged anew by the table of today."""
        return [line for line in judge(self.figures) if not line.passed]


class Found(NamedTuple):
    """What a place holds."""

    records: list[Record]
    broken: list[str]
    """Sentences about files that are no records."""


def identity(policy: ResolvedPolicy, robot: RobotModel) -> Identity:
    """Hashes of the ONNX file as it is on the disk now, the card as it is served, the robot and the safety table.

    Raises:
        OSError: the ONNX file or the robot's model cannot be read.
    """
    network = hashlib.sha256(policy.onnx_path.read_bytes())
    for extra in (policy.card.model, *filter(None, (policy.card.encoder,))):
        for part in extra.data:
            network.update((policy.onnx_path.parent / part.file).read_bytes())
    card = hashlib.sha256(msgspec.json.encode(policy.card, order="sorted")).hexdigest()
    return Identity(robot.name, policy.card.name, network.hexdigest(), card, robot_sha256(robot), safety_sha256())


def robot_sha256(robot: RobotModel) -> str:
    """Of every number of the robot's model and of its MJCF; what is written about them does not count."""
    values = {f.name: getattr(robot, f.name) for f in fields(robot) if f.name not in ("mjcf", "provenance", "title")}
    values = {name: _plain(value) if isinstance(value, Mapping) else value for name, value in values.items()}
    text = msgspec.json.encode(values, enc_hook=_plain, order="sorted")
    return hashlib.sha256(text + robot.mjcf.read_bytes()).hexdigest()


def safety_sha256() -> str:
    """Of causes, actions, when they are judged and cleared, and every threshold; explanations do not count."""
    causes = [
        (row.cause.name, row.action.name, row.clear.name, [m.name for m in Mode if m in row.modes], row.thresholds)
        for row in TABLE
    ]  # fmt: skip
    numbers = [(row.name, row.value, row.unit, row.strictest) for row in THRESHOLD_TABLE]
    return hashlib.sha256(msgspec.json.encode((causes, numbers))).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    raise TypeError(f"{type(value).__name__} has no plain form")


def make(
    who: Identity, profile: str, seed: int, clips: list[str], rows: list[dict[str, Any]],
    figures: dict[str, float | None], counts: Mapping[str, str], version: str,
) -> Record:  # fmt: skip
    """The record of a battery that was run."""
    lines = judge(figures, counts)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    passed = all(line.passed for line in lines)
    return Record(SCHEMA, who, profile, passed, lines, figures, now, version, seed, clips, rows)


def user_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where records are kept: the user's data folder as XDG says."""
    base = environment.get("XDG_DATA_HOME", "")
    data = Path(base) if base and Path(base).is_absolute() else Path("~/.local/share").expanduser()
    return data / "teleopd" / "qualification"


def file_name(who: Identity, profile: str) -> str:
    """A record replaces the one of the same key and profile only."""
    return f"{who.robot}-{_safe(who.policy)}-{who.key[:12]}{'' if profile == 'full' else '-quick'}.json"


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in name)[:60]


def load(file: Path) -> Record:
    """Raises:
    BadRecord: it cannot be read, or is no record; one sentence."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadRecord(f"{file} is larger than any qualification record")
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except OSError as error:
        raise BadRecord(f"qualification record {file} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecord(f"{file} is no qualification record: {' '.join(str(error).split())}") from None
    if record.schema != SCHEMA:
        raise BadRecord(f"{file} has schema '{record.schema}'; this version reads {SCHEMA}")
    if sorted(line.name for line in record.lines) != sorted(one.name for one in CRITERIA):
        raise BadRecord(f"{file} was judged by other criteria than today's")
    return record


def look_up(place: Path) -> Found:
    """The records of a file, or of a folder (newest file first); a place that does not exist holds none.

    Raises:
        OSError: the folder may not be read.
    """
    files = [place] if place.is_file() else sorted(place.glob("*.json"), key=_age)[:MAX_RECORDS]
    found = Found([], [])
    for file in files:
        try:
            found.records.append(load(file))
        except BadRecord as error:
            found.broken.append(str(error))
    return found


def _age(file: Path) -> float:
    try:
        return -file.stat().st_mtime
    except OSError:
        return 0.0
