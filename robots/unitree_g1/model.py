"""Unitree G1, 29 degrees of freedom: joints, limits, gains and the stand pose, each number with its source.

The table is `mode_machine` 5, hardware revision 1.0, which is also what `robot.xml` describes. Later variants differ in
two gears and are derived from it. Where Unitree publishes two torques for a joint (URDF and MJCF of the ankles and of
waist roll and pitch: 35 and 50 N m) the smaller one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from teleopd.robots.model import ArmControl, Array, JointLimits, RobotModel

# In motor order, which is the order of the vendor's motor arrays, of its URDF and of robot.xml.
# fmt: off
_JOINTS: tuple[tuple[str, float, float, float, float, float, float, float], ...] = (
    #                               lower      upper     torque  speed  kp     kd    stand
    # joint                         [rad]      [rad]     [N m]   [rad/s]                [rad]
    ("left_hip_pitch_joint",       -2.5307,    2.8798,    88.0,  32.0,  100.0, 2.0,  -0.2),
    ("left_hip_roll_joint",        -0.5236,    2.9671,   139.0,  20.0,  100.0, 2.0,   0.0),
    ("left_hip_yaw_joint",         -2.7576,    2.7576,    88.0,  32.0,  100.0, 2.0,   0.0),
    ("left_knee_joint",            -0.087267,  2.8798,   139.0,  20.0,  150.0, 4.0,   0.4),
    ("left_ankle_pitch_joint",     -0.87267,   0.5236,    35.0,  30.0,   40.0, 2.0,  -0.2),
    ("left_ankle_roll_joint",      -0.2618,    0.2618,    35.0,  30.0,   40.0, 2.0,   0.0),
    ("right_hip_pitch_joint",      -2.5307,    2.8798,    88.0,  32.0,  100.0, 2.0,  -0.2),
    ("right_hip_roll_joint",       -2.9671,    0.5236,   139.0,  20.0,  100.0, 2.0,   0.0),
    ("right_hip_yaw_joint",        -2.7576,    2.7576,    88.0,  32.0,  100.0, 2.0,   0.0),
    ("right_knee_joint",           -0.087267,  2.8798,   139.0,  20.0,  150.0, 4.0,   0.4),
    ("right_ankle_pitch_joint",    -0.87267,   0.5236,    35.0,  30.0,   40.0, 2.0,  -0.2),
    ("right_ankle_roll_joint",     -0.2618,    0.2618,    35.0,  30.0,   40.0, 2.0,   0.0),
    ("waist_yaw_joint",            -2.618,     2.618,     88.0,  32.0,  150.0, 4.0,   0.0),
    ("waist_roll_joint",           -0.52,      0.52,      35.0,  30.0,  150.0, 4.0,   0.0),
    ("waist_pitch_joint",          -0.52,      0.52,      35.0,  30.0,  150.0, 4.0,   0.0),
    ("left_shoulder_pitch_joint",  -3.0892,    2.6704,    25.0,  37.0,   40.0, 5.0,   0.0),
    ("left_shoulder_roll_joint",   -1.5882,    2.2515,    25.0,  37.0,   40.0, 5.0,   0.4),
    ("left_shoulder_yaw_joint",    -2.618,     2.618,     25.0,  37.0,   40.0, 5.0,   0.0),
    ("left_elbow_joint",           -1.0472,    2.0944,    25.0,  37.0,   40.0, 5.0,   1.2),
    ("left_wrist_roll_joint",      -1.972222,  1.972222,  25.0,  37.0,   20.0, 1.0,   0.0),
    ("left_wrist_pitch_joint",     -1.61443,   1.61443,    5.0,  22.0,   20.0, 1.0,   0.0),
    ("left_wrist_yaw_joint",       -1.61443,   1.61443,    5.0,  22.0,   20.0, 1.0,   0.0),
    ("right_shoulder_pitch_joint", -3.0892,    2.6704,    25.0,  37.0,   40.0, 5.0,   0.0),
    ("right_shoulder_roll_joint",  -2.2515,    1.5882,    25.0,  37.0,   40.0, 5.0,  -0.4),
    ("right_shoulder_yaw_joint",   -2.618,     2.618,     25.0,  37.0,   40.0, 5.0,   0.0),
    ("right_elbow_joint",          -1.0472,    2.0944,    25.0,  37.0,   40.0, 5.0,   1.2),
    ("right_wrist_roll_joint",     -1.972222,  1.972222,  25.0,  37.0,   20.0, 1.0,   0.0),
    ("right_wrist_pitch_joint",    -1.61443,   1.61443,    5.0,  22.0,   20.0, 1.0,   0.0),
    ("right_wrist_yaw_joint",      -1.61443,   1.61443,    5.0,  22.0,   20.0, 1.0,   0.0),
)
# fmt: on

_HIP_22 = {"hip_pitch": (139.0, 20.0)}
"""Hip pitch with the 22.5:1 gear: torque [N m], speed [rad/s]."""
_WRIST_5010 = {"wrist_pitch": (13.4, 27.0), "wrist_yaw": (13.4, 27.0)}
"""Wrist pitch and yaw with the 5010 motor: torque [N m], speed [rad/s]."""

# Left out on purpose, so that `limits_for` refuses them: 4 and 10 (23 joints), 6, 12, 14 and 16 (waist locked: 27) and
# 9 (arms only), whose motor arrays have slots without a motor behind them; 1 to 3, which Unitree marks as superseded
# betas with other link masses.
_VARIANTS: Mapping[int, Mapping[str, tuple[float, float]]] = {
    5: {},
    11: _HIP_22,
    13: _WRIST_5010,
    15: {**_HIP_22, **_WRIST_5010},
}

_NAMES = tuple(row[0] for row in _JOINTS)


def _frozen(values: Iterable[float]) -> Array:
    """A float64 array that nobody can write to."""
    array = np.array(list(values), dtype=np.float64)
    array.setflags(write=False)
    return array


def _limits(variant: Mapping[str, tuple[float, float]]) -> JointLimits:
    """The table's limits with the torque and speed of some joints (named without side and suffix) replaced."""
    kinds = [name.removeprefix("left_").removeprefix("right_").removesuffix("_joint") for name in _NAMES]
    return JointLimits(
        q_lower=_frozen(row[1] for row in _JOINTS),
        q_upper=_frozen(row[2] for row in _JOINTS),
        dq_max=_frozen(variant.get(kind, (row[3], row[4]))[1] for kind, row in zip(kinds, _JOINTS, strict=True)),
        tau_max=_frozen(variant.get(kind, (row[3], row[4]))[0] for kind, row in zip(kinds, _JOINTS, strict=True)),
    )


