"""Unitree H1, 19 degrees of freedom: joints, limits, gains and the stand pose, each number with its source.

Three things set it apart from the G1. Its motor array has 20 slots of which slot 9 drives nothing: `wire_slot` leaves
it out. Motor order is not the order of the joints along the legs, nor that of `robot.xml`: every map goes by name. And
the one IMU whose readings the robot sends sits in the torso, above the torso joint: a link must turn them back through
that joint before they are a `LowState`'s; the pelvis site of `robot.xml` has no device behind it on the real robot.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

import numpy as np

from teleopd.robots.model import ArmControl, Array, JointLimits, RobotModel

# In motor order: the slots of the vendor's motor array, without slot 9.
# fmt: off
_JOINTS: tuple[tuple[int, str, float, float, float, float, float, float, float], ...] = (
    # slot                            lower   upper  torque  speed    kp    kd    stand
    #     joint                       [rad]   [rad]  [N m]   [rad/s]              [rad]
    (0,  "right_hip_roll_joint",      -0.43,  0.43,  200.0,  23.0,  150.0,  2.0,   0.0),
    (1,  "right_hip_pitch_joint",     -3.14,  2.53,  200.0,  23.0,  150.0,  2.0,  -0.1),
    (2,  "right_knee_joint",          -0.26,  2.05,  300.0,  14.0,  200.0,  4.0,   0.3),
    (3,  "left_hip_roll_joint",       -0.43,  0.43,  200.0,  23.0,  150.0,  2.0,   0.0),
    (4,  "left_hip_pitch_joint",      -3.14,  2.53,  200.0,  23.0,  150.0,  2.0,  -0.1),
    (5,  "left_knee_joint",           -0.26,  2.05,  300.0,  14.0,  200.0,  4.0,   0.3),
    (6,  "torso_joint",               -2.35,  2.35,  200.0,  23.0,  300.0,  3.0,   0.0),
    (7,  "left_hip_yaw_joint",        -0.43,  0.43,  200.0,  23.0,  150.0,  2.0,   0.0),
    (8,  "right_hip_yaw_joint",       -0.43,  0.43,  200.0,  23.0,  150.0,  2.0,   0.0),
    (10, "left_ankle_joint",          -0.87,  0.52,   40.0,   9.0,   40.0,  2.0,  -0.2),
    (11, "right_ankle_joint",         -0.87,  0.52,   40.0,   9.0,   40.0,  2.0,  -0.2),
    (12, "right_shoulder_pitch_joint", -2.87, 2.87,   40.0,   9.0,  100.0,  2.0,   0.0),
    (13, "right_shoulder_roll_joint", -3.11,  0.34,   40.0,   9.0,  100.0,  2.0,   0.0),
    (14, "right_shoulder_yaw_joint",  -4.45,  1.3,    18.0,  20.0,   50.0,  2.0,   0.0),
    (15, "right_elbow_joint",         -1.25,  2.61,   18.0,  20.0,   50.0,  2.0,   0.0),
    (16, "left_shoulder_pitch_joint", -2.87,  2.87,   40.0,   9.0,  100.0,  2.0,   0.0),
    (17, "left_shoulder_roll_joint",  -0.34,  3.11,   40.0,   9.0,  100.0,  2.0,   0.0),
    (18, "left_shoulder_yaw_joint",   -1.3,   4.45,   18.0,  20.0,   50.0,  2.0,   0.0),
    (19, "left_elbow_joint",          -1.25,  2.61,   18.0,  20.0,   50.0,  2.0,   0.0),
)
# fmt: on

GO_VARIANT = 1
"""Messages of the go family carry no mode_machine and Unitree sells one H1: this stands for it in `LowState`."""


def _frozen(values: Iterable[float]) -> Array:
    """A float64 array that nobody can write to."""
    array = np.array(list(values), dtype=np.float64)
    array.setflags(write=False)
    return array


_LIMITS = JointLimits(
    q_lower=_frozen(row[2] for row in _JOINTS),
    q_upper=_frozen(row[3] for row in _JOINTS),
    dq_max=_frozen(row[5] for row in _JOINTS),
    tau_max=_frozen(row[4] for row in _JOINTS),
)

MODEL = RobotModel(
    name="unitree_h1",
    title="Unitree H1, 19 DoF",
    joint_names=tuple(row[1] for row in _JOINTS),
    limits_by_mode_machine=MappingProxyType({GO_VARIANT: _LIMITS}),
    default_mode_machine=GO_VARIANT,
    kp_ready=_frozen(row[6] for row in _JOINTS),
    kd_ready=_frozen(row[7] for row in _JOINTS),
    kd_damp=_frozen(8.0 for _ in _JOINTS),
    q_stand=_frozen(row[8] for row in _JOINTS),
    stand_height_m=1.0342,
    mjcf=Path(__file__).with_name("robot.xml"),
    root_body="pelvis",
    imu_sites=MappingProxyType({"pelvis": "imu_pelvis", "torso": "imu_torso"}),
    key_sites=(
        "key_head",
        "key_left_wrist", "key_right_wrist",
        "key_left_elbow", "key_right_elbow",
        "key_left_knee", "key_right_knee",
        "key_left_ankle", "key_right_ankle",
    ),
    sole_sites=tuple(f"{side}_sole_{i}" for side in ("left", "right") for i in (1, 2, 3, 4)),
    wire="go",
    wire_slot=tuple(row[0] for row in _JOINTS),
    arms=ArmControl(tuple(row[1] for row in _JOINTS if "shoulder" in row[1] or "elbow" in row[1]), 9),
    provenance=MappingProxyType({
        "joint_names": "slots of unitree_sdk2's H1 example (JointIndex) without kNotUsedJoint, slot 9",
        "limits_by_mode_machine": (
            "unitree_ros h1_description: h1.urdf, range, effort and velocity of each joint; h1.xml beside it and "
            "unitree_mujoco's h1.xml agree on range and torque"
        ),
        "default_mode_machine": "ours: go messages carry no mode_machine; links and the virtual robot report 1",
        "kp_ready": "unitree_rl_gym deploy_real/configs/h1.yaml (real robot); TWIST2 @ d5c7108 has the same",
        "kd_ready": "unitree_rl_gym deploy_real/configs/h1.yaml (real robot); TWIST2 @ d5c7108 has the same",
        "kd_damp": "kp 0, kd 8 on every joint: the damping command of unitree_rl_gym and Teleopit",
        "q_stand": "unitree_rl_gym, default pose of the H1: knees slightly bent, arms at zero",
        "stand_height_m": "forward kinematics of robot.xml: pelvis above the lowest sole at q_stand, rounded to 0.1 mm",
        "imu_sites": (
            "torso: imu_link of h1.urdf, the device behind rt/lowstate (unitree_rl_gym: imu_type torso); pelvis: the "
            "origin of the pelvis, without a device on the real robot"
        ),
        "key_sites": (
            "wrists: the H1 has none; OmniH2O's hand points, elbow_link + (0.3, 0, 0); head: its pelvis + (0, 0, 0.75)"
        ),
        "sole_sites": "mesh of unitree_ros left_ankle_link: sole 70 mm under the ankle, flat from -8 to 18 cm along it",
        "wire_slot": "unitree_sdk2 H1 JointIndex; unitree_rl_gym's leg_joint2motor_idx and arm_waist_joint2motor_idx",
        "arms": "unitree_sdk2 H1 arm_sdk example: weight in motor_cmd[9].q (kNotUsedJoint); the arms alone, ours",
        "mjcf": (
            "frames, inertias, axes, ranges: h1.xml of unitree_ros h1_description; armature: unitree_rl_mjlab @ "
            "83eef53, H1-2 constants of the same motors; shapes and contacts: ours"
        ),
    }),
)  # fmt: skip
