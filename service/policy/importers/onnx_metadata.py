"""Metadata that BeyondMimic and mjlab write into their ONNX files -> card.

Keys: joint_names, joint_stiffness, joint_damping, default_joint_pos, action_scale, observation_names, anchor_body_name,
body_names, command_names; all comma-separated, numbers with three decimals. The joint order is what the file says:
IsaacLab exports go breadth first, mjlab exports in the robot's order, at the same width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from teleopd.robots.model import RobotModel
from teleopd.service.policy.errors import CannotImport, NotOnnx
from teleopd.service.policy.importers.imported import (
    Imported,
    base,
    by_joint,
    check_joints,
    finished,
    gain_sets,
    model_file,
    term_blocks,
    unknown_term,
)
from teleopd.service.policy.onnx_file import OnnxFile
from teleopd.service.policy.setting import listed, numbers

NEEDED = ("joint_names", "joint_stiffness", "joint_damping", "default_joint_pos", "action_scale", "observation_names")
LONGEST_CLIP = 60_000
"""20 minutes at 50 Hz."""
_QUIET_STEPS = 100
"""A motion has ended when it stays at its last pose for so long [ticks]."""


def has_metadata(onnx: OnnxFile) -> bool:
    """Whether the file carries this kind of metadata."""
    return "joint_names" in onnx.metadata and "observation_names" in onnx.metadata


def import_metadata(onnx: OnnxFile, robot: RobotModel) -> Imported:
    """The card that the metadata describe.

    Raises:
        CannotImport: something is missing, or means nothing here.
        BadCard: it contradicts itself: a gain of 0, a width that does not add up ...
    """
    metadata = onnx.metadata
    missing = [key for key in NEEDED if not metadata.get(key)]
    if missing:
        raise CannotImport(onnx.path, f"its metadata lack {', '.join(missing)}")
    names = listed(metadata["joint_names"])
    check_joints(onnx, names, robot)
    values = {key: by_joint(onnx, key, names, numbers(metadata[key])) for key in NEEDED[1:5]}
    data = base(onnx, robot, f"imported from the ONNX metadata, run {metadata.get('run_path', 'unnamed')}")
    data["joints"] = {"state": names, "reference": "state", "action": "state"}
    data["default_pose"] = values["default_joint_pos"]
    data["action"] = {"scale": values["action_scale"], "offset": "default_pose", "feedback": "raw"}
    source = "ONNX metadata joint_stiffness and joint_damping (three decimals)"
    data["gains"] = gain_sets(values["joint_stiffness"], values["joint_damping"], source)
    data["model"] = model_file(onnx, "obs", "actions")
    data["observation"] = _observation(onnx, metadata)
    kinds = {block["kind"] for block in data["observation"]}
    data["odometry"] = bool(kinds & {"anchor_position", "base_lin_vel"})
    data["role"] = "clip" if "anchor_orientation" in kinds else "velocity" if "reference_q" not in kinds else "tracker"
    notes = [
        f"joint order: ONNX metadata joint_names ({_order(names, robot)})",
        "kp: ONNX metadata joint_stiffness", "kd: ONNX metadata joint_damping",
        "default pose: ONNX metadata default_joint_pos", "action scale: ONNX metadata action_scale",
        "observation: ONNX metadata observation_names",
        "rate: 50 Hz, which every published export of this kind has; the file does not say",
    ]  # fmt: skip
    if "time_step" in onnx.inputs:
        data["model"]["extras"] = [clip_time_input(onnx)]
        data["clip"] = _clip(onnx, listed(metadata.get("body_names", "")), robot)
        notes.append(f"motion: inside the ONNX, {data['clip']['steps']} steps found by running it")
    return finished(onnx, data, notes)


def _observation(onnx: OnnxFile, metadata: Any) -> list[dict[str, Any]]:
    anchor = metadata.get("anchor_body_name", "")
    velocity = "motion" not in listed(metadata.get("command_names", "motion"))
    blocks = []
    for name in listed(metadata["observation_names"]):
        found = term_blocks(name, anchor, velocity)
        if found is None:
            raise unknown_term(onnx, name, "the metadata's observation_names")
        if not anchor and any("body" in block for block in found):
            raise CannotImport(onnx.path, f"its term '{name}' needs anchor_body_name, which its metadata lack")
        blocks += [{**block, "group": name} for block in found]
    return blocks


def _clip(onnx: OnnxFile, bodies: Sequence[str], robot: RobotModel) -> dict[str, Any]:
    if robot.root_body not in bodies:
        raise CannotImport(onnx.path, f"its body_names ({', '.join(bodies) or 'none'}) lack '{robot.root_body}'")
    outputs = ("joint_pos", "joint_vel", "body_pos_w", "body_quat_w")
    lacking = [name for name in outputs if name not in onnx.outputs]
    if lacking:
        raise CannotImport(onnx.path, f"it has time_step, but no outputs {', '.join(lacking)}")
    return {
        "steps": clip_length(onnx, outputs), "joint_pos": "joint_pos", "joint_vel": "joint_vel",
        "body": robot.root_body, "body_index": list(bodies).index(robot.root_body), "body_pos": "body_pos_w",
        "body_quat": "body_quat_w",
    }  # fmt: skip


def clip_time_input(onnx: OnnxFile) -> dict[str, Any]:
    """Entry of `model.extras` for the tick of the motion."""
    return {"input": "time_step", "source": "clip_time", "shape": list(onnx.inputs["time_step"])}


def clip_length(onnx: OnnxFile, outputs: Sequence[str]) -> int:
    """Ticks of the motion inside: up to where it reaches the pose in which it stays.

    Raises:
        NotOnnx: onnxruntime refuses the file.
        CannotImport: it goes on for longer than 20 minutes.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(onnx.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a different class for each way a file can be broken
        raise NotOnnx(onnx.path, f"onnxruntime refuses it: {' '.join(str(error).split())[:200]}") from None
    feeds = {name: np.zeros([max(1, size) for size in shape], dtype=np.float32) for name, shape in onnx.inputs.items()}

    def row(step: int) -> Any:
        feeds["time_step"][...] = step
        return np.concatenate([np.ravel(output) for output in session.run(list(outputs), feeds)])

    last, length, step = row(10_000_000), 1, 0
    while step < length + _QUIET_STEPS:
        if not np.array_equal(row(step), last):
            length = step + 2
        step += 1
        if step > LONGEST_CLIP:
            raise CannotImport(onnx.path, f"the motion inside is longer than {LONGEST_CLIP} ticks")
    return length


def _order(names: Sequence[str], robot: RobotModel) -> str:
    if list(names) == list(robot.joint_names):
        return "the robot's own"
    return f"{len(names)} joints, not the robot's own order: mapped by name"
