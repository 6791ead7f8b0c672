"""A policy in plain words, for `teleop policy show` and `teleop policy check`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from teleopd.robots.model import RobotModel
from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import Card, GainSet, Slot
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.runtime import PolicyRuntime

_ROLES = {"tracker": "tracker of whole poses", "velocity": "velocity policy", "clip": "policy for one motion"}


def explain(resolved: ResolvedPolicy) -> list[str]:
    """What the policy is, sees, does and needs, one line each."""
    card = resolved.card
    lookahead_ms = 1e3 * card.lookahead_steps / card.rate_hz
    return [
        f"{card.name}: {card.title}",
        f"robot       {card.robot}, {len(card.action_joints)} joints driven, {len(card.state_joints)} read; "
        f"a {_ROLES[card.role]}",
        f"licence     {card.licence}; {card.attribution}; {card.homepage}",
        f"model       {resolved.onnx_path}",
        f"            sha256 {card.model.sha256[:16]}, opset {card.model.opset}, described by {resolved.card_path}",
        f"rate        {card.rate_hz:g} Hz, no other",
        "lookahead   "
        + (f"{card.lookahead_steps} steps, {lookahead_ms:g} ms ({card.lookahead})" if card.lookahead_steps else "none"),
        f"needs       the {card.imu} IMU, {'odometry' if card.odometry else 'no odometry'}; "
        f"of the reference: {', '.join(card.reference_fields) or 'nothing'}",
        f"input       '{card.model.input}', {card.inputs_width} values:",
        *(f"            {_place(slot)} {_block_words(card, slot)}" for slot in card.layout()),
        *(f"input       '{extra.input}' {list(extra.shape)}: {extra.source}" for extra in card.model.extras),
        f"output      '{card.model.output}', {card.model.output_width} values; target = {_action_words(card)}",
        *_section_words(card),
        *(f"imported    {note}" for note in resolved.notes),
        *(line for name, gains in (("sim", card.gains.sim), ("real", card.gains.real)) for line in _gains(name, gains)),
    ]


def check(resolved: ResolvedPolicy, model: RobotModel) -> list[str]:
    """Load the policy as `serve` would and say what was seen.

    Raises:
        PolicyError: it would not run.
    """
    card = resolved.card
    # Both gain sets are loaded; whether the real robot's position is measured is said below, not refused here.
    runtimes = {
        link: PolicyRuntime(card, resolved.onnx_path, model, link=link, odometry=True) for link in ("sim", "dds")
    }
    differs = [
        f"{name} kp {_pair(runtimes, 'kp', i)} kd {_pair(runtimes, 'kd', i)}"
        for i, name in enumerate(model.joint_names)
        if runtimes["sim"].kp[i] != runtimes["dds"].kp[i] or runtimes["sim"].kd[i] != runtimes["dds"].kd[i]
    ]
    return [
        "the file is a complete ONNX model and is the one the card describes",
        f"input {card.model.input_width} and output {card.model.output_width} values, as the card says",
        f"joints map one to one onto {model.name}; rate {card.rate_hz:g} Hz is the control loop's",
        f"{len(card.golden)} golden outputs reproduced, all outputs finite",
        f"one step takes {runtimes['sim'].warm_up_ms:.2f} ms (median) of a period of {1e3 / card.rate_hz:g} ms",
        *_needs(card),
        *resolved.notes,
        f"gains, sim against real: {'; '.join(differs) or 'the same'}",
    ]


def _needs(card: Card) -> Iterator[str]:
    """What it needs beyond what every robot gives."""
    if card.odometry:
        yield "needs odometry: runs in simulation, on a robot only with motion capture of it"
    if card.lookahead_steps:
        yield f"wants the reference {card.lookahead_steps} steps ahead: a live stream gives that by '{card.lookahead}'"


def _place(slot: Slot) -> str:
    return f"{slot.start:5d}..{slot.stop - 1:<5d}" if slot.stop > slot.start else f"{'repeated':>12s}"


def _section_words(card: Card) -> Iterator[str]:
    rest, clip, limits, able = card.joints.rest, card.clip, card.compliance, card.capabilities
    if able is not None:
        yield (
            f"follows     velocity: forward {_span(able.forward)}, left {_span(able.left)} m/s, turn "
            f"{_span(able.turn)} rad/s; height {_span(able.height)} m, standing"
        )
        yield f"            upper body: {'yes' if able.upper_body else 'no'}; legs: no, they step as it finds best"
    if rest is not None:
        what = "the reference" if rest.follow == "reference" else "the default pose"
        yield f"rest        {', '.join(rest.joints)} follow {what}"
    if clip is not None:
        seconds = clip.steps / card.rate_hz
        then = "held" if clip.at_end == "hold" else "repeated"
        yield f"motion      inside the ONNX, {clip.steps} steps, {seconds:.1f} s, then {then}; a live one is ignored"
    if card.encoder is not None:
        encoder = card.encoder
        yield f"encoder     {encoder.file}: the first {encoder.input_width} values -> {encoder.output_width}"
    if limits is not None:
        yield f"force       limit {limits.lower_n:g} to {limits.upper_n:g} N, {limits.default_n:g} N at start"


def _span(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g}..{bounds[1]:g}"


def _pair(runtimes: dict[str, PolicyRuntime], what: str, i: int) -> str:
    sim, real = (getattr(runtimes[link], what)[i] for link in ("sim", "dds"))
    return f"{sim:g}/{real:g}"


def _block_words(card: Card, slot: Slot) -> str:
    """One block: what it is and what is done to it."""
    block = slot.block
    words = b.kind_of(type(block)).replace("_", " ")
    if isinstance(block, b.History):
        order, which = block.order.replace("_", " "), "newest ticks" if block.present else "ticks before"
        return f"{words} of {' + '.join(block.of)}: the {block.length} {which}, {order}, {block.fill} at start"
    if isinstance(block, b.Lags):
        lags = ", ".join(map(str, block.lags))
        return f"{words} of {' + '.join(block.of)}: {lags} ticks ago, {block.fill} at start"
    if isinstance(block, b.Future):
        return f"{words} of {' + '.join(block.of)}: steps {', '.join(map(str, block.steps))}"
    if isinstance(block, b.VectorBlock):
        words += f" {block.axes}"
    if isinstance(block, b.ReferenceLinVel | b.ReferenceAngVel | b.ReferenceDisplacement):
        words += f" in the {block.frame} frame"
    if isinstance(block, b.AnchorOrientation | b.AnchorPosition):
        words += f" of {block.body}" + (", aligned at the start" if block.align == "start" else "")
    if isinstance(block, b.KeyPoints):
        words += f" {block.quantity.replace('_', ' ')} of {', '.join(point.name for point in card.points)}"
    if isinstance(block, b.Phase):
        words += f" {block.function}, period {block.period_s:g} s"
    if isinstance(block, b.Constant):
        words += f" {block.value:g}"
    if isinstance(block, b.JointBlock):
        words += f" of {len(card.order_of(block))} joints"
        words += " minus the default pose" if block.offset == "default_pose" else ""
        words += f", {len(block.zero)} of them zeroed" if block.zero else ""
    if block.clip is not None:
        words += f", clipped to {block.clip[0]:g}..{block.clip[1]:g}"
    if isinstance(block.scale, tuple):
        return f"{words}, times {', '.join(f'{factor:g}' for factor in block.scale)}"
    return words + (f", times {block.scale:g}" if block.scale != 1.0 else "")


def _action_words(card: Card) -> str:
    scales = np.unique(card.per_joint(card.action.scale, card.action_joints))
    scale = f"{scales[0]:g}" if len(scales) == 1 else f"{scales[0]:g}..{scales[-1]:g} by joint"
    value = "output" if card.action.clip is None else f"clip(output, +-{card.action.clip:g})"
    offset = " + default pose" if card.action.offset == "default_pose" else ""
    smoothing = card.action.smoothing
    if smoothing is not None:
        average = f"average({smoothing.alpha:g} new)"
        value = f"{value} of the {average}" if smoothing.stage == "before_clip" else f"{average} of {value}"
    return f"{value} * {scale}{offset}; the {card.action.feedback} output is fed back"


def _gains(name: str, gains: GainSet) -> Iterator[str]:
    """The set's numbers in groups, its source and its reason."""
    kp, kd = (msgspec.to_builtins(values) for values in (gains.kp, gains.kd))
    if isinstance(kp, dict) and isinstance(kd, dict) and kp.keys() == kd.keys():
        table = ", ".join(f"{pattern} {kp[pattern]:g}/{kd[pattern]:g}" for pattern in kp)
    else:
        table = f"kp {kp}, kd {kd}"
    yield f"gains {name:5} {table}"
    yield f"            from {gains.source}"
    yield f"            because {' '.join(gains.reason.split())}"
