"""A robot's motion as an npz file: the keys that trainers and `teleop eval` read, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import mujoco
import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import table_path

WXYZ_TO_XYZW = [1, 2, 3, 0]


def config_sha256(robot: RobotModel, solver: str) -> str:
    """Digest of everything but the clip that decides what comes out: robot, table, model, solver."""
    digests = {
        "mjcf": hashlib.sha256(robot.mjcf.read_bytes()).hexdigest(),
        "retarget": hashlib.sha256(table_path(robot).read_bytes()).hexdigest(),
    }
    text = json.dumps({"robot": robot.name, "solver": solver, **digests}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def local_bodies(
    robot: RobotModel, q: Array, kinematics: Kinematics | None = None
) -> tuple[tuple[str, ...], Array, Array]:  # fmt: skip
    """Body names, positions (N, b, 3) [m] and orientations xyzw (N, b, 4) in the root's frame; q (N, n) motor order.

    `kinematics`: those of the robot, where they are there already.
    """
    kinematics = kinematics or Kinematics(robot)
    data = mujoco.MjData(kinematics.model)
    data.qpos[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
    count = len(kinematics.body_names)
    pos, rot = np.empty((len(q), count, 3)), np.empty((len(q), count, 4))
    for i, joints in enumerate(q):
        data.qpos[kinematics.qpos_index] = joints
        mujoco.mj_kinematics(kinematics.model, data)
        pos[i], rot[i] = data.xpos[1:], data.xquat[1:, WXYZ_TO_XYZW]
    return kinematics.body_names, pos, rot


def write_motion(
    path: Path, robot: RobotModel, *, fps: float, qpos: Array, source: str, solver: str = "fast",
    digest: str | None = None, kinematics: Kinematics | None = None, compressed: bool = True,
) -> None:  # fmt: skip
    """Write an npz to `path`, first beside it as `.part`, then renamed; `qpos` (N, 7 + n), root wxyz, motor order.

    Keys: fps, qpos, root_pos, root_rot (xyzw), dof_pos, local_body_pos, local_body_rot (xyzw), body_names,
    joint_names, source, config_sha256 (`digest` where the motion is not the retargeter's). Raises OSError where the
    file cannot be written; then nothing is left.
    """
    names, pos, rot = local_bodies(robot, qpos[:, 7:], kinematics)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            (np.savez_compressed if compressed else np.savez)(
                file, fps=np.float64(fps), qpos=qpos, root_pos=qpos[:, :3], root_rot=qpos[:, 3:7][:, WXYZ_TO_XYZW],
                dof_pos=qpos[:, 7:], local_body_pos=pos, local_body_rot=rot, body_names=np.array(names),
                joint_names=np.array(robot.joint_names), source=np.array(source),
                config_sha256=np.array(config_sha256(robot, solver) if digest is None else digest),
            )  # fmt: skip
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
