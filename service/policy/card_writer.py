"""Card -> TOML text that `card_reader` reads back as the same card."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from teleopd.service.policy.card import Card

_INLINE = 110
"""Longest list on one line."""


def card_text(card: Card, notes: Sequence[str] = ()) -> str:
    """The card as a TOML file; `notes` become comments at its head."""
    data = msgspec.to_builtins(card)
    for table in _tables(data):
        for key in ("default_pose", "armature", "scale", "kp", "kd"):
            if isinstance(table.get(key), dict):
                table[key] = _by_pattern(table[key])
    lines = [f"# {note}" for note in notes]
    lines += [""] if notes else []
    return "\n".join([*lines, *_table(data, "")]).rstrip() + "\n"


def _tables(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield data
    for value in data.values():
        if isinstance(value, dict):
            yield from _tables(value)


def _by_pattern(values: Mapping[str, float]) -> dict[str, float]:
    """left_x and right_x of one value as `*_x`, so that a table of 29 joints stays readable."""
    short: dict[str, float] = {}
    for name, value in values.items():
        kind = re.sub(r"^(left|right)_", "", name)
        pair = [values.get(f"left_{kind}"), values.get(f"right_{kind}")]
        clashes = fnmatch.filter(values, f"*_{kind}")
        if name != kind and pair[0] == pair[1] and len(clashes) == 2:
            short[f"*_{kind}"] = value
        else:
            short[name] = value
    return short


def _table(data: Mapping[str, Any], path: str) -> Iterator[str]:
    """Plain values first, then sub-tables, then arrays of tables, as TOML wants it."""
    for key, value in data.items():
        if not isinstance(value, dict) and not _is_tables(key, value):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in data.items():
        here = f"{path}{_key(key)}"
        if isinstance(value, dict):
            yield from ("", f"[{here}]", *_table(value, f"{here}."))
        elif _is_tables(key, value):
            for item in value:
                yield from ("", f"[[{here}]]", *_table(item, f"{here}."))


def _is_tables(key: str, value: Any) -> bool:
    return key not in ("segments", "data", "extras", "points") and bool(value) and isinstance(value, list | tuple) and (
        isinstance(value[0], dict)
    )


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return _list([_value(item) for item in value])
    return str(value)


def _list(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= _INLINE:
        return line
    rows, row = [], " "
    for item in items:
        if len(row) + len(item) > _INLINE and row.strip():
            rows.append(row)
            row = " "
        row += f" {item},"
    return "[\n" + "\n".join([*rows, row]) + "\n]"
