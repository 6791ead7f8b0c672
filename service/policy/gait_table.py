"""A robot's `gait.toml`: shape and limits of its walk, and what to tell a policy so that the robot obtains a speed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy.gait import GaitLimits, GaitShape

FILE = "gait.toml"
MOST_SAID = 1.5
"""No row may say more [m/s]: half of what the reference guard lets pass."""
Row = tuple[float, float, float]
"""Commanded speed [m/s or rad/s] -> what is said forward and left [m/s]."""


class GaitTableError(ValueError):
    """A `gait.toml` that cannot be used: says where, what, and what would be right."""


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one policy, each axis by rising commanded speed; between them it is straight, and 0 says 0."""

    measured: str
    """How, with what."""
    forward: tuple[Row, ...] = ()
    left: tuple[Row, ...] = ()
    turn: tuple[Row, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    shape: GaitShape
    limits: GaitLimits
    policy: dict[str, Said] = {}


@dataclass(frozen=True, slots=True)
class GaitTable:
    """What is known about one robot's walk."""

    shape: GaitShape
    limits: GaitLimits
    said: Mapping[str, Said]

    def corrector(self, policy: str) -> Corrector:
        """For a policy by name; one that was not measured is told the plain truth."""
        return Corrector(self.said.get(policy))


class Corrector:
    """From the velocity of the steps to the velocity that the policy is told."""

    def __init__(self, said: Said | None) -> None:
        self._axes = [_columns(getattr(said, axis) if said else ()) for axis in ("forward", "left", "turn")]

    def __call__(self, forward: float, left: float, turn: float) -> tuple[float, float]:
        """What is said forward and left [m/s]. The turn is left alone: the heading hold sees to it."""
        x = y = 0.0
        for value, columns, plain in zip((forward, left, turn), self._axes, ((1, 0), (0, 1), (0, 0)), strict=True):
            if columns is None:
                x, y = x + plain[0] * value, y + plain[1] * value
                continue
            at, said_x, said_y = columns
            x += float(np.interp(value, at, said_x))
            y += float(np.interp(value, at, said_y))
        return x, y


def _columns(rows: tuple[Row, ...]) -> tuple[Array, Array, Array] | None:
    if not rows:
        return None
    with_zero = sorted([*rows, (0.0, 0.0, 0.0)])
    at, x, y = np.array(with_zero).T
    return at, x, y


def gait_table(model: RobotModel) -> GaitTable | None:
    """The robot's own table; None where it has none.

    Raises:
        GaitTableError: the file cannot be used.
    """
    path = model.mjcf.with_name(FILE)
    return read_gait_table(path) if path.exists() else None


def read_gait_table(path: Path) -> GaitTable:
    """Read and check one file.

    Raises:
        GaitTableError: not there, not TOML, an unknown key, a number out of range.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text())
        file = msgspec.convert(raw, _File)
    except OSError as error:
        raise GaitTableError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise GaitTableError(f"{path}: {error}") from None
    for section, kind in (("shape", GaitShape), ("limits", GaitLimits)):
        known = [field.name for field in fields(kind)]
        for key in raw[section]:
            if key not in known:
                raise GaitTableError(f"{path}: unknown key '{key}' in [{section}]; known: {', '.join(known)}")
    _check(path, file)
    return GaitTable(file.shape, file.limits, file.policy)


def _check(path: Path, file: _File) -> None:
    if file.schema != 1:
        raise GaitTableError(f"{path}: schema is {file.schema}; this version reads 1")
    shape = file.shape
    for name, value in asdict(shape).items():
        if not math.isfinite(value):
            raise GaitTableError(f"{path}: {name} is {value:g}; give a finite number")
    cycles = shape.cycle_s, shape.cycle_side_s
    if not 0.3 <= min(cycles) <= max(cycles) <= 3.0 or not 0.1 <= shape.swing < 0.5 or not 0.1 <= shape.start_s <= 3.0:
        raise GaitTableError(
            f"{path}: cycle_s {cycles[0]:g}, cycle_side_s {cycles[1]:g}, swing {shape.swing:g}, "
            f"start_s {shape.start_s:g}; give 0.3 to 3 s (both), 0.1 to below 0.5, and 0.1 to 3 s"
        )
    if not all(0.0 < limit < math.inf for limit in (*file.limits.speed, *file.limits.change)):
        raise GaitTableError(f"{path}: limits must be above 0, they are {file.limits.speed} and {file.limits.change}")
    for policy, said in file.policy.items():
        for axis in ("forward", "left", "turn"):
            _check_rows(f"{path}: policy {policy}, {axis}", getattr(said, axis))


def _check_rows(where: str, rows: tuple[Row, ...]) -> None:
    speeds = [row[0] for row in rows]
    if sorted(set(speeds)) != speeds or 0.0 in speeds:
        raise GaitTableError(f"{where}: speeds {speeds} must rise, without 0")
    for row in rows:
        if not all(abs(value) <= MOST_SAID for value in row):
            raise GaitTableError(f"{where}: row {list(row)} is not within {MOST_SAID:g} m/s")
