"""What can be wrong with a card although every value has the right type: contradictions, sizes, non-finite numbers."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterator, Sequence

import msgspec

from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import Card, Golden, ModelFile, PerJoint
from teleopd.service.policy.errors import nearest

MAX_HISTORY_TICKS = 1000
"""Longest history a card may ask for: 20 s at 50 Hz; the longest known is 25 ticks (OmniH2O)."""
MAX_WIDTH = 100_000
"""Widest observation: fifty times the widest known (SONIC, 2177)."""


def problems(card: Card) -> Iterator[str]:
    """What the types cannot say; the first is reported."""
    for path, value in _numbers(msgspec.to_builtins(card), ""):
        if not math.isfinite(value):
            yield f"{path} is {value}, must be finite"
    if card.rate_hz <= 0:
        yield f"rate_hz is {card.rate_hz:g}, must be above 0"
    yield from _model_problems(card)
    if card.action.clip is not None and card.action.clip <= 0:
        yield f"action.clip is {card.action.clip:g}, must be above 0"
    smoothing = card.action.smoothing
    if smoothing is not None and not 0 < smoothing.alpha <= 1:
        yield f"action.smoothing.alpha is {smoothing.alpha:g}, must be above 0 and at most 1"
    yield from _joint_problems(card)
    yield from _section_problems(card)
    yield from _observation_problems(card)
    for golden in card.golden:
        yield from _golden_problems(card, golden)


def _model_problems(card: Card) -> Iterator[str]:
    for where, model in (("model", card.model), ("encoder", card.encoder)):
        if model is None:
            continue
        hashes = {f"{where}.sha256": model.sha256} | {f"{where}.data[{i}].sha256": d.sha256
                                                      for i, d in enumerate(model.data)}  # fmt: skip
        for what, sha256 in hashes.items():
            if not re.fullmatch(r"[0-9a-f]{64}", sha256):
                yield f"{what} is '{sha256}', must be 64 lower-case hex digits"
        yield from _extra_problems(where, model)
    if card.encoder is not None and any(extra.source == "observation" for extra in card.encoder.extras):
        yield "encoder.extras may not take values of the observation: it gets the first input_width values"


def _extra_problems(where: str, model: ModelFile) -> Iterator[str]:
    names = [model.input, *(extra.input for extra in model.extras)]
    for i, extra in enumerate(model.extras):
        here = f"{where}.extras[{i}]"
        if names.count(extra.input) > 1:
            yield f"{here}.input '{extra.input}' is named twice"
        if not extra.shape or min(extra.shape) < 1 or extra.size > MAX_WIDTH:
            yield f"{here}.shape is {list(extra.shape)}, must be sizes of 1 or more with a product up to {MAX_WIDTH}"
        if (extra.source == "recurrent") != bool(extra.output):
            yield f"{here}.output is '{extra.output}': a recurrent input needs the output it is fed from, others none"
        if extra.source == "observation" and extra.dtype != "float32":
            yield f"{here}.dtype is '{extra.dtype}', an observation is float32"


def _section_problems(card: Card) -> Iterator[str]:
    """Sections that need each other."""
    extras = [*card.model.extras, *(card.encoder.extras if card.encoder is not None else ())]
    sources, kinds = {extra.source for extra in extras}, {type(block) for block in card.observation}
    if ("clip_time" in sources) != (card.clip is not None):
        yield f"an input for clip_time is {'given' if card.clip is None else 'missing'}, clip is " + (
            "missing" if card.clip is None else "given"
        )
    if card.clip is not None and not 1 <= card.clip.steps <= MAX_WIDTH:
        yield f"clip.steps is {card.clip.steps}, must be 1 to {MAX_WIDTH}"
    limited = "force_limit" in sources or b.ForceLimit in kinds
    if limited != (card.compliance is not None):
        yield "a force limit is an input, compliance is missing" if limited else "compliance is given, nothing takes it"
    limits = card.compliance
    if limits is not None and not 0 < limits.lower_n <= limits.default_n <= limits.upper_n:
        yield (
            f"compliance has lower_n {limits.lower_n:g}, default_n {limits.default_n:g}, upper_n {limits.upper_n:g}: "
            "must rise from above 0"
        )
    yield from _capability_problems(card)
    if (b.KeyPoints in kinds) != bool(card.points):
        yield "key_points are observed, points is empty" if not card.points else "points are given, no block sees them"
    for i, block in enumerate(card.observation):
        if b.needs_odometry(block) and not card.odometry:
            kind = b.kind_of(type(block))
            yield f"odometry is false, observation[{i}] ({kind}) needs the root's position or velocity"
    if card.lookahead != "none" and not card.lookahead_steps:
        yield f"lookahead is '{card.lookahead}', lookahead_steps is 0"


def _capability_problems(card: Card) -> Iterator[str]:
    able = card.capabilities
    if able is None:
        return
    for name in ("forward", "left", "turn", "height"):
        low, high = getattr(able, name)
        inside = 0.0 < low < high if name == "height" else low < 0.0 < high
        if not inside:
            asked = "rise from above 0" if name == "height" else "reach from below 0 to above 0"
            yield f"capabilities.{name} is {low:g} to {high:g}, must {asked}"
    if card.role != "velocity":
        yield f"role is '{card.role}', a policy with capabilities follows a velocity: 'velocity'"
    rest = card.joints.rest
    if able.upper_body and (rest is None or rest.follow != "reference"):
        yield "capabilities.upper_body is true, joints.rest must follow the reference"


def _joint_problems(card: Card) -> Iterator[str]:
    orders = {"state": card.state_joints, "reference": card.reference_joints, "action": card.action_joints}
    if card.joints.rest is not None:
        orders["rest"] = card.joints.rest.joints
        both = [name for name in card.joints.rest.joints if name in card.action_joints]
        if both:
            yield f"joints.rest names {', '.join(both)}, which the network drives"
    for what, names in orders.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            yield f"joints.{what} names {', '.join(twice)} twice"
    everyone = tuple(dict.fromkeys(name for names in orders.values() for name in names))
    gains = {"gains.sim": card.gains.sim, "gains.real": card.gains.real}
    tables = {"default_pose": card.default_pose, "action.scale": card.action.scale}
    if card.armature is not None:
        tables["armature"] = card.armature
    tables |= {f"{where}.{what}": getattr(gain, what) for where, gain in gains.items() for what in ("kp", "kd")}
    for where, values in tables.items():
        yield from _pattern_problems(where, values, everyone)
    for where in ("gains.sim.kp", "gains.sim.kd", "gains.real.kp", "gains.real.kd", "armature"):
        if where not in tables:
            continue
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
    terms = [block for block in card.observation if not isinstance(block, b.Repeat)]
    repeats = [block for block in card.observation if isinstance(block, b.Repeat)]
    groups = {term.group for term in terms}
    if not groups:
        yield "observation lists no term"
    for i, block in enumerate(card.observation):
        where = f"observation[{i}]"
        if isinstance(block, b.Repeat):
            yield from _repeat_problems(where, block, groups)
        else:
            yield from _term_problems(card, where, block)
            if block.hidden and not any(block.group in repeat.of for repeat in repeats):
                yield f"{where} is hidden, no block repeats its group '{block.group}'"
    ahead = max((step for block in repeats if isinstance(block, b.Future) for step in block.steps), default=0)
    if ahead != card.lookahead_steps:
        yield f"lookahead_steps is {card.lookahead_steps}, the observation reaches {ahead} steps ahead"
    width = card.layout()[-1].stop
    if width != card.inputs_width:
        what = "model.input_width is" if card.inputs_width == card.model.input_width else "the networks' inputs take"
        yield f"the observation blocks add up to {width}, {what} {card.inputs_width}"


def _repeat_problems(where: str, block: b.Repeat, groups: set[str]) -> Iterator[str]:
    if not block.of:
        yield f"{where}.of names no group; valid: {', '.join(sorted(groups))}"
    for group in block.of:
        if group not in groups:
            yield f"{where}.of names group '{group}'{nearest(group, groups)} Valid: {', '.join(sorted(groups))}"
    if isinstance(block, b.History) and not 1 <= block.length <= MAX_HISTORY_TICKS:
        yield f"{where}.length is {block.length}, must be 1 to {MAX_HISTORY_TICKS}"
    if isinstance(block, b.Lags) and not (block.lags and all(0 <= lag <= MAX_HISTORY_TICKS for lag in block.lags)):
        yield f"{where}.lags is {list(block.lags)}, must name ticks back of 0 to {MAX_HISTORY_TICKS}"
    if isinstance(block, b.Future) and (not block.steps or min(block.steps) < 0):
        yield f"{where}.steps is {list(block.steps)}, must name steps of 0 or more"


def _term_problems(card: Card, where: str, term: b.Term) -> Iterator[str]:
    if isinstance(term, b.JointBlock):
        yield from _selection_problems(card, where, term)
    if isinstance(term, b.Constant) and not 1 <= term.width <= MAX_WIDTH:
        yield f"{where}.width is {term.width}, must be 1 to {MAX_WIDTH}"
    if isinstance(term, b.Phase) and not (term.period_s > 0 and term.offsets_rad):
        yield f"{where} has period_s {term.period_s:g} and {len(term.offsets_rad)} offsets_rad: both must be above 0"
    if isinstance(term.scale, tuple) and len(term.scale) != card.term_width(term):
        yield f"{where}.scale has {len(term.scale)} values, the block {card.term_width(term)}"
    if term.clip is not None and not term.clip[0] < term.clip[1]:
        yield f"{where}.clip is {term.clip[0]:g} to {term.clip[1]:g}, must rise"


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
        if segment.at < 0 or segment.repeat < 1 or segment.stride < 0 or last > card.inputs_width:
            yield f"golden '{golden.name}' writes up to {last}, model.input_width is {card.inputs_width}"


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _numbers(item, f"{path}[{i}]")
