"""The G1's model and MJCF against Unitree's own files and against figures written down independently."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_g1.model import MODEL

VENDOR = "robots/twist2_g1/g1_29dof_rev_1_0.xml"
VENDOR_AGAIN = "robots/unitree_ros/g1_description/g1_29dof_rev_1_0.xml"
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


def kind(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_").removesuffix("_joint")


def compiled(step_s: float = 0.002) -> tuple[Any, Any]:
    """Model and data, in the stand pose."""
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    m.opt.timestep = step_s
    d = mujoco.MjData(m)
    mujoco.mj_resetDataKeyframe(m, d, m.key("stand").id)
    return m, d


def without_meshes(path: Path) -> Any:
    """The vendor's model, compiled without the meshes it does not bring."""
    root = ET.parse(path).getroot()
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag == "mesh" or (c.tag == "geom" and c.get("type") == "mesh")]:
            parent.remove(child)
    return mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))


@pytest.fixture(params=[VENDOR, VENDOR_AGAIN])
def vendor(request: pytest.FixtureRequest, shared_data: Path) -> Any:
    return without_meshes(shared_data / request.param)


def bodies(m: Any) -> list[str]:
    return [m.body(i).name for i in range(1, m.nbody)]


@pytest.mark.shared_data
def test_kinematics_equal_the_vendors_on_a_thousand_poses(vendor: Any) -> None:
    ours, _ = compiled()
    assert bodies(ours) == bodies(vendor) and len(bodies(ours)) == 30
    assert [ours.joint(i).name for i in range(1, 30)] == [vendor.joint(i).name for i in range(1, 30)]
    np.testing.assert_array_equal(ours.jnt_range[1:], vendor.jnt_range[1:])
    np.testing.assert_array_equal(ours.jnt_axis[1:], vendor.jnt_axis[1:])
    a, b = mujoco.MjData(ours), mujoco.MjData(vendor)
    rng = np.random.default_rng(20)
    low, high = vendor.jnt_range[1:].T
    for _ in range(1000):
        a.qpos[:3] = rng.uniform(-2, 2, 3)
        a.qpos[3:7] = rng.normal(size=4)
        a.qpos[3:7] /= np.linalg.norm(a.qpos[3:7])
        a.qpos[7:] = rng.uniform(low, high)
        b.qpos[:] = a.qpos
        mujoco.mj_kinematics(ours, a)
        mujoco.mj_kinematics(vendor, b)
        assert np.abs(a.xpos - b.xpos).max() < 1e-6
        assert np.abs(a.xmat - b.xmat).max() < 1e-6


