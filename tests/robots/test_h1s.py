"""What both H1 have in common: torques and speeds published joint by joint, a torso on one joint, feet that hold."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import RobotModel
from teleopd.robots.unitree_h1 import model as h1
from teleopd.robots.unitree_h1_2 import model as h1_2

from .vendor import at, compiled, kind


class Tall(NamedTuple):
    """One of them."""

    model: RobotModel
    urdf: str
    table: dict[str, tuple[float, float, float, float, float]]
    """Lower, upper [rad], torque [N m], speed [rad/s], rotor inertia [kg m2]; of the left joint where sides differ."""
    mirrored: tuple[str, ...]
    """Joints whose range has the other sign on the right."""
    creeps_m: float


H1 = Tall(
    h1.MODEL, "robots/unitree_ros/h1_description/urdf/h1.urdf",
    {
        "hip_yaw": (-0.43, 0.43, 200, 23, 0.025),
        "hip_roll": (-0.43, 0.43, 200, 23, 0.025),
        "hip_pitch": (-3.14, 2.53, 200, 23, 0.025),
        "knee": (-0.26, 2.05, 300, 14, 0.04),
        "ankle": (-0.87, 0.52, 40, 9, 0.005),
        "torso": (-2.35, 2.35, 200, 23, 0.025),
        "shoulder_pitch": (-2.87, 2.87, 40, 9, 0.005),
        "shoulder_roll": (-0.34, 3.11, 40, 9, 0.005),
        "shoulder_yaw": (-1.3, 4.45, 18, 20, 0.002),
        "elbow": (-1.25, 2.61, 18, 20, 0.002),
    },
    ("shoulder_roll", "shoulder_yaw"), 1e-3,
)  # fmt: skip
H1_2 = Tall(
    h1_2.MODEL, "robots/unitree_ros/h1_2_description/h1_2_handless.urdf",
    {
        "hip_yaw": (-0.43, 0.43, 200, 23, 0.025),
        "hip_pitch": (-3.14, 2.5, 200, 23, 0.025),
        "hip_roll": (-0.43, 3.14, 200, 23, 0.025),
        "knee": (-0.12, 2.19, 300, 14, 0.04),
        "ankle_pitch": (-0.897334, 0.523598, 60, 9, 0.005),
        "ankle_roll": (-0.261799, 0.261799, 40, 9, 0.005),
        "torso": (-2.35, 2.35, 200, 23, 0.025),
        "shoulder_pitch": (-3.14, 1.57, 40, 9, 0.005),
        "shoulder_roll": (-0.38, 3.4, 40, 9, 0.005),
        "shoulder_yaw": (-2.66, 3.01, 18, 20, 0.002),
        "elbow": (-0.95, 3.18, 18, 20, 0.002),
        "wrist_roll": (-3.01, 2.75, 19, 31.4, 0.002),
        "wrist_pitch": (-0.4625, 0.4625, 19, 31.4, 0.002),
        "wrist_yaw": (-1.27, 1.27, 19, 31.4, 0.002),
    },
    ("hip_roll", "shoulder_roll", "shoulder_yaw", "wrist_roll"), 5e-4,
)  # fmt: skip
PEAK_TORQUE = {"knee": 360.0, "hip": 220.0, "ankle": 45.0, "shoulder": 75.0, "elbow": 75.0, "torso": 220.0}
"""Peak figures of the literature [N m]: a ceiling, never a limit."""


@pytest.fixture(params=[H1, H1_2], ids=lambda robot: robot.model.name)
def robot(request: pytest.FixtureRequest) -> Tall:
    return request.param


def test_limits_equal_the_published_table(robot: Tall) -> None:
    for i, joint in enumerate(robot.model.joint_names):
        lower, upper, torque, speed, _ = robot.table[kind(joint)]
        if joint.startswith("right_") and kind(joint) in robot.mirrored:
            lower, upper = -upper, -lower
        limits = robot.model.limits
        got = limits.q_lower[i], limits.q_upper[i], limits.tau_max[i], limits.dq_max[i]
        assert got == (lower, upper, torque, speed), joint


def test_an_h1_is_asked_for_less_than_its_motors_peak() -> None:
    for joint, tau_max in zip(H1.model.joint_names, H1.model.limits.tau_max, strict=True):
        assert tau_max < PEAK_TORQUE[kind(joint).partition("_")[0]]


@pytest.mark.shared_data
def test_limits_equal_the_urdf(robot: Tall, shared_data: Path) -> None:
    root = ET.parse(shared_data / robot.urdf).getroot()
    published = {j.get("name"): j.find("limit") for j in root.findall("joint") if j.get("type") == "revolute"}
    assert set(published) == set(robot.model.joint_names)
    limits = robot.model.limits
    for i, joint in enumerate(robot.model.joint_names):
        limit = published[joint]
        assert limit is not None
        wanted = tuple(float(limit.get(k, "nan")) for k in ("lower", "upper", "effort", "velocity"))
        assert (limits.q_lower[i], limits.q_upper[i], limits.tau_max[i], limits.dq_max[i]) == wanted, joint


def test_the_stand_pose_is_flat_footed(robot: Tall) -> None:
    """Both soles level, and the centre of mass above them."""
    m, d = compiled(robot.model)
    mujoco.mj_forward(m, d)
    sole = np.array([d.site(name).xpos for name in robot.model.sole_sites])
    assert np.ptp(sole[:, 2]) < 1e-6
    heel, toe = sole[:, 0].min(), sole[:, 0].max()
    assert heel + 0.05 < d.subtree_com[0][0] < toe - 0.05
    assert abs(d.subtree_com[0][1]) < 5e-3


def test_rotor_inertias_are_those_of_the_motors(robot: Tall) -> None:
    m, _ = compiled(robot.model)
    for joint in robot.model.joint_names:
        assert m.dof_armature[m.jnt_dofadr[m.joint(joint).id]] == robot.table[kind(joint)][4], joint


def test_the_feet_hardly_creep_under_a_steady_pull(robot: Tall) -> None:
    """20 N on the pelvis for two seconds, joints held stiff: 0.5 and 0.1 mm; 3.7 and 2 by MuJoCo's default contact."""
    m, d = compiled(robot.model)
    assert m.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC and m.opt.impratio == 10.0
    arm = ("shoulder", "elbow", "wrist")
    stiff = [i for i, name in enumerate(robot.model.joint_names) if not any(part in name for part in arm)]
    m.actuator_gainprm[stiff, 0], m.actuator_biasprm[stiff, 1], m.actuator_biasprm[stiff, 2] = 3000.0, -3000.0, -100.0
    m.jnt_actfrclimited[:] = 0
    mujoco.mj_step(m, d, nstep=1000)
    before = [d.site(name).xpos.copy() for name in robot.model.sole_sites]
    d.xfrc_applied[m.body("pelvis").id, 0] = 20.0
    mujoco.mj_step(m, d, nstep=1000)
    after = [d.site(name).xpos for name in robot.model.sole_sites]
    assert d.qpos[2] == pytest.approx(robot.model.stand_height_m, abs=0.01)
    assert np.linalg.norm(np.array(after) - before, axis=1).max() < robot.creeps_m


def test_the_torso_imu_turns_with_the_torso_joint_and_the_pelvis_imu_does_not(robot: Tall) -> None:
    m, d = compiled(robot.model)
    d.qpos[2] = 2.0
    d.qpos[3:7] = np.cos(0.2), 0.0, np.sin(0.2), 0.0
    d.qpos[at(m, "torso")] = np.pi / 2
    d.qvel[3:6] = 0.3, -0.2, 0.7
    d.qvel[at(m, "torso") - 1] = 1.1
    mujoco.mj_forward(m, d)
    np.testing.assert_allclose(d.sensor("imu_pelvis_quat").data, d.qpos[3:7], atol=1e-12)
    np.testing.assert_allclose(d.sensor("imu_pelvis_gyro").data, [0.3, -0.2, 0.7], atol=1e-12)
    np.testing.assert_allclose(d.sensor("imu_torso_gyro").data, [-0.2, -0.3, 0.7 + 1.1], atol=1e-12)
    half = np.cos(np.pi / 4)
    turned = half * np.array([np.cos(0.2), np.sin(0.2), np.sin(0.2), np.cos(0.2)])
    np.testing.assert_allclose(d.sensor("imu_torso_quat").data, turned, atol=1e-12)
