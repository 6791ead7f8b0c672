"""Metadata that holosoma writes into its whole-body-tracking ONNX files -> card.

Keys: dof_names, kp, kd as JSON. Width and terms are those of BeyondMimic, the order is not: holosoma's inference sorts
the terms by name. Action scale and default pose are in newer files only (`experiment_config`); where they are missing
they must be given, because a guessed scale made a robot fall (holosoma issue 125).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from teleopd.robots.model import RobotModel
from teleopd.service.policy.errors import CannotImport
from teleopd.service.policy.importers.imported import (
    Imported,
    base,
    by_joint,
    check_joints,
    finished,
    gain_sets,
    model_file,
    term_blocks,
)
from teleopd.service.policy.importers.onnx_metadata import clip_length, clip_time_input
from teleopd.service.policy.onnx_file import OnnxFile

TERMS = ("actions", "base_ang_vel", "dof_pos", "dof_vel", "motion_command", "motion_ref_ori_b")
"""Of the whole-body tracker, as its inference sorts them."""
ANCHOR = "torso_link"
_OUTPUTS = ("joint_pos", "joint_vel", "ref_pos_xyz", "ref_quat_xyzw")


def has_holosoma(onnx: OnnxFile) -> bool:
    """Whether the file carries this kind of metadata."""
    return "dof_names" in onnx.metadata


def import_holosoma(
    onnx: OnnxFile, robot: RobotModel, *, action_scale: float | None = None,
    default_pose: Mapping[str, float] | None = None,
) -> Imported:  # fmt: skip
    """The card that the metadata describe; `default_pose` may use patterns, [rad].

    Raises:
        CannotImport: something is missing; says how to give it.
        BadCard: it contradicts itself.
    """
    names = [str(name) for name in _json(onnx, "dof_names", list)]
    check_joints(onnx, names, robot)
    kp = by_joint(onnx, "kp", names, _json(onnx, "kp", list))
    kd = by_joint(onnx, "kd", names, _json(onnx, "kd", list))
    if any(name not in onnx.outputs for name in _OUTPUTS) or "time_step" not in onnx.inputs:
        only = "of holosoma's policies only the whole-body tracker (time_step in, motion out) is known"
        raise CannotImport(onnx.path, f"{only}; its locomotion files do not say the gait period")
    config = _json(onnx, "experiment_config", dict) if "experiment_config" in onnx.metadata else {}
    scale, scale_from = _scale(onnx, config, action_scale)
    pose, pose_from = _pose(onnx, config, default_pose, names)
    data = base(onnx, robot, "holosoma whole-body tracker, imported from the ONNX metadata")
    data["role"] = "clip"
    data["joints"] = {"state": names, "reference": "state", "action": "state"}
    data["default_pose"] = pose
    data["action"] = {"scale": scale, "offset": "default_pose", "feedback": "raw"}
    data["gains"] = gain_sets(kp, kd, "ONNX metadata kp and kd")
    data["model"] = model_file(onnx, next(name for name in onnx.inputs if name != "time_step"), "actions")
    data["model"]["extras"] = [clip_time_input(onnx)]
    data["observation"] = [
        {**block, "group": name} for name in sorted(TERMS) for block in term_blocks(name, ANCHOR, False) or ()
    ]
    data["clip"] = {
        "steps": clip_length(onnx, _OUTPUTS), "joint_pos": "joint_pos", "joint_vel": "joint_vel", "body": ANCHOR,
        "body_pos": "ref_pos_xyz", "body_quat": "ref_quat_xyzw", "quat_order": "xyzw",
    }  # fmt: skip
    notes = [
        "joint order: ONNX metadata dof_names", "kp: ONNX metadata kp", "kd: ONNX metadata kd",
        f"default pose: {pose_from}", f"action scale: {scale_from}",
        "observation: holosoma's terms in alphabetical order; the file does not list them",
        "rate: 50 Hz, which every published file of this kind has; the file does not say",
    ]  # fmt: skip
    return finished(onnx, data, notes)


def _json(onnx: OnnxFile, key: str, kind: type) -> Any:
    try:
        value = json.loads(onnx.metadata.get(key, ""))
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise CannotImport(onnx.path, f"its metadata '{key}' are no JSON {kind.__name__}")
    return value


def _found(config: Mapping[str, Any], *path: str) -> Any:
    value: Any = config
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _scale(onnx: OnnxFile, config: Mapping[str, Any], given: float | None) -> tuple[float, str]:
    noted = _found(config, "robot", "control", "action_scale")
    if given is not None:
        if isinstance(noted, int | float) and noted != given:
            raise CannotImport(onnx.path, f"action scale {given:g} was given, its experiment_config says {noted:g}")
        return given, "given by the user"
    if isinstance(noted, int | float):
        return float(noted), "ONNX metadata experiment_config robot.control.action_scale"
    raise CannotImport(onnx.path, "its metadata do not say the action scale: give it with --action-scale")


def _pose(
    onnx: OnnxFile, config: Mapping[str, Any], given: Mapping[str, float] | None, names: list[str]
) -> tuple[dict[str, float], str]:
    if given is not None:
        return dict(given), "given by the user"
    noted = _found(config, "robot", "init_state", "default_joint_angles")
    if isinstance(noted, dict) and all(isinstance(noted.get(name), int | float) for name in names):
        where = "ONNX metadata experiment_config robot.init_state.default_joint_angles"
        return {name: float(noted[name]) for name in names}, where
    raise CannotImport(onnx.path, "its metadata do not say the default pose: give it with --default-pose")