MODEL = RobotModel(
    name="unitree_g1",
    title="Unitree G1, 29 DoF, rev 1.0",
    joint_names=_NAMES,
    limits_by_mode_machine=MappingProxyType({mode: _limits(variant) for mode, variant in _VARIANTS.items()}),
    default_mode_machine=5,
    kp_ready=_frozen(row[5] for row in _JOINTS),
    kd_ready=_frozen(row[6] for row in _JOINTS),
    kd_damp=_frozen(8.0 for _ in _JOINTS),
    q_stand=_frozen(row[7] for row in _JOINTS),
    stand_height_m=0.7792,
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
    wire_slot=tuple(range(len(_NAMES))),
    arms=ArmControl(tuple(name for name in _NAMES if not any(leg in name for leg in ("hip", "knee", "ankle"))), 29),
    provenance=MappingProxyType({
        "joint_names": "motor order of unitree_sdk2's G1 examples; joint order of g1_29dof_rev_1_0.urdf",
        "limits_by_mode_machine": (
            "unitree_ros g1_description @ d6f13aa: g1_29dof_rev_1_0.urdf (5), g1_29dof_mode_11.urdf, _13.urdf, "
            "_15.urdf; range, effort and velocity of each joint; the MJCF beside it gives 50 N m for 35"
        ),
        "default_mode_machine": "unitree_ros g1_description README: g1_29dof_rev_1_0 is mode_machine 5",
        "kp_ready": "TWIST2 @ d5c7108, configs/g1.yaml (gains on the real robot); legs as in unitree_rl_gym",
        "kd_ready": "TWIST2 @ d5c7108, configs/g1.yaml (gains on the real robot); legs as in unitree_rl_gym",
        "kd_damp": "kp 0, kd 8 on every joint: the damping command of unitree_rl_gym and Teleopit",
        "q_stand": "TWIST2 @ d5c7108, default pose of the G1 (deploy_real)",
        "stand_height_m": "forward kinematics of robot.xml: pelvis above the lowest sole at q_stand, rounded to 0.1 mm",
        "wire_slot": "unitree_sdk2 G1JointIndex: motor i of the hg arrays is joint i",
        "arms": "unitree_sdk2 G1 arm_sdk examples: waist and arms, weight in motor_cmd[29].q (kNotUsedJoint)",
        "mjcf": (
            "frames, inertias, axes, ranges: g1_29dof_rev_1_0.xml of unitree_ros @ d6f13aa; armature: rotor inertias "
            "and gear ratios in mjlab's G1 constants; shapes and contacts: ours"
        ),
    }),
)  # fmt: skip
