"""What is known of the feet as records: fields of the same names as the classes', in memory that compiled code reads.

Python reads and writes them by the same names too, some ten times as slowly as the classes.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from teleopd.service.retarget.floor import Ground, SourceFloor
from teleopd.service.retarget.foot import FootContact
from teleopd.service.retarget.toe_lock import ToeLock

MOST = {"sole_points": 10, "seat": 6}
"""Sole corners of one foot, and spheres to sit on; where there are fewer, the last is repeated."""
NOWHERE = [0.0, 0.0, 0.0, -np.inf]
"""A sphere that never touches the floor."""


def record_type(example: Any) -> np.dtype[Any]:
    """The record that has the fields of a dataclass; lists of numbers become arrays of the example's length."""
    return np.dtype([_field(part.name, getattr(example, part.name)) for part in fields(example)], align=True)


def _field(name: str, value: Any) -> tuple[Any, ...]:
    if is_dataclass(value):
        return name, record_type(value)
    array = np.array(value)
    return name, array.dtype, array.shape


def write(record: Any, values: Any) -> None:
    """Copy a dataclass into its record.

    Raises:
        ValueError: a list is longer than the record's array, or of another shape.
    """
    for part in fields(values):
        value = getattr(values, part.name)
        if is_dataclass(value):
            write(record[part.name], value)
        elif part.name in MOST:
            most, value = MOST[part.name], value or [NOWHERE]
            if len(value) > most:
                raise ValueError(f"{part.name}: at most {most}, not {len(value)}")
            record[part.name] = [*value, *[value[-1]] * (most - len(value))]
        else:
            record[part.name] = value


def _blank_foot() -> FootContact:
    corners, nowhere = MOST["sole_points"], [0.0, 0.0, 0.0]
    return FootContact(0, 0, [nowhere] * corners, 0, 0.0, nowhere, nowhere, SourceFloor(0.0, 0.0), ToeLock())


FOOT = record_type(_blank_foot())
GROUND = record_type(Ground(0.0, 0.0, [NOWHERE] * MOST["seat"]))
