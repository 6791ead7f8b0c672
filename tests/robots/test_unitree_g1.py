"""The G1's limits, motors, stand pose and IMUs against Unitree's own files and independent figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_g1.model import MODEL

from .vendor import compiled, kind

URDFS = {
    5: "g1_29dof_rev_1_0.urdf", 11: "g1_29dof_mode_11.urdf", 13: "g1_29dof_mode_13.urdf", 15: "g1_29dof_mode_15.urdf"
}  # fmt: skip

# Lower, upper, torque, speed of the left or central joint; the right side has the opposite sign of roll.
TABLE: dict[str, tuple[float, float, float, float]] = {
    "hip_pitch": (-2.5307, 2.8798, 88, 32),
    "hip_roll": (-0.5236, 2.9671, 139, 20),
    "hip_yaw": (-2.7576, 2.7576, 88, 32),
    "knee": (-0.087267, 2.8798, 139, 20),
    "ankle_pitch": (-0.87267, 0.5236, 35, 30),
    "ankle_roll": (-0.2618, 0.2618, 35, 30),
    "waist_yaw": (-2.618, 2.618, 88, 32),
    "waist_roll": (-0.52, 0.52, 35, 30),
    "waist_pitch": (-0.52, 0.52, 35, 30),
    "shoulder_pitch": (-3.0892, 2.6704, 25, 37),
    "shoulder_roll": (-1.5882, 2.2515, 25, 37),
    "shoulder_yaw": (-2.618, 2.618, 25, 37),
    "elbow": (-1.0472, 2.0944, 25, 37),
    "wrist_roll": (-1.972222, 1.972222, 25, 37),
    "wrist_pitch": (-1.61443, 1.61443, 5, 22),
    "wrist_yaw": (-1.61443, 1.61443, 5, 22),
}
# Rotor inertias r0, r1, r2 [1e-4 kg m^2], gear stages g1, g2, and the joints each motor moves.
MOTORS = {
    "5020": (
        (0.139, 0.017, 0.169), (1 + 46 / 18, 1 + 56 / 16), 1,
        "shoulder_pitch shoulder_roll shoulder_yaw elbow wrist_roll",
    ),
    "5020 pair": (
        (0.139, 0.017, 0.169), (1 + 46 / 18, 1 + 56 / 16), 2,
        "ankle_pitch ankle_roll waist_roll waist_pitch",
    ),
    "7520-14": ((0.489, 0.098, 0.533), (4.5, 1 + 48 / 22), 1, "hip_pitch hip_yaw waist_yaw"),
    "7520-22": ((0.489, 0.109, 0.738), (4.5, 5), 1, "hip_roll knee"),
    "4010": ((0.068, 0, 0), (5, 5), 1, "wrist_pitch wrist_yaw"),
}  # fmt: skip


def test_limits_equal_the_published_table() -> None:
    limits = MODEL.limits_for(5)
    for i, joint in enumerate(MODEL.joint_names):
        lower, upper, torque, speed = TABLE[kind(joint)]
        if joint.startswith("right_") and kind(joint).endswith("roll"):
            lower, upper = -upper, -lower
        got = limits.q_lower[i], limits.q_upper[i], limits.tau_max[i], limits.dq_max[i]
        assert got == (lower, upper, torque, speed), joint


def test_motor_order_is_left_leg_right_leg_waist_left_arm_right_arm() -> None:
    leg, arm = list(TABLE)[:6], list(TABLE)[9:]
    wanted = [f"{side}_{j}" for side in ("left", "right") for j in leg] + list(TABLE)[6:9]
    wanted += [f"{side}_{j}" for side in ("left", "right") for j in arm]
    assert MODEL.joint_names == tuple(f"{j}_joint" for j in wanted)
    assert MODEL.wire_slot == tuple(range(29)) and MODEL.wire == "hg"


@pytest.mark.shared_data
@pytest.mark.parametrize("mode", sorted(URDFS))
def test_each_variants_limits_equal_its_urdf(shared_data: Path, mode: int) -> None:
    root = ET.parse(shared_data / "robots/unitree_ros/g1_description" / URDFS[mode]).getroot()
    revolute = [joint for joint in root.findall("joint") if joint.get("type") == "revolute"]
    published = {str(joint.get("name")): joint.find("limit") for joint in revolute}
    assert tuple(published) == MODEL.joint_names
    limits = MODEL.limits_for(mode)
    for i, joint in enumerate(MODEL.joint_names):
        limit = published[joint]
        assert limit is not None
        lower, upper, torque, speed = (float(limit.get(k, "nan")) for k in ("lower", "upper", "effort", "velocity"))
        assert (limits.q_lower[i], limits.q_upper[i]) == pytest.approx((lower, upper), abs=1e-6), joint
        assert (limits.tau_max[i], limits.dq_max[i]) == (torque, speed), joint


def test_the_variants_are_those_with_all_29_joints() -> None:
    assert sorted(MODEL.limits_by_mode_machine) == sorted(URDFS)
    assert MODEL.default_mode_machine == 5


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4, 6, 9, 10, 12, 14, 16])
def test_locked_waists_missing_joints_and_betas_are_refused(mode: int) -> None:
    with pytest.raises(WrongHardware) as caught:
        MODEL.limits_for(mode)
    known = "[5, 11, 13, 15]"
    assert str(caught.value) == f"unitree_g1 reports mode_machine {mode}, for which there are no limits; known: {known}"


def test_the_stand_pose_is_twist2s_default() -> None:
    leg, arm = [-0.2, 0, 0, 0.4, -0.2, 0], [0, 0.4, 0, 1.2, 0, 0, 0]
    mirrored = [0, -0.4, 0, 1.2, 0, 0, 0]
    np.testing.assert_array_equal(MODEL.q_stand, leg + leg + [0, 0, 0] + arm + mirrored)


def test_rotor_inertias_follow_from_the_motors() -> None:
    m, _ = compiled(MODEL)
    wanted = {}
    for (r0, r1, r2), (g1, g2), count, joints in MOTORS.values():
        reflected = count * 1e-4 * (r0 * (g1 * g2) ** 2 + r1 * g2**2 + r2)
        wanted |= dict.fromkeys(joints.split(), reflected)
    for i, joint in enumerate(MODEL.joint_names):
        assert m.dof_armature[6 + i] == pytest.approx(wanted[kind(joint)], rel=1e-4), joint


def test_a_saturated_motor_is_not_damped_twice() -> None:
    """One step under a clipped torque accelerates as under that torque alone, whatever the motor's kd."""
    speeds = []
    for kd in (0.0, 8.0):
        m, d = compiled(MODEL)
        m.dof_damping[:] = 0.0
        elbow = MODEL.joint_names.index("left_elbow_joint")
        m.actuator_biasprm[elbow, 2] = -kd
        d.ctrl[elbow] = MODEL.q_stand[elbow] + 100.0
        mujoco.mj_step(m, d)
        speeds.append(d.qvel[6 + elbow])
    assert speeds[0] > 1.0
    assert speeds[1] == pytest.approx(speeds[0], rel=1e-9)


