"""Reads a policy card and refuses everything that cannot be meant.

An unknown key, a wrong type, a contradiction or a non-finite number is an error of one sentence that names the place.
"""

from __future__ import annotations

import fnmatch
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import (
    Action,
    Card,
    Gains,
    GainSet,
    Golden,
    JointOrders,
    ModelFile,
    PerJoint,
    Segment,
)
from teleopd.service.policy.errors import BadCard, UnknownKey, nearest

SCHEMA = 1
MAX_HISTORY_TICKS = 1000
"""Longest history a card may ask for: 20 s at 50 Hz; the longest known is 25 ticks (OmniH2O)."""


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
    if data.get("schema", SCHEMA) != SCHEMA:
        raise BadCard(label, f"has schema {data['schema']}, this program reads schema {SCHEMA}")
    try:
        card = msgspec.convert(data, Card, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(str(error), data, label) from None
    for problem in _problems(card):
        raise BadCard(label, problem)
    return card


_KINDS: dict[str, type[msgspec.Struct]] = {
    b.kind_of(block): block for block in (*get_args(b.Term), b.History, b.Future)
}
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "$": Card, "$.model": ModelFile, "$.joints": JointOrders, "$.action": Action, "$.gains": Gains,
    "$.gains.sim": GainSet, "$.gains.real": GainSet, "$.golden[]": Golden, "$.golden[].segments[]": Segment,
}  # fmt: skip


def _explained(message: str, data: Mapping[str, Any], label: str) -> BadCard:
    """msgspec's message in words: unknown keys and kinds with the nearest valid one."""
    problem, _, path = message.partition(" - at ")
    path = path.strip("`") or "$"
    block = re.match(r"\$\.observation\[(\d+)\]", path)
    kind = data["observation"][int(block[1])].get("kind") if block else None
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


def _problems(card: Card) -> Iterator[str]:
    """What the types cannot say; the first is reported."""
    for path, value in _numbers(msgspec.to_builtins(card), ""):
        if not math.isfinite(value):
            yield f"{path} is {value}, must be finite"
    if card.rate_hz <= 0:
        yield f"rate_hz is {card.rate_hz:g}, must be above 0"
    if not re.fullmatch(r"[0-9a-f]{64}", card.model.sha256):
        yield f"model.sha256 is '{card.model.sha256}', must be 64 lower-case hex digits"
    if card.action.clip is not None and card.action.clip <= 0:
        yield f"action.clip is {card.action.clip:g}, must be above 0"
    yield from _joint_problems(card)
    yield from _observation_problems(card)
    for golden in card.golden:
        yield from _golden_problems(card, golden)


def _joint_problems(card: Card) -> Iterator[str]:
    orders = {"state": card.state_joints, "reference": card.reference_joints, "action": card.action_joints}
    for what, names in orders.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"joints.{what} names {', '.join(twice)} twice"
    everyone = tuple(dict.fromkeys(name for names in orders.values() for name in names))
    gains = {"gains.sim": card.gains.sim, "gains.real": card.gains.real}
    tables = {"default_pose": card.default_pose, "action.scale": card.action.scale}
    tables |= {f"{where}.{what}": getattr(gain, what) for where, gain in gains.items() for what in ("kp", "kd")}
    for where, values in tables.items():
        yield from _pattern_problems(where, values, everyone)
    for where in ("gains.sim.kp", "gains.sim.kd", "gains.real.kp", "gains.real.kd"):
        for name, value in zip(everyone, card.per_joint(tables[where], everyone), strict=True):
            if value <= 0:
                yield f"{where} of {name} is {value:g}, must be above 0"
    if len(card.action_joints) != card.model.output_width:
        yield f"joints.action names {len(card.action_joints)} joints, model.output_width is {card.model.output_width}"


def _pattern_problems(where: str, values: PerJoint, names: Sequence[str]) -> Iterator[str]:
    if not isinstance(values, dict):
        return
    for pattern in values:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            yield f"'{pattern}' in {where} matches no joint{nearest(pattern, names)}"
    for name in names:
        patterns = [pattern for pattern in values if fnmatch.fnmatchcase(name, pattern)]
        if not patterns:
            yield f"{where} has nothing for {name}"
        elif len(patterns) > 1:
            yield f"{where} has {len(patterns)} patterns for {name}: {', '.join(patterns)}"


def _observation_problems(card: Card) -> Iterator[str]:
    groups = {block.group for block in card.observation if not isinstance(block, b.History | b.Future)}
    if not groups:
        yield "observation lists no term"
    for i, block in enumerate(card.observation):
        where = f"observation[{i}]"
        if isinstance(block, b.History | b.Future):
            if not block.of:
                yield f"{where}.of names no group; valid: {', '.join(sorted(groups))}"
            for group in block.of:
                if group not in groups:
                    yield f"{where}.of names group '{group}'{nearest(group, groups)} Valid: {', '.join(sorted(groups))}"
        if isinstance(block, b.History) and not 1 <= block.length <= MAX_HISTORY_TICKS:
            yield f"{where}.length is {block.length}, must be 1 to {MAX_HISTORY_TICKS}"
        if isinstance(block, b.Future) and (not block.steps or min(block.steps) < 0):
            yield f"{where}.steps is {list(block.steps)}, must name steps of 0 or more"
        if isinstance(block, b.JointBlock):
            yield from _selection_problems(card, where, block)
    ahead = max((step for block in card.observation if isinstance(block, b.Future) for step in block.steps), default=0)
    if ahead != card.lookahead_steps:
        yield f"lookahead_steps is {card.lookahead_steps}, the observation reaches {ahead} steps ahead"
    width = card.layout()[-1].stop
    if width != card.model.input_width:
        yield f"the observation blocks add up to {width}, model.input_width is {card.model.input_width}"


def _selection_problems(card: Card, where: str, block: b.JointBlock) -> Iterator[str]:
    chosen = card.order_of(block)
    everyone = card.order_of(msgspec.structs.replace(block, joints="all"))
    for what, names, valid in (("joints", chosen, everyone), ("zero", block.zero, chosen)):
        for name in names:
            if name not in valid:
                yield f"{where}.{what} names joint '{name}'{nearest(name, valid)} Valid: {', '.join(valid)}"


def _golden_problems(card: Card, golden: Golden) -> Iterator[str]:
    if len(golden.output) != card.model.output_width:
        outputs, width = len(golden.output), card.model.output_width
        yield f"golden '{golden.name}' has {outputs} outputs, model.output_width is {width}"
    for segment in golden.segments:
        last = segment.at + max(0, segment.repeat - 1) * segment.stride + len(segment.values)
        if segment.at < 0 or segment.repeat < 1 or segment.stride < 0 or last > card.model.input_width:
            yield f"golden '{golden.name}' writes up to {last}, model.input_width is {card.model.input_width}"


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{path}[{i}]")
