"""What every importer gives: a card, and where each number in it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from teleopd.robots.model import RobotModel
from teleopd.service.policy.card import Card
from teleopd.service.policy.card_reader import SCHEMA, card_from
from teleopd.service.policy.errors import CannotImport, nearest
from teleopd.service.policy.onnx_file import OnnxFile

UNSTATED = "not stated in the file"


class Imported(NamedTuple):
    """A card made from somebody else's description."""

    card: Card
    notes: tuple[str, ...]
    """One line for each number that matters: what, and which source it came from."""


def base(onnx: OnnxFile, robot: RobotModel, title: str) -> dict[str, Any]:
    """The part of a card that is the same for all importers; the caller adds the rest."""
    return {
        "schema": SCHEMA, "name": onnx.path.stem, "title": title, "robot": robot.name, "licence": UNSTATED,
        "attribution": UNSTATED, "homepage": UNSTATED, "rate_hz": 50.0, "imu": "pelvis", "odometry": False,
        "lookahead_steps": 0,
    }  # fmt: skip


def model_file(onnx: OnnxFile, source: str, target: str) -> dict[str, Any]:
    """Section `model` for an observation input and an action output.

    Raises:
        CannotImport: the ONNX has no such input or output, or not of two dimensions.
    """
    for what, name, found in (("input", source, onnx.inputs), ("output", target, onnx.outputs)):
        if len(found.get(name, ())) != 2:
            listed = ", ".join(f"'{n}' {list(shape)}" for n, shape in found.items())
            raise CannotImport(onnx.path, f"it needs an {what} '{name}' of two dimensions, it has {listed}")
    return {
        "file": onnx.path.name, "sha256": onnx.sha256, "opset": onnx.opset, "input": source, "output": target,
        "input_width": onnx.inputs[source][1], "output_width": onnx.outputs[target][1],
        "data": [{"file": name, "sha256": sha256} for name, sha256 in onnx.data],
    }  # fmt: skip


def finished(onnx: OnnxFile, data: dict[str, Any], notes: Sequence[str]) -> Imported:
    """Check what was put together.

    Raises:
        BadCard: it contradicts itself: a width, a gain of 0 ...
    """
    return Imported(card_from(data, str(onnx.path)), tuple(notes))


def check_joints(onnx: OnnxFile, names: Sequence[str], robot: RobotModel) -> None:
    """See that the robot has the joints.

    Raises:
        CannotImport: names the first that it has not.
    """
    for name in names:
        if name not in robot.joint_names:
            close = nearest(name, robot.joint_names)
            raise CannotImport(onnx.path, f"its joint '{name}' is not one of {robot.name}{close} Name another robot")


def by_joint(onnx: OnnxFile, what: str, names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Joint -> value; a single value stands for all.

    Raises:
        CannotImport: there are more or fewer values than joints.
    """
    spread = list(values) * len(names) if len(values) == 1 else list(values)
    if len(spread) != len(names):
        raise CannotImport(onnx.path, f"{what} has {len(spread)} values for {len(names)} joints")
    return dict(zip(names, spread, strict=True))


def gain_sets(kp: dict[str, float], kd: dict[str, float], source: str) -> dict[str, Any]:
    """Section `gains`: the same for simulation and robot, because the source knows only one."""
    reason = "the only set given; it was written for simulation and robot alike"
    return {link: {"kp": kp, "kd": kd, "source": source, "reason": reason} for link in ("sim", "real")}


def term_blocks(name: str, anchor: str, velocity_command: bool) -> list[dict[str, Any]] | None:
    """Blocks of one observation term in the vocabulary of IsaacLab, mjlab and holosoma; None for an unknown one.

    `command` is a velocity where `velocity_command`, else the reference joints.
    """
    if name in ("velocity_commands", "velocity_command") or (name == "command" and velocity_command):
        return [
            {"kind": "reference_lin_vel", "axes": "xy", "frame": "heading"},
            {"kind": "reference_ang_vel", "axes": "z", "frame": "heading"},
        ]
    orientation = {"kind": "anchor_orientation", "body": anchor, "flatten": "row_major", "align": "start"}
    known: dict[str, list[dict[str, Any]]] = {
        "command": [{"kind": "reference_q"}, {"kind": "reference_dq"}],
        "motion_command": [{"kind": "reference_q"}, {"kind": "reference_dq"}],
        "motion_anchor_pos_b": [{"kind": "anchor_position", "body": anchor, "align": "start"}],
        "motion_anchor_ori_b": [orientation],
        "motion_ref_ori_b": [orientation],
        "base_lin_vel": [{"kind": "base_lin_vel"}],
        "base_ang_vel": [{"kind": "gyro"}],
        "projected_gravity": [{"kind": "gravity"}],
        "joint_pos": [{"kind": "q", "offset": "default_pose"}],
        "joint_pos_rel": [{"kind": "q", "offset": "default_pose"}],
        "dof_pos": [{"kind": "q", "offset": "default_pose"}],
        "joint_vel": [{"kind": "dq"}],
        "joint_vel_rel": [{"kind": "dq"}],
        "dof_vel": [{"kind": "dq"}],
        "actions": [{"kind": "last_action"}],
        "last_action": [{"kind": "last_action"}],
    }
    return known.get(name)


KNOWN_TERMS = (
    "command", "motion_command", "motion_anchor_pos_b", "motion_anchor_ori_b", "motion_ref_ori_b", "base_lin_vel",
    "base_ang_vel", "projected_gravity", "joint_pos", "joint_pos_rel", "dof_pos", "joint_vel", "joint_vel_rel",
    "dof_vel", "actions", "last_action", "velocity_commands",
)  # fmt: skip


def unknown_term(onnx: OnnxFile, name: str, where: str) -> CannotImport:
    """The error for a term that means nothing here."""
    close = nearest(name, KNOWN_TERMS)
    return CannotImport(onnx.path, f"unknown term '{name}' in {where}{close} Known: {', '.join(sorted(KNOWN_TERMS))}")
