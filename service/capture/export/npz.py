"""Episodes as motions of a robot for the training of tracking policies: the npz that `teleop retarget` writes.

Keys and frames are those of `service/dataset/motion_npz.py`: root_rot and local_body_rot are xyzw, qpos is wxyz.

No robot measures where its root is in the world, so the root is never measured: it is that of the operator's reference.
With the motion `measured` the joints are what the robot's encoders said and only the root is the reference's; a foot
may then slide or float by the difference between the two. With `reference` root and joints are the retargeted operator,
with `shaped` what the policy tracked behind the reference guard. All are put on the grid by straight lines and slerp.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from teleopd.robots.catalog import load_robot, robot_table
from teleopd.robots.model import RobotModel
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.frames import Frames
from teleopd.service.capture.export.settings import MOTION_STREAMS, Settings
from teleopd.service.dataset.motion_npz import write_motion
from teleopd.service.retarget.kinematics import Kinematics


def write_npz(path: Path, frames: Frames, settings: Settings) -> None:
    """Write the npz `path`.

    Raises:
        EpisodeRefused: the robot is not installed here, or has other joints.
        OSError: the disk says no.
    """
    robot = known_robot(frames.robot, frames.joint_names)
    root = MOTION_STREAMS[settings.motion]
    joints = "state" if settings.motion == "measured" else root
    qpos = np.concatenate(
        [frames.columns[f"{root}.root_pos_w"], frames.columns[f"{root}.root_quat_w"],
         frames.columns[f"{joints}.joint_pos"]], axis=1,
    )  # fmt: skip
    write_motion(
        path, robot, fps=frames.rate_hz, qpos=qpos, source=f"{frames.name}.mcap",
        digest=frames.metadata.get("config_sha256", ""), kinematics=_kinematics(frames.robot), compressed=False,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _kinematics(name: str) -> Kinematics:
    return Kinematics(load_robot(name))


def known_robot(name: str, joint_names: Sequence[str]) -> RobotModel:
    """The registered robot, which has those joints in that order.

    Raises:
        EpisodeRefused: it does not.
    """
    if name not in robot_table():
        raise EpisodeRefused(f"its robot '{name}' is not known here; known are {', '.join(sorted(robot_table()))}")
    robot = load_robot(name)
    if tuple(robot.joint_names) != tuple(joint_names):
        raise EpisodeRefused(
            f"it was recorded with {len(joint_names)} joints of {name}, which has {robot.n} here, or in another order"
        )
    return robot
