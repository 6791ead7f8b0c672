"""A GMR-style JSON (`ik_match_table1`, `ik_match_table2`) -> a table of ours, and what of it could not be carried over.

What carries over is who follows whom and how much it matters in each stage. Rotation offsets and scales do not: both
are measured here from the operator and the robot's own T-pose. How positions are made (`targets.py`) is the robot's
own table's affair, which is the base that an import changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.service.retarget.tables import (
    MAX_WEIGHT,
    Match,
    RetargetTable,
    SkeletonTable,
    Stages,
    TableError,
    nearest,
    parse_table,
)

MAX_BYTES = 1 << 20
UNIT_NORM = 0.01
"""How far from 1 the norm of a rotation offset may be: GMR's are rounded to six digits."""
KEYS = (
    "robot_root_name", "human_root_name", "ground_height", "human_height_assumption", "use_ik_match_table1",
    "use_ik_match_table2", "human_scale_table", "ik_match_table1", "ik_match_table2",
)  # fmt: skip
FEET = {"left_toe_link": "left_ankle_roll_link", "right_toe_link": "right_ankle_roll_link"}
"""Bodies of GMR's robot models that ours lack, and what moves with them."""
_TRUNK = {
    "Pelvis": ("hips", "pelvis"),
    "T8": ("spine1", "spine2", "spine3", "chest", "chest2", "chest4", "torso", "t8", "upperchest"),
    "Head": ("head",), "Neck": ("neck",),
}  # fmt: skip
_LIMBS = {
    "UpperLeg": ("upleg", "hip", "upperleg", "thigh"), "LowerLeg": ("leg", "knee", "lowerleg", "shin"),
    "Foot": ("foot", "footmod", "ankle"), "Toe": ("toe", "toebase"),
    "Shoulder": ("clavicle", "collar"), "UpperArm": ("arm", "shoulder", "upperarm"),
    "ForeArm": ("forearm", "elbow", "lowerarm"), "Hand": ("hand", "wrist"),
}  # fmt: skip


class Imported(NamedTuple):
    """A table, and the sentences that say what of the JSON is not in it."""

    table: RetargetTable
    notes: tuple[str, ...]


class _Row(NamedTuple):
    """One entry of a match table."""

    human: str
    position: float
    rotation: float
    offset: tuple[float, ...]
    turn: tuple[float, ...]


def segment_of(name: str) -> str | None:
    """The MVN segment a body of LAFAN1, SMPL-X, OptiTrack, PICO or Xsens naming stands for; None for others."""
    plain = name.lower().replace("_", "").replace(" ", "")
    for segment, words in _TRUNK.items():
        if plain in words:
            return segment
    for side in ("Left", "Right"):
        if plain.startswith(side.lower()):
            rest = plain.removeprefix(side.lower())
            for part, words in _LIMBS.items():
                if rest in words:
                    return side + part
    return name if name in MVN_SEGMENTS else None


def import_gmr(text: bytes | str, base: RetargetTable, family: str = "mvn", where: str = "GMR table") -> Imported:
    """The robot's own table `base` with the weights of the JSON.

    Raises:
        TableError: no JSON of that layout, entries in another order, rotation offsets not of unit norm, another root,
            or nothing in it fits the robot.
    """
    tree = _tree(text, where)
    table = base.for_family(family)
    root = tree.get("robot_root_name", table.robot.pelvis)
    if root != table.robot.pelvis:
        raise TableError(f"{where}: robot_root_name is '{root}'; the root of '{base.robot}' is '{table.robot.pelvis}'")
    notes: list[str] = []
    stages = {key: _rows(tree.get(key, {}), f"{where}: {key}") for key in ("ik_match_table1", "ik_match_table2")}
    used = {key: rows for key, rows in stages.items() if rows and tree.get(f"use_{key}", True)}
    if not used:
        raise TableError(f"{where}: neither ik_match_table1 nor ik_match_table2 is there and in use")
    first = used.get("ik_match_table1") or used["ik_match_table2"]
    second = used.get("ik_match_table2") or used["ik_match_table1"]
    if len(used) == 1:
        notes.append(f"only {next(iter(used))} is in use; it serves both stages")
    acquire, track = _weights(first, table, "stage 1", notes), _weights(second, table, "stage 2", notes)
    if not any(p or r for p, r in acquire.values()) or not any(p or r for p, r in track.values()):
        raise TableError(f"{where}: none of its bodies has a weight on a body that '{base.robot}' matches")
    _list_dropped(tree, {**first, **second}, notes)
    made = msgspec.structs.replace(table, stage=Stages(acquire, track))
    imported = msgspec.structs.replace(base, skeleton={**base.skeleton, family: made})
    return Imported(parse_table(table_toml(imported), where), tuple(dict.fromkeys(notes)))


