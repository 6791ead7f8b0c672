"""Reads a policy card and refuses everything that cannot be meant.

An unknown key, a wrong type, a contradiction or a non-finite number is an error of one sentence that names the place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import (
    Action,
    Capabilities,
    Card,
    Clip,
    Compliance,
    DataFile,
    Extra,
    Gains,
    GainSet,
    Golden,
    JointOrders,
    ModelFile,
    Point,
    Rest,
    Segment,
    Smoothing,
)
from teleopd.service.policy.card_checks import problems
from teleopd.service.policy.errors import BadCard, UnknownKey, nearest

SCHEMA = 1


def load_card(path: Path) -> Card:
    """Read and check a card file.

    Raises:
        BadCard: says what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCard(str(path), f"cannot be read: {error}") from None
    return parse_card(text, str(path))


def parse_card(text: str, label: str) -> Card:
    """A card from TOML text; `label` names it in errors.

    Raises:
        BadCard: says what is wrong with it.
        UnknownKey: a key means nothing; names the nearest that does.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadCard(label, f"is not TOML: {error}") from None
    return card_from(data, label)


def card_from(data: Mapping[str, Any], label: str) -> Card:
    """A card from plain values, as TOML or an importer gives them; `label` names it in errors.

    Raises: as `parse_card`.
    """
    if data.get("schema", SCHEMA) != SCHEMA:
        raise BadCard(label, f"has schema {data['schema']}, this program reads schema {SCHEMA}")
    try:
        card = msgspec.convert(data, Card, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(str(error), data, label) from None
    for problem in problems(card):
        raise BadCard(label, problem)
    return card


_KINDS: dict[str, type[msgspec.Struct]] = {
    b.kind_of(block): block for block in (*get_args(b.Term), *get_args(b.Repeat))
}
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "$": Card, "$.model": ModelFile, "$.joints": JointOrders, "$.action": Action, "$.gains": Gains,
    "$.gains.sim": GainSet, "$.gains.real": GainSet, "$.golden[]": Golden, "$.golden[].segments[]": Segment,
    "$.model.data[]": DataFile, "$.model.extras[]": Extra, "$.encoder": ModelFile, "$.encoder.data[]": DataFile,
    "$.encoder.extras[]": Extra, "$.joints.rest": Rest, "$.action.smoothing": Smoothing, "$.clip": Clip,
    "$.points[]": Point, "$.compliance": Compliance, "$.capabilities": Capabilities,
}  # fmt: skip


def _explained(message: str, data: Mapping[str, Any], label: str) -> BadCard:
    """msgspec's message in words: unknown keys and kinds with the nearest valid one."""
    problem, _, path = message.partition(" - at ")
    path = path.strip("`") or "$"
    block = re.match(r"\$\.observation\[(\d+)\]", path)
    found = data["observation"][int(block[1])] if block else None
    kind = found.get("kind") if isinstance(found, Mapping) else None
    unknown = re.search(r"unknown field `(.+)`", problem)
    if unknown:
        struct = _KINDS[str(kind)] if block else _SECTIONS[re.sub(r"\[\d+\]", "[]", path)]
        known = list(struct.__struct_fields__) + (["kind"] if block else [])
        where = path.removeprefix("$.") + (f" (kind '{kind}')" if block else "")
        return UnknownKey(label, unknown[1], "the card" if path == "$" else where, known)
    if block and path.endswith(".kind"):
        return BadCard(label, f"unknown kind '{kind}' in observation[{block[1]}]{nearest(str(kind), _KINDS)} "
                              f"Valid: {', '.join(sorted(_KINDS))}")  # fmt: skip
    return BadCard(label, f"{problem[0].lower()}{problem[1:]} in {path.removeprefix('$.').replace('$', 'the card')}")