def test_the_ready_gains_hold_the_stand_pose_for_a_second() -> None:
    """Ankles of 40 N m/rad cannot balance 33 kg for ever (m g h is 220), but the fall they allow is slow."""
    m, d = compiled(MODEL)
    mujoco.mj_step(m, d, nstep=500)
    assert d.qpos[2] > MODEL.stand_height_m - 0.03
    assert np.abs(d.qpos[7:] - MODEL.q_stand).max() < 0.25


def test_imus_read_the_bodies_they_sit_in() -> None:
    m, d = compiled(MODEL)
    d.qpos[2] = 2.0
    d.qpos[3:7] = np.cos(0.2), 0.0, np.sin(0.2), 0.0
    d.qvel[3:6] = 0.3, -0.2, 0.7
    d.qvel[6 + MODEL.joint_names.index("waist_yaw_joint")] = 1.1
    mujoco.mj_forward(m, d)
    for site, turn in (("imu_pelvis", 0.0), ("imu_torso", 1.1)):
        np.testing.assert_allclose(d.sensor(f"{site}_quat").data, d.qpos[3:7], atol=1e-12)
        np.testing.assert_allclose(d.sensor(f"{site}_gyro").data, [0.3, -0.2, 0.7 + turn], atol=1e-12)
    m, d = compiled(MODEL)
    mujoco.mj_step(m, d, nstep=150)
    mujoco.mj_forward(m, d)
    for site in ("imu_pelvis", "imu_torso"):
        assert np.linalg.norm(d.sensor(f"{site}_accel").data - [0, 0, 9.81]) < 1.0
