"""What `observation.state` and `action` are made of, and what each of their numbers is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.capture.export.errors import ExportError

Names = Literal["mjcf", "unitree"]

STATE_COLUMNS = ("joint_pos", "joint_vel", "joint_torque", "imu_quat_w", "imu_gyro_b", "imu_acc_b")
"""Columns of the stream `state` that can be part of the observation."""
DEFAULT_STATE = ("joint_pos", "joint_vel", "imu_quat_w", "imu_gyro_b")
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "target": ("joint_pos",),
    "command": ("joint_pos",),
    "reference": ("root_pos_w", "root_quat_w", "joint_pos"),
}
"""Stream -> its columns that make the action."""
SUFFIX = {"joint_pos": "q", "joint_vel": "dq", "joint_torque": "tau"}
"""Of a joint's name, as LeRobot 0.6 names the joints of its own G1."""
AXES = {3: ("x", "y", "z"), 4: ("w", "x", "y", "z")}


def check_state(columns: Sequence[str]) -> None:
    """Raises ExportError where they are not some of STATE_COLUMNS, each once."""
    for column in columns:
        if column not in STATE_COLUMNS:
            raise ExportError(f"the state has no part '{column}'; its parts are {', '.join(STATE_COLUMNS)}")
    if not columns or len(set(columns)) != len(columns):
        raise ExportError(
            f"the state is made of {', '.join(columns) or 'nothing'}; name each of its parts once: "
            f"{', '.join(STATE_COLUMNS)}"
        )


def width(column: str, joints: int) -> int:
    """Numbers in a column."""
    return joints if column in SUFFIX else 4 if "quat" in column else 3


def names(columns: Sequence[str], joint_names: Sequence[str], style: Names) -> list[str]:
    """A name for every number of the columns side by side, as left_knee_joint.q or imu_quat_w.w."""
    found: list[str] = []
    for column in columns:
        if column in SUFFIX:
            found += [f"{joint_label(joint, style)}.{SUFFIX[column]}" for joint in joint_names]
        else:
            found += [f"{column}.{axis}" for axis in AXES[width(column, len(joint_names))]]
    return found


def joint_label(joint: str, style: Names) -> str:
    """left_hip_pitch_joint, or in Unitree's style kLeftHipPitch."""
    if style == "mjcf":
        return joint
    return "k" + "".join(word.capitalize() for word in joint.removesuffix("_joint").split("_"))


def slices(columns: Sequence[str], joints: int) -> dict[str, tuple[int, int]]:
    """Column -> [start, end) in the columns side by side."""
    found: dict[str, tuple[int, int]] = {}
    start = 0
    for column in columns:
        found[column] = (start, start + width(column, joints))
        start = found[column][1]
    return found


def side_by_side(columns: Mapping[str, Array], stream: str, parts: Sequence[str]) -> Array:
    """(N, sum of widths) of the named columns of a stream."""
    together: Array = np.concatenate([columns[f"{stream}.{part}"] for part in parts], axis=1)
    return together
