"""Unitree's `deploy.yaml` (unitree_rl_lab, unitree_rl_mjlab) -> card.

`joint_ids_map` gives the motor of each policy joint. `stiffness` and `damping` are in motor order, everything else in
the policy's. The order of `observations` is that of the vector; each term has its own history, oldest first, filled
with the present value at the start; clip comes before scale (read in unitree_rl_lab's C++).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teleopd.robots.model import RobotModel
from teleopd.service.policy.errors import CannotImport, WrongRate
from teleopd.service.policy.importers.imported import (
    Imported,
    base,
    by_joint,
    finished,
    gain_sets,
    model_file,
    term_blocks,
    unknown_term,
)
from teleopd.service.policy.onnx_file import OnnxFile

ANCHOR = "torso_link"
"""Unitree's mimic policies are anchored there; the file does not say."""
_SLICE_TAG = "tag:yaml.org,2002:python/object/apply:builtins.slice"
MAX_BYTES = 1_000_000


def find_deploy_yaml(onnx_path: Path) -> Path | None:
    """The deploy.yaml of a policy: beside it, or in `params` beside its folder, as Unitree lays them out."""
    for folder in (onnx_path.parent, onnx_path.parent / "params", onnx_path.parent.parent / "params"):
        if (folder / "deploy.yaml").is_file():
            return folder / "deploy.yaml"
    return None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file through the safe loader, which also learns the one Python tag that Unitree's files carry.

    Raises:
        CannotImport: it is too large, no mapping or no YAML, has another Python tag, or pyyaml is not installed.
    """
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise CannotImport(path, "reading YAML needs the package pyyaml: pip install 'teleopd[import]'") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        pass

    def whole(loader: Any, node: Any) -> None:
        """`slice(None, None, None)`: all joints. Any other slice is refused."""
        if loader.construct_sequence(node) != [None, None, None]:
            raise yaml.constructor.ConstructorError(None, None, "a slice of some joints is not supported")

    Loader.add_constructor(_SLICE_TAG, whole)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CannotImport(path, f"it is larger than {MAX_BYTES} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (OSError, UnicodeDecodeError, RecursionError, ValueError, yaml.YAMLError) as error:
        raise CannotImport(path, f"it is not readable as YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise CannotImport(path, "it is no YAML mapping")
    return content


def import_deploy_yaml(onnx: OnnxFile, path: Path, robot: RobotModel, *, rate_hz: float = 50.0) -> Imported:
    """The card that a deploy.yaml describes.

    Raises:
        CannotImport: something is missing, or means nothing here.
        WrongRate: `step_dt` is not that of the control loop.
        BadCard: it contradicts itself.
    """
    deploy = read_yaml(path)
    label = str(path)
    names, motor_names = _joints(deploy, path, robot)
    step_dt = _number(deploy, path, "step_dt")
    if abs(step_dt * rate_hz - 1.0) > 1e-6:
        raise WrongRate(label, 1.0 / step_dt, rate_hz)
    kp = by_joint(onnx, "stiffness", motor_names, _numbers(deploy, path, "stiffness"))
    kd = by_joint(onnx, "damping", motor_names, _numbers(deploy, path, "damping"))
    pose = by_joint(onnx, "default_joint_pos", names, _numbers(deploy, path, "default_joint_pos"))
    data = base(onnx, robot, f"imported from {path.name}")
    data["joints"] = {"state": names, "reference": "state", "action": "state"}
    data["default_pose"] = pose
    data["action"] = _action(deploy, path, onnx, names, pose)
    data["gains"] = gain_sets(kp, kd, f"{path.name}: stiffness and damping, in motor order")
    data["model"] = model_file(onnx, next(iter(onnx.inputs), "obs"), next(iter(onnx.outputs), "actions"))
    data["observation"] = _observation(deploy, path, onnx)
    kinds = {block["kind"] for block in data["observation"]}
    data["odometry"] = bool(kinds & {"anchor_position", "base_lin_vel"})
    data["role"] = "clip" if "anchor_orientation" in kinds else "velocity"
    notes = [
        f"joint order: {path.name} joint_ids_map", f"kp: {path.name} stiffness (motor order)",
        f"kd: {path.name} damping (motor order)", f"default pose: {path.name} default_joint_pos (policy order)",
        f"action scale: {path.name} actions.JointPositionAction.scale (policy order)",
        f"observation: {path.name} observations", f"rate: {path.name} step_dt",
    ]  # fmt: skip
    return finished(onnx, data, notes)


def _joints(deploy: Mapping[str, Any], path: Path, robot: RobotModel) -> tuple[list[str], list[str]]:
    """Joints in the policy's order, and in motor order."""
    ids = deploy.get("joint_ids_map")
    if not isinstance(ids, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
        raise CannotImport(path, "joint_ids_map is missing or no list of numbers")
    if sorted(ids) != list(range(robot.n)):
        raise CannotImport(
            path, f"joint_ids_map names {len(ids)} motors up to {max(ids, default=-1)}, {robot.name} has {robot.n}"
        )
    return [robot.joint_names[i] for i in ids], list(robot.joint_names)


def _action(
    deploy: Mapping[str, Any], path: Path, onnx: OnnxFile, names: list[str], pose: Mapping[str, float]
) -> dict[str, Any]:
    actions = deploy.get("actions")
    if not isinstance(actions, dict) or list(actions) != ["JointPositionAction"]:
        raise CannotImport(path, "actions must have JointPositionAction and nothing else")
    action = actions["JointPositionAction"]
    for key in ("clip", "joint_ids"):
        if action.get(key) is not None:
            raise CannotImport(path, f"actions.JointPositionAction.{key} is {action[key]}; only null is supported")
    offset = by_joint(onnx, "actions.JointPositionAction.offset", names, _numbers(action, path, "offset"))
    for name in names:
        if offset[name] != pose[name]:
            raise CannotImport(
                path, f"the action offset of {name} is {offset[name]:g}, default_joint_pos {pose[name]:g}: must agree"
            )
    scale = by_joint(onnx, "actions.JointPositionAction.scale", names, _numbers(action, path, "scale"))
    return {"scale": scale, "offset": "default_pose", "feedback": "raw"}


def _observation(deploy: Mapping[str, Any], path: Path, onnx: OnnxFile) -> list[dict[str, Any]]:
    terms = deploy.get("observations")
    if not isinstance(terms, dict) or not terms:
        raise CannotImport(path, "observations is missing")
    blocks: list[dict[str, Any]] = []
    for name, term in terms.items():
        if not isinstance(term, dict):
            raise CannotImport(path, f"observations.{name} is no mapping")
        found = _blocks(name, term, deploy, path, onnx)
        length = term.get("history_length", 1)
        if not isinstance(length, int) or length < 1:
            raise CannotImport(path, f"observations.{name}.history_length is {length}, must be 1 or more")
        hidden = length > 1
        blocks += [{**block, "group": name, **({"hidden": True} if hidden else {})} for block in found]
        if hidden:
            blocks.append({"kind": "history", "of": [name], "length": length, "order": "oldest_first",
                           "fill": "current", "present": True})  # fmt: skip
    return blocks


def _blocks(
    name: str, term: Mapping[str, Any], deploy: Mapping[str, Any], path: Path, onnx: OnnxFile
) -> list[dict[str, Any]]:
    """Blocks of a term with its clip and scale."""
    if name in ("velocity_commands", "velocity_command"):
        found = _velocity_blocks(deploy, path)
    elif name == "gait_phase":
        period = _number(term.get("params", {}), path, "period")
        found = [{"kind": "phase", "function": function, "period_s": period} for function in ("sin", "cos")]
    else:
        known = term_blocks(name, ANCHOR, False)
        if known is None:
            raise unknown_term(onnx, name, path.name)
        found = known
    clip = term.get("clip")
    if clip is not None:
        found = [{**block, "clip": clip} for block in found]
    scale = term.get("scale")
    if scale is None:
        return found
    factors = [float(factor) for factor in scale] if isinstance(scale, list) else [float(scale)]
    if len(set(factors)) == 1:
        return [{**block, "scale": factors[0]} for block in found] if factors[0] != 1.0 else found
    if len(found) == 1:
        return [{**found[0], "scale": factors}]
    if len(factors) != len(found):
        raise CannotImport(path, f"observations.{name}.scale has {len(factors)} values for {len(found)} blocks")
    return [{**block, "scale": factor} for block, factor in zip(found, factors, strict=True)]


def _velocity_blocks(deploy: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """The commanded velocity out of the reference, within the ranges of training."""
    commands: Any = deploy.get("commands")
    ranges: Any = commands.get("base_velocity", {}).get("ranges", {}) if isinstance(commands, dict) else {}
    blocks: list[dict[str, Any]] = []
    for key, kind, axis in (
        ("lin_vel_x", "reference_lin_vel", "x"),
        ("lin_vel_y", "reference_lin_vel", "y"),
        ("ang_vel_z", "reference_ang_vel", "z"),
    ):
        block: dict[str, Any] = {"kind": kind, "axes": axis, "frame": "heading"}
        if ranges.get(key) is not None:
            block["clip"] = [float(bound) for bound in ranges[key]]
        blocks.append(block)
    return blocks


def _numbers(mapping: Mapping[str, Any], path: Path, key: str) -> list[float]:
    values = mapping.get(key)
    values = values if isinstance(values, list) else [values]
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise CannotImport(path, f"{key} is missing or no list of numbers")
    return [float(value) for value in values]


def _number(mapping: Mapping[str, Any], path: Path, key: str) -> float:
    values = _numbers(mapping, path, key)
    if len(values) != 1 or values[0] <= 0:
        raise CannotImport(path, f"{key} is {values}, must be one number above 0")
    return values[0]
