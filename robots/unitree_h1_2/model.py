"""Unitree H1-2, 27 degrees of freedom: joints, limits, gains and the stand pose, each number with its source.

Its legs turn in yaw, then pitch, then roll at the hip. As on the H1 the IMU whose readings the robot sends sits in the
torso, above the torso joint: a link must turn them back through that joint before they are a `LowState`'s; the pelvis
site of `robot.xml` has no published device behind it on the real robot.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

import numpy as np

from teleopd.robots.model import ArmControl, Array, JointLimits, RobotModel

# In motor order, which is the order of the vendor's motor array, of its URDF and of robot.xml.
# fmt: off
_JOINTS: tuple[tuple[str, float, float, float, float, float, float, float], ...] = (
    #                               lower      upper     torque  speed    kp    kd    stand
    # joint                         [rad]      [rad]     [N m]   [rad/s]              [rad]
    ("left_hip_yaw_joint",         -0.43,      0.43,     200.0,  23.0,  200.0,  2.5,   0.0),
    ("left_hip_pitch_joint",       -3.14,      2.5,      200.0,  23.0,  200.0,  2.5,  -0.16),
    ("left_hip_roll_joint",        -0.43,      3.14,     200.0,  23.0,  200.0,  2.5,   0.0),
    ("left_knee_joint",            -0.12,      2.19,     300.0,  14.0,  300.0,  4.0,   0.36),
    ("left_ankle_pitch_joint",     -0.897334,  0.523598,  60.0,   9.0,   40.0,  2.0,  -0.2),
    ("left_ankle_roll_joint",      -0.261799,  0.261799,  40.0,   9.0,   40.0,  2.0,   0.0),
    ("right_hip_yaw_joint",        -0.43,      0.43,     200.0,  23.0,  200.0,  2.5,   0.0),
    ("right_hip_pitch_joint",      -3.14,      2.5,      200.0,  23.0,  200.0,  2.5,  -0.16),
    ("right_hip_roll_joint",       -3.14,      0.43,     200.0,  23.0,  200.0,  2.5,   0.0),
    ("right_knee_joint",           -0.12,      2.19,     300.0,  14.0,  300.0,  4.0,   0.36),
    ("right_ankle_pitch_joint",    -0.897334,  0.523598,  60.0,   9.0,   40.0,  2.0,  -0.2),
    ("right_ankle_roll_joint",     -0.261799,  0.261799,  40.0,   9.0,   40.0,  2.0,   0.0),
    ("torso_joint",                -2.35,      2.35,     200.0,  23.0,  300.0,  3.0,   0.0),
    ("left_shoulder_pitch_joint",  -3.14,      1.57,      40.0,   9.0,  120.0,  2.0,   0.0),
    ("left_shoulder_roll_joint",   -0.38,      3.4,       40.0,   9.0,  120.0,  2.0,   0.0),
    ("left_shoulder_yaw_joint",    -2.66,      3.01,      18.0,  20.0,  120.0,  2.0,   0.0),
    ("left_elbow_joint",           -0.95,      3.18,      18.0,  20.0,   80.0,  1.0,   0.0),
    ("left_wrist_roll_joint",      -3.01,      2.75,      19.0,  31.4,   80.0,  1.0,   0.0),
    ("left_wrist_pitch_joint",     -0.4625,    0.4625,    19.0,  31.4,   80.0,  1.0,   0.0),
    ("left_wrist_yaw_joint",       -1.27,      1.27,      19.0,  31.4,   80.0,  1.0,   0.0),
    ("right_shoulder_pitch_joint", -3.14,      1.57,      40.0,   9.0,  120.0,  2.0,   0.0),
    ("right_shoulder_roll_joint",  -3.4,       0.38,      40.0,   9.0,  120.0,  2.0,   0.0),
    ("right_shoulder_yaw_joint",   -3.01,      2.66,      18.0,  20.0,  120.0,  2.0,   0.0),
    ("right_elbow_joint",          -0.95,      3.18,      18.0,  20.0,   80.0,  1.0,   0.0),
    ("right_wrist_roll_joint",     -2.75,      3.01,      19.0,  31.4,   80.0,  1.0,   0.0),
    ("right_wrist_pitch_joint",    -0.4625,    0.4625,    19.0,  31.4,   80.0,  1.0,   0.0),
    ("right_wrist_yaw_joint",      -1.27,      1.27,      19.0,  31.4,   80.0,  1.0,   0.0),
)
# fmt: on

MODE_MACHINES = (1, 2, 3, 4, 5)
"""What Unitree's H1-2 example says LowState may carry. It publishes one H1-2 body, so all mean the same table."""


