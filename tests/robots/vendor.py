"""What is published of each robot's body, written down independently of our models, and how to look at a model."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from teleopd.robots.model import RobotModel
from teleopd.robots.unitree_g1 import model as g1
from teleopd.robots.unitree_h1 import model as h1
from teleopd.robots.unitree_h1_2 import model as h1_2

Joints = Mapping[str, float]
Sites = Mapping[str, tuple[str, tuple[float, float, float]]]


@dataclass(frozen=True)
class Published:
    """One robot."""

    model: RobotModel
    files: tuple[str, ...]
    """The vendor's models of it."""
    weighs_kg: float
    collisions: tuple[tuple[Joints, tuple[str, str]], ...]
    """Postures, and the two shapes that must meet in each."""
    sites: Sites
    """Body and place [m] of some of them."""
    wildest: tuple[float, float]
    """Most that a joint passes its range's end by [rad], and most speed [rad/s], under full torque to and fro."""


G1 = Published(
    g1.MODEL,
    ("robots/twist2_g1/g1_29dof_rev_1_0.xml", "robots/unitree_ros/g1_description/g1_29dof_rev_1_0.xml"),
    33.341,
    (
        ({"left_shoulder_roll": 0.0, "left_shoulder_yaw": -1.2, "left_elbow": 0.0}, ("abdomen", "left_hand")),
        ({"left_hip_pitch": -1.2, "left_shoulder_roll": -0.1, "left_elbow": 1.2}, ("left_thigh", "left_hand")),
        ({"left_hip_roll": -0.4, "right_hip_roll": 0.4}, ("left_shin", "right_shin")),
    ),
    {
        "imu_pelvis": ("pelvis", (0.04525, 0, -0.08339)),
        "imu_torso": ("torso_link", (-0.03959, -0.00224, 0.14792)),
        "left_toe": ("left_ankle_roll_link", (0.12, 0, -0.03)),
        "right_toe": ("right_ankle_roll_link", (0.12, 0, -0.03)),
        "left_sole_1": ("left_ankle_roll_link", (-0.05, 0.025, -0.035)),
        "right_sole_1": ("right_ankle_roll_link", (-0.05, -0.025, -0.035)),
        "key_left_wrist": ("left_wrist_yaw_link", (0, 0, 0)),
        "key_right_elbow": ("right_elbow_link", (0, 0, 0)),
        "key_left_knee": ("left_knee_link", (0, 0, 0)),
        "key_right_ankle": ("right_ankle_roll_link", (0, 0, 0)),
    },
    (0.35, 150.0),
)
H1 = Published(
    h1.MODEL,
    ("robots/unitree_ros/h1_description/mjcf/h1.xml",),
    51.650,
    (
        ({"left_shoulder_yaw": -1.2}, ("belly", "left_forearm")),
        ({"left_hip_pitch": -1.6, "left_elbow": 0.8}, ("left_thigh", "left_hand")),
        ({"left_hip_roll": -0.3, "right_hip_roll": 0.3}, ("left_shin", "right_shin")),
    ),
    {
        "imu_pelvis": ("pelvis", (0, 0, 0)),
        "imu_torso": ("torso_link", (-0.04452, -0.01891, 0.27756)),
        "left_sole_1": ("left_ankle_link", (-0.08, 0.02, -0.07)),
        "right_sole_3": ("right_ankle_link", (0.18, -0.02, -0.07)),
        "key_head": ("torso_link", (0, 0, 0.75)),
        "key_left_wrist": ("left_elbow_link", (0.3, 0, 0)),
        "key_right_wrist": ("right_elbow_link", (0.3, 0, 0)),
        "key_left_knee": ("left_knee_link", (0, 0, 0)),
        "key_right_ankle": ("right_ankle_link", (0, 0, 0)),
    },
    (0.6, 250.0),
)
H1_2 = Published(
    h1_2.MODEL,
    ("robots/unitree_ros/h1_2_description/h1_2_handless.xml",),
    66.984,
    (
        ({"left_shoulder_yaw": -1.2}, ("belly", "left_wrist")),
        ({"left_hip_pitch": -1.6, "left_elbow": 0.8}, ("left_thigh", "left_hand")),
        ({"left_hip_roll": -0.3, "right_hip_roll": 0.3}, ("left_shin", "right_shin")),
    ),
    {
        "imu_pelvis": ("pelvis", (0, 0, 0)),
        "imu_torso": ("torso_link", (-0.04452, -0.01891, 0.27756)),
        "left_sole_1": ("left_ankle_roll_link", (-0.07, 0.03, -0.045)),
        "right_sole_3": ("right_ankle_roll_link", (0.135, -0.035, -0.045)),
        "key_left_wrist": ("left_wrist_yaw_link", (0, 0, 0)),
        "key_right_elbow": ("right_elbow_link", (0, 0, 0)),
        "key_left_knee": ("left_knee_link", (0, 0, 0)),
        "key_right_ankle": ("right_ankle_roll_link", (0, 0, 0)),
    },
    (0.6, 250.0),
)
ROBOTS = (G1, H1, H1_2)


def kind(joint: str) -> str:
    """A joint without its side and suffix."""
    return joint.removeprefix("left_").removeprefix("right_").removesuffix("_joint")


def compiled(model: RobotModel, step_s: float = 0.002) -> tuple[Any, Any]:
    """Our model and its data, in the stand pose."""
    m = mujoco.MjModel.from_xml_path(str(model.mjcf))
    m.opt.timestep = step_s
    d = mujoco.MjData(m)
    mujoco.mj_resetDataKeyframe(m, d, m.key("stand").id)
    return m, d


def without_meshes(path: Path) -> Any:
    """The vendor's model, compiled without the meshes it does not bring."""
    root = ET.parse(path).getroot()
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag == "mesh" or (c.tag == "geom" and (c.get("mesh") or c.get("class")))]:
            parent.remove(child)
    return mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))


def bodies(m: Any) -> list[str]:
    """Names of all bodies but the world."""
    return [m.body(i).name for i in range(1, m.nbody)]


def joints(m: Any) -> list[str]:
    """Names of all joints but the root's."""
    return [m.joint(i).name for i in range(1, m.njnt)]


def at(m: Any, joint: str) -> int:
    """Where a joint (named without suffix) lies in qpos."""
    return int(m.jnt_qposadr[m.joint(f"{joint}_joint").id])


def motor_at(m: Any, model: RobotModel) -> Any:
    """Where the joints lie in qpos, in motor order."""
    return np.array([m.jnt_qposadr[m.joint(name).id] for name in model.joint_names])


def contacts(m: Any, d: Any) -> list[frozenset[str]]:
    """Names of the shapes that touch, pair by pair."""
    return [frozenset((m.geom(c.geom1).name, m.geom(c.geom2).name)) for c in d.contact]


def numbers_of(path: Path) -> dict[str, list[float]]:
    """The lists of numbers of a flat YAML file."""
    found = {}
    for entry in path.read_text().replace("\n ", " ").splitlines():
        key, _, value = entry.partition(":")
        if "[" in value:
            found[key] = [float(x) for x in value.partition("[")[2].partition("]")[0].split(",")]
    return found
