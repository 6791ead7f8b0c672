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


def explain(resolved: ResolvedPolicy) -> list[str]:
    """What the policy is, sees, does and needs, one line each."""
    card = resolved.card
    lookahead_ms = 1e3 * card.lookahead_steps / card.rate_hz
    return [
        f"{card.name}: {card.title}",
        f"robot       {card.robot}, {len(card.action_joints)} joints driven, {len(card.state_joints)} read",
        f"licence     {card.licence}; {card.attribution}; {card.homepage}",
        f"model       {resolved.onnx_path}",
        f"            sha256 {card.model.sha256[:16]}, opset {card.model.opset}, described by {resolved.card_path}",
        f"rate        {card.rate_hz:g} Hz, no other",
        f"lookahead   {f'{card.lookahead_steps} steps, {lookahead_ms:g} ms' if card.lookahead_steps else 'none'}",
        f"needs       the {card.imu} IMU, {'odometry' if card.odometry else 'no odometry'}; "
        f"of the reference: {', '.join(card.reference_fields) or 'nothing'}",
        f"input       '{card.model.input}', {card.model.input_width} values:",
        *(f"            {slot.start:5d}..{slot.stop - 1:<5d} {_block_words(card, slot)}" for slot in card.layout()),
        f"output      '{card.model.output}', {card.model.output_width} values; target = {_action_words(card)}",
        *(line for name, gains in (("sim", card.gains.sim), ("real", card.gains.real)) for line in _gains(name, gains)),
    ]


def check(resolved: ResolvedPolicy, model: RobotModel) -> list[str]:
    """Load the policy as `serve` would and say what was seen.

    Raises:
        PolicyError: it would not run.
    """
    card = resolved.card
    runtimes = {link: PolicyRuntime(card, resolved.onnx_path, model, link=link) for link in ("sim", "dds")}
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
        f"gains, sim against real: {'; '.join(differs) or 'the same'}",
    ]


def _pair(runtimes: dict[str, PolicyRuntime], what: str, i: int) -> str:
    sim, real = (getattr(runtimes[link], what)[i] for link in ("sim", "dds"))
    return f"{sim:g}/{real:g}"


def _block_words(card: Card, slot: Slot) -> str:
    """One block: what it is and what is done to it."""
    block = slot.block
    words = b.kind_of(type(block)).replace("_", " ")
    if isinstance(block, b.History):
        order = block.order.replace("_", " ")
        return f"{words} of {' + '.join(block.of)}: the {block.length} ticks before, {order}, {block.fill} at start"
    if isinstance(block, b.Future):
        return f"{words} of {' + '.join(block.of)}: steps {', '.join(map(str, block.steps))}"
    if isinstance(block, b.VectorBlock):
        words += f" {block.axes}"
    if isinstance(block, b.ReferenceLinVel | b.ReferenceAngVel):
        words += f" in the {block.frame} frame"
    if isinstance(block, b.JointBlock):
        words += f" of {len(card.order_of(block))} joints"
        words += " minus the default pose" if block.offset == "default_pose" else ""
        words += f", {len(block.zero)} of them zeroed" if block.zero else ""
    if block.clip is not None:
        words += f", clipped to {block.clip[0]:g}..{block.clip[1]:g}"
    return words + (f", times {block.scale:g}" if block.scale != 1.0 else "")


def _action_words(card: Card) -> str:
    scales = np.unique(card.per_joint(card.action.scale, card.action_joints))
    scale = f"{scales[0]:g}" if len(scales) == 1 else f"{scales[0]:g}..{scales[-1]:g} by joint"
    value = "output" if card.action.clip is None else f"clip(output, +-{card.action.clip:g})"
    offset = " + default pose" if card.action.offset == "default_pose" else ""
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