def _frozen(values: Iterable[float]) -> Array:
    """A float64 array that nobody can write to."""
    array = np.array(list(values), dtype=np.float64)
    array.setflags(write=False)
    return array


_LIMITS = JointLimits(
    q_lower=_frozen(row[1] for row in _JOINTS),
    q_upper=_frozen(row[2] for row in _JOINTS),
    dq_max=_frozen(row[4] for row in _JOINTS),
    tau_max=_frozen(row[3] for row in _JOINTS),
)

MODEL = RobotModel(
    name="unitree_h1_2",
    title="Unitree H1-2, 27 DoF, without hands",
    joint_names=tuple(row[0] for row in _JOINTS),
    limits_by_mode_machine=MappingProxyType(dict.fromkeys(MODE_MACHINES, _LIMITS)),
    default_mode_machine=5,
    kp_ready=_frozen(row[5] for row in _JOINTS),
    kd_ready=_frozen(row[6] for row in _JOINTS),
    kd_damp=_frozen(8.0 for _ in _JOINTS),
    q_stand=_frozen(row[7] for row in _JOINTS),
    stand_height_m=1.0151,
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
    wire="hg",
    wire_slot=tuple(range(len(_JOINTS))),
    arms=ArmControl(tuple(row[0] for row in _JOINTS if any(p in row[0] for p in ("shoulder", "elbow", "wrist"))), 27),
    provenance=MappingProxyType({
        "joint_names": "motor order of unitree_sdk2's H1-2 examples; joint order of h1_2_handless.urdf",
        "limits_by_mode_machine": (
            "unitree_ros h1_2_description: h1_2_handless.urdf, range, effort and velocity of each joint; the MJCF "
            "beside it and unitree_mujoco's agree on range and torque. Keys: unitree_sdk2 h1_2_ankle_track.cpp, 1 to 5"
        ),
        "default_mode_machine": "the figure of the hg virtual robot; what a real H1-2 sends is not published",
        "kp_ready": "unitree_rl_gym deploy_real/configs/h1_2.yaml (gains on the real robot; TWIST2 @ d5c7108 the same)",
        "kd_ready": "unitree_rl_gym deploy_real/configs/h1_2.yaml (gains on the real robot; TWIST2 @ d5c7108 the same)",
        "kd_damp": "kp 0, kd 8 on every joint: the damping command of unitree_rl_gym and Teleopit",
        "q_stand": "unitree_rl_gym, default pose of the H1-2: knees slightly bent, arms at zero",
        "stand_height_m": "forward kinematics of robot.xml: pelvis above the lowest sole at q_stand, rounded to 0.1 mm",
        "imu_sites": (
            "torso: imu_link of h1_2_handless.urdf, the device behind rt/lowstate (unitree_rl_gym: imu_type torso); "
            "pelvis: the origin of the pelvis, without a published device on the real robot"
        ),
        "sole_sites": (
            "inferred: the uniform box with the foot's published inertia ends 47 mm under the ankle (for the G1 the "
            "same sum is right within 2 mm), and the vendor's MJCF starts with the ankle 47 mm up; here 45 mm"
        ),
        "wire_slot": "unitree_sdk2 H1-2 examples: motor i of the hg arrays is joint i",
        "arms": "unitree_sdk2 H1-2 arm_sdk example: arms without the torso, weight in motor_cmd[27].q",
        "mjcf": (
            "frames, inertias, axes, ranges: h1_2_handless.xml of unitree_ros; armature: unitree_rl_mjlab @ 83eef53, "
            "H1-2 constants; shapes and contacts: ours"
        ),
    }),
)  # fmt: skip