def _tree(text: bytes | str, where: str) -> Mapping[str, Any]:
    if len(text) > MAX_BYTES:
        raise TableError(f"{where}: {len(text)} bytes; at most {MAX_BYTES} are read")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise TableError(f"{where}: a GMR table is one JSON object")
    for key in tree:
        if key not in KEYS:
            raise TableError(f"{where}: unknown key '{key}'{nearest(key, KEYS)}")
    return tree


def _rows(entries: Any, where: str) -> dict[str, _Row]:
    """Entries [human body, position weight, rotation weight, [x, y, z], [w, x, y, z]], checked."""
    if not isinstance(entries, dict):
        raise TableError(f"{where} is no object of robot body -> entry")
    rows = {}
    for body, entry in entries.items():
        order = "[human body, position weight, rotation weight, [x, y, z], [w, x, y, z]]"
        try:
            row = msgspec.convert(entry, tuple[str, float, float, tuple[float, float, float],
                                               tuple[float, float, float, float]])  # fmt: skip
        except msgspec.ValidationError:
            raise TableError(f"{where}: entry of '{body}' is not {order}") from None
        found = _Row(*row)
        if not (0.0 <= found.position <= MAX_WEIGHT and 0.0 <= found.rotation <= MAX_WEIGHT):
            raise TableError(f"{where}: weights of '{body}' must lie between 0 and {MAX_WEIGHT:g}")
        norm = math.hypot(*found.turn)
        if not abs(norm - 1.0) <= UNIT_NORM or not all(map(math.isfinite, found.offset)):
            raise TableError(f"{where}: the rotation offset of '{body}' has norm {norm:.3g}; it must be 1")
        rows[body] = found
    return rows


def _weights(
    rows: Mapping[str, _Row], table: SkeletonTable, stage: str, notes: list[str]
) -> dict[str, tuple[float, float]]:
    """Weights of a stage on the robot's own matches; adds to `notes` what does not fit them."""
    matches = {m.robot: m for m in table.match}
    weights: dict[str, tuple[float, float]] = {}
    for named, row in rows.items():
        body = named if named in matches else FEET.get(named, named)
        match = matches.get(body) or _follower(table, row)
        if match is None:
            notes.append(f"'{named}' is left out: this robot's table has no match for it")
            continue
        if match.robot != named:
            notes.append(f"'{named}' becomes '{match.robot}'")
        segment = segment_of(row.human)
        if segment != match.human:
            notes.append(f"'{match.robot}' follows {match.human} here, '{row.human}' in the file")
        position = row.position
        if position and match.position == "none":
            notes.append(f"'{match.robot}': its position weight {position:g} ({stage}) is left out, it only turns")
            position = 0.0
        weights[match.robot] = (position, row.rotation)
    return weights


def _follower(table: SkeletonTable, row: _Row) -> Match | None:
    """The match that follows the same human body, where the robot body has another name."""
    segment = segment_of(row.human)
    return next((m for m in table.match if m.human == segment), None)


def _list_dropped(tree: Mapping[str, Any], rows: Mapping[str, _Row], notes: list[str]) -> None:
    """What has no place in a table of ours."""
    notes.append("rotation offsets are computed from the robot's T-pose instead")
    moved = [body for body, row in rows.items() if any(row.offset)]
    if moved:
        notes.append(f"position offsets are left out: {', '.join(moved)}")
    if tree.get("human_scale_table"):
        notes.append("human_scale_table is left out: scales are measured from the operator's legs and arms")
    for key in ("ground_height", "human_height_assumption"):
        if tree.get(key):
            notes.append(f"{key} {tree[key]} is left out: floor and size are measured from the operator")


def table_toml(table: RetargetTable) -> str:
    """The text of a `retarget.toml` with exactly this table."""
    builtins = msgspec.to_builtins(table)
    lines: list[str] = []
    _write(builtins, (), lines)
    return "\n".join(lines) + "\n"


def _write(node: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    """A table: its own values first, then its tables and arrays of tables."""
    tables = {k: v for k, v in node.items() if isinstance(v, dict)}
    arrays = {k: v for k, v in node.items() if isinstance(v, list | tuple) and v and isinstance(v[0], dict)}
    for key, value in node.items():
        if key not in tables and key not in arrays and value is not None:
            lines.append(f"{_key(key)} = {json.dumps(value)}")
    for key, value in tables.items():
        lines += ["", f"[{'.'.join(map(_key, (*path, key)))}]"]
        _write(value, (*path, key), lines)
    for key, entries in arrays.items():
        for entry in entries:
            lines += ["", f"[[{'.'.join(map(_key, (*path, key)))}]]"]
            _write(entry, (*path, key), lines)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)