@pytest.mark.shared_data
def test_masses_and_inertias_equal_the_vendors(vendor: Any) -> None:
    ours, _ = compiled()
    for name in bodies(vendor):
        a, b = ours.body(name), vendor.body(name)
        assert abs(a.mass[0] - b.mass[0]) < 1e-3, name
        np.testing.assert_allclose(a.inertia, b.inertia, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(a.ipos, b.ipos, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(a.iquat, b.iquat, atol=1e-9, err_msg=name)


def test_it_weighs_what_unitree_says() -> None:
    m, _ = compiled()
    assert m.body_mass.sum() == pytest.approx(33.341, abs=1e-3)


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
    m, _ = compiled()
    wanted = {}
    for (r0, r1, r2), (g1, g2), count, joints in MOTORS.values():
        reflected = count * 1e-4 * (r0 * (g1 * g2) ** 2 + r1 * g2**2 + r2)
        wanted |= dict.fromkeys(joints.split(), reflected)
    for i, joint in enumerate(MODEL.joint_names):
        assert m.dof_armature[6 + i] == pytest.approx(wanted[kind(joint)], rel=1e-4), joint


def test_gains_can_be_retuned_between_steps_and_torque_is_clipped() -> None:
    m, d = compiled()
    rng = np.random.default_rng(3)
    kp, kd = rng.uniform(0, 200, 29), rng.uniform(0, 8, 29)
    d.qvel[6:] = rng.uniform(-2, 2, 29)
    d.ctrl[:] = MODEL.q_stand + rng.uniform(-1, 1, 29)
    m.actuator_gainprm[:, 0], m.actuator_biasprm[:, 1], m.actuator_biasprm[:, 2] = kp, -kp, -kd
    mujoco.mj_forward(m, d)
    free = kp * (d.ctrl - d.qpos[7:]) - kd * d.qvel[6:]
    wanted = np.clip(free, -MODEL.limits.tau_max, MODEL.limits.tau_max)
    assert (wanted != free).any() and (wanted == free).any()
    np.testing.assert_allclose(d.qfrc_actuator[6:], wanted, atol=1e-12)


def test_a_saturated_motor_is_not_damped_twice() -> None:
    """One step under a clipped torque accelerates as under that torque alone, whatever the motor's kd."""
    speeds = []
    for kd in (0.0, 8.0):
        m, d = compiled()
        m.dof_damping[:] = 0.0
        elbow = MODEL.joint_names.index("left_elbow_joint")
        m.actuator_biasprm[elbow, 2] = -kd
        d.ctrl[elbow] = MODEL.q_stand[elbow] + 100.0
        mujoco.mj_step(m, d)
        speeds.append(d.qvel[6 + elbow])
    assert speeds[0] > 1.0
    assert speeds[1] == pytest.approx(speeds[0], rel=1e-9)


def test_standing_rests_on_the_eight_soles_only() -> None:
    m, d = compiled()
    mujoco.mj_step(m, d, nstep=150)
    pairs = {(m.geom(c.geom1).name, m.geom(c.geom2).name) for c in d.contact}
    assert pairs == {("floor", f"{side}_sole_{i}") for side in ("left", "right") for i in (1, 2, 3, 4)}
    assert min(c.dist for c in d.contact) > -2e-3
    weight = sum(_normal_force(m, d, i) for i in range(d.ncon))
    assert weight == pytest.approx(33.341 * 9.81, rel=0.05)


def _normal_force(m: Any, d: Any, contact: int) -> float:
    out = np.zeros(6)
    mujoco.mj_contactForce(m, d, contact, out)
    return float(out[0])


def test_the_ready_gains_hold_the_stand_pose_for_a_second() -> None:
    """Ankles of 40 N m/rad cannot balance 33 kg for ever (m g h is 220), but the fall they allow is slow."""
    m, d = compiled()
    mujoco.mj_step(m, d, nstep=500)
    assert d.qpos[2] > MODEL.stand_height_m - 0.03
    assert np.abs(d.qpos[7:] - MODEL.q_stand).max() < 0.25


def test_walking_touches_only_the_floor() -> None:
    """Legs and swinging arms through the range of an ordinary gait: no link meets another."""
    m, d = compiled()
    legs = {f"{side}_{j}_joint": 7 + MODEL.joint_names.index(f"{side}_{j}_joint")
            for side in ("left", "right") for j in ("hip_pitch", "knee", "ankle_pitch", "shoulder_pitch")}  # fmt: skip
    for phase in np.linspace(0.0, 2 * np.pi, 60):
        for side, swing in (("left", np.sin(phase)), ("right", -np.sin(phase))):
            d.qpos[legs[f"{side}_hip_pitch_joint"]] = -0.25 - 0.45 * swing
            d.qpos[legs[f"{side}_knee_joint"]] = 0.55 + 0.45 * swing
            d.qpos[legs[f"{side}_shoulder_pitch_joint"]] = 0.5 * swing
        d.qpos[2] = 2.0
        mujoco.mj_forward(m, d)
        assert [(m.geom(c.geom1).name, m.geom(c.geom2).name) for c in d.contact] == []


@pytest.mark.parametrize(
    ("joints", "wanted"),
    [
        ({"left_shoulder_roll": 0.0, "left_shoulder_yaw": -1.2, "left_elbow": 0.0}, ("abdomen", "left_hand")),
        ({"left_hip_pitch": -1.2, "left_shoulder_roll": -0.1, "left_elbow": 1.2}, ("left_thigh", "left_hand")),
        ({"left_hip_roll": -0.4, "right_hip_roll": 0.4}, ("left_shin", "right_shin")),
    ],
)
def test_what_would_collide_does(joints: dict[str, float], wanted: tuple[str, str]) -> None:
    m, d = compiled()
    d.qpos[2] = 2.0
    for name, value in joints.items():
        d.qpos[7 + MODEL.joint_names.index(f"{name}_joint")] = value
    mujoco.mj_forward(m, d)
    found = {frozenset((m.geom(c.geom1).name, m.geom(c.geom2).name)) for c in d.contact}
    assert frozenset(wanted) in found


def test_left_and_right_shapes_mirror_each_other() -> None:
    """In the symmetric zero pose; the vendor's shoulders differ by 10 micrometres."""
    m, d = compiled()
    d.qpos[7:] = 0.0
    mujoco.mj_kinematics(m, d)
    for what, count, pos in (("geom", m.ngeom, d.geom_xpos), ("site", m.nsite, d.site_xpos)):
        at = {getattr(m, what)(i).name: pos[i] for i in range(count) if getattr(m, what)(i).name}
        lefts = [name for name in at if "left" in name]
        assert len(lefts) >= 9
        for name in lefts:
            other = name.replace("left", "right")
            np.testing.assert_allclose(at[other] * [1, -1, 1], at[name], atol=1e-4, err_msg=name)


def test_sites_lie_where_the_vendor_puts_them() -> None:
    m, _ = compiled()
    wanted = {
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
    }
    for name, (body, pos) in wanted.items():
        site = m.site(name)
        assert m.body(site.bodyid[0]).name == body
        np.testing.assert_allclose(site.pos, pos, atol=1e-12)
        np.testing.assert_allclose(site.quat, [1, 0, 0, 0])


def test_imus_read_the_bodies_they_sit_in() -> None:
    m, d = compiled()
    d.qpos[2] = 2.0
    d.qpos[3:7] = np.cos(0.2), 0.0, np.sin(0.2), 0.0
    d.qvel[3:6] = 0.3, -0.2, 0.7
    d.qvel[6 + MODEL.joint_names.index("waist_yaw_joint")] = 1.1
    mujoco.mj_forward(m, d)
    for site, turn in (("imu_pelvis", 0.0), ("imu_torso", 1.1)):
        np.testing.assert_allclose(d.sensor(f"{site}_quat").data, d.qpos[3:7], atol=1e-12)
        np.testing.assert_allclose(d.sensor(f"{site}_gyro").data, [0.3, -0.2, 0.7 + turn], atol=1e-12)
    m, d = compiled()
    mujoco.mj_step(m, d, nstep=150)
    mujoco.mj_forward(m, d)
    for site in ("imu_pelvis", "imu_torso"):
        assert np.linalg.norm(d.sensor(f"{site}_accel").data - [0, 0, 9.81]) < 1.0


@pytest.mark.parametrize("step_s", [0.001, 0.002, 0.005])
def test_wild_targets_neither_explode_nor_leave_the_ranges(step_s: float) -> None:
    m, d = compiled(step_s)
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    rng = np.random.default_rng(1)
    low, high = m.jnt_range[1:].T
    beyond = speed = 0.0
    for _ in range(10):
        d.ctrl[:] = rng.uniform(low, high)
        for _ in range(round(0.2 / step_s)):
            mujoco.mj_step(m, d)
            beyond = max(beyond, float(np.maximum(d.qpos[7:] - high, low - d.qpos[7:]).max()))
            speed = max(speed, float(np.abs(d.qvel).max()))
    assert not any(warning.number for warning in d.warning)
    assert np.isfinite(d.qpos).all()
    assert beyond < 0.35 and speed < 150.0
