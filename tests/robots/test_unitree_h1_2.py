"""The H1-2's model and MJCF against Unitree's own files and against figures written down independently."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_h1_2.model import MODEL

VENDOR = "robots/unitree_ros/h1_2_description/h1_2_handless.xml"
URDF = "robots/unitree_ros/h1_2_description/h1_2_handless.urdf"
DEPLOY = "policies/twist2/configs/h1_2.yaml"
WEIGHT_N = 66.984 * 9.81

# Lower, upper, torque, speed, rotor inertia; of the left joint where the sides differ. In motor order.
TABLE: dict[str, tuple[float, float, float, float, float]] = {
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
}
MIRRORED = ("hip_roll", "shoulder_roll", "shoulder_yaw", "wrist_roll")


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
        for child in [c for c in parent if c.tag == "mesh" or (c.tag == "geom" and (c.get("mesh") or c.get("class")))]:
            parent.remove(child)
    return mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))


@pytest.fixture
def vendor(shared_data: Path) -> Any:
    return without_meshes(shared_data / VENDOR)


def bodies(m: Any) -> list[str]:
    return [m.body(i).name for i in range(1, m.nbody)]


def at(m: Any, joint: str) -> int:
    """Where a joint (named without suffix) lies in qpos."""
    return int(m.jnt_qposadr[m.joint(f"{joint}_joint").id])


def motor_at(m: Any) -> Any:
    """Where the joints lie in qpos, in motor order."""
    return np.array([m.jnt_qposadr[m.joint(name).id] for name in MODEL.joint_names])


def contacts(m: Any, d: Any) -> list[frozenset[str]]:
    return [frozenset((m.geom(c.geom1).name, m.geom(c.geom2).name)) for c in d.contact]


@pytest.mark.shared_data
def test_kinematics_equal_the_vendors_on_a_thousand_poses(vendor: Any) -> None:
    ours, _ = compiled()
    assert bodies(ours) == bodies(vendor) and len(bodies(ours)) == 28
    assert [ours.joint(i).name for i in range(1, 28)] == [vendor.joint(i).name for i in range(1, 28)]
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
    assert m.body_mass.sum() == pytest.approx(66.984, abs=1e-3)


def test_motor_order_is_left_leg_right_leg_torso_left_arm_right_arm() -> None:
    leg, arm = list(TABLE)[:6], list(TABLE)[7:]
    wanted = [f"{side}_{j}" for side in ("left", "right") for j in leg] + ["torso"]
    wanted += [f"{side}_{j}" for side in ("left", "right") for j in arm]
    assert MODEL.joint_names == tuple(f"{j}_joint" for j in wanted)
    assert MODEL.wire_slot == tuple(range(27)) and MODEL.wire == "hg"


@pytest.mark.shared_data
def test_slots_and_gains_equal_those_of_the_vendors_deployment(shared_data: Path) -> None:
    numbers = _numbers(shared_data / DEPLOY)
    assert tuple(numbers["leg_joint2motor_idx"] + numbers["arm_waist_joint2motor_idx"]) == MODEL.wire_slot
    np.testing.assert_array_equal(MODEL.kp_ready, numbers["kps"] + numbers["arm_waist_kps"])
    np.testing.assert_array_equal(MODEL.kd_ready, numbers["kds"] + numbers["arm_waist_kds"])
    np.testing.assert_array_equal(MODEL.q_stand, numbers["default_angles"] + numbers["arm_waist_target"])


def _numbers(path: Path) -> dict[str, list[float]]:
    """The lists of numbers of a flat YAML file."""
    found = {}
    for entry in path.read_text().replace("\n ", " ").splitlines():
        key, _, value = entry.partition(":")
        if "[" in value:
            found[key] = [float(x) for x in value.partition("[")[2].partition("]")[0].split(",")]
    return found


def test_limits_equal_the_published_table() -> None:
    for i, joint in enumerate(MODEL.joint_names):
        lower, upper, torque, speed, _ = TABLE[kind(joint)]
        if joint.startswith("right_") and kind(joint) in MIRRORED:
            lower, upper = -upper, -lower
        limits = MODEL.limits
        got = limits.q_lower[i], limits.q_upper[i], limits.tau_max[i], limits.dq_max[i]
        assert got == (lower, upper, torque, speed), joint


@pytest.mark.shared_data
def test_limits_equal_the_urdf(shared_data: Path) -> None:
    root = ET.parse(shared_data / URDF).getroot()
    published = {j.get("name"): j.find("limit") for j in root.findall("joint") if j.get("type") == "revolute"}
    assert set(published) == set(MODEL.joint_names)
    for i, joint in enumerate(MODEL.joint_names):
        limit = published[joint]
        assert limit is not None
        wanted = tuple(float(limit.get(k, "nan")) for k in ("lower", "upper", "effort", "velocity"))
        limits = MODEL.limits
        assert (limits.q_lower[i], limits.q_upper[i], limits.tau_max[i], limits.dq_max[i]) == wanted, joint


def test_the_variants_the_vendor_names_share_one_table_and_others_are_refused() -> None:
    assert list(MODEL.limits_by_mode_machine) == [1, 2, 3, 4, 5] and MODEL.default_mode_machine == 5
    assert all(MODEL.limits_for(mode) is MODEL.limits for mode in range(1, 6))
    for mode in (0, 6):
        with pytest.raises(WrongHardware) as caught:
            MODEL.limits_for(mode)
        wanted = f"unitree_h1_2 reports mode_machine {mode}, for which there are no limits; known: [1, 2, 3, 4, 5]"
        assert str(caught.value) == wanted


def test_the_stand_pose_is_flat_footed() -> None:
    """Both soles level, and the centre of mass above them."""
    m, d = compiled()
    mujoco.mj_forward(m, d)
    sole = np.array([d.site(name).xpos for name in MODEL.sole_sites])
    assert np.ptp(sole[:, 2]) < 1e-6
    heel, toe = sole[:, 0].min(), sole[:, 0].max()
    assert heel + 0.05 < d.subtree_com[0][0] < toe - 0.05
    assert abs(d.subtree_com[0][1]) < 5e-3


def test_rotor_inertias_are_those_of_the_motors() -> None:
    m, _ = compiled()
    for joint in MODEL.joint_names:
        assert m.dof_armature[m.jnt_dofadr[m.joint(joint).id]] == TABLE[kind(joint)][4], joint


def test_gains_can_be_retuned_between_steps_and_torque_is_clipped() -> None:
    """In motor order on the actuators, whatever order the joints have."""
    m, d = compiled()
    rng = np.random.default_rng(3)
    n, qpos = MODEL.n, motor_at(m)
    kp, kd = rng.uniform(0, 200, n), rng.uniform(0, 8, n)
    d.qvel[6:] = rng.uniform(-2, 2, n)
    d.ctrl[:] = MODEL.q_stand + rng.uniform(-1, 1, n)
    m.actuator_gainprm[:, 0], m.actuator_biasprm[:, 1], m.actuator_biasprm[:, 2] = kp, -kp, -kd
    mujoco.mj_forward(m, d)
    free = kp * (d.ctrl - d.qpos[qpos]) - kd * d.qvel[qpos - 1]
    wanted = np.clip(free, -MODEL.limits.tau_max, MODEL.limits.tau_max)
    assert (wanted != free).any() and (wanted == free).any()
    np.testing.assert_allclose(d.qfrc_actuator[qpos - 1], wanted, atol=1e-12)


def test_standing_rests_on_the_eight_soles_only() -> None:
    m, d = compiled()
    mujoco.mj_step(m, d, nstep=150)
    assert set(contacts(m, d)) == {frozenset(("floor", name)) for name in MODEL.sole_sites}
    assert min(c.dist for c in d.contact) > -2e-3
    pushes = []
    for _ in range(350):
        mujoco.mj_step(m, d)
        force = np.zeros((d.ncon, 6))
        for i in range(d.ncon):
            mujoco.mj_contactForce(m, d, i, force[i])
        pushes.append(force[:, 0].sum())
    assert np.mean(pushes) == pytest.approx(WEIGHT_N, rel=0.05)


def test_the_feet_hardly_creep_under_a_steady_pull() -> None:
    """20 N on the pelvis for two seconds, joints held stiff: 0.1 mm; MuJoCo's default contact lets them go 2 mm."""
    m, d = compiled()
    assert m.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC and m.opt.impratio == 10.0
    stiff = [i for i in range(m.nu) if not any(w in MODEL.joint_names[i] for w in ("shoulder", "elbow", "wrist"))]
    m.actuator_gainprm[stiff, 0], m.actuator_biasprm[stiff, 1], m.actuator_biasprm[stiff, 2] = 3000.0, -3000.0, -100.0
    m.jnt_actfrclimited[:] = 0
    mujoco.mj_step(m, d, nstep=1000)
    before = [d.site(name).xpos.copy() for name in MODEL.sole_sites]
    d.xfrc_applied[m.body("pelvis").id, 0] = 20.0
    mujoco.mj_step(m, d, nstep=1000)
    moved = [np.linalg.norm(d.site(name).xpos - p) for name, p in zip(MODEL.sole_sites, before, strict=True)]
    assert d.qpos[2] == pytest.approx(MODEL.stand_height_m, abs=0.01)
    assert max(moved) < 5e-4


def test_walking_touches_only_the_floor() -> None:
    """Legs and swinging arms through the range of an ordinary gait: no link meets another."""
    m, d = compiled()
    d.qpos[2] = 2.0
    for phase in np.linspace(0.0, 2 * np.pi, 60):
        for side, swing in (("left", np.sin(phase)), ("right", -np.sin(phase))):
            d.qpos[at(m, f"{side}_hip_pitch")] = -0.25 - 0.45 * swing
            d.qpos[at(m, f"{side}_knee")] = 0.55 + 0.45 * swing
            d.qpos[at(m, f"{side}_shoulder_pitch")] = 0.5 * swing
        mujoco.mj_forward(m, d)
        assert contacts(m, d) == []


@pytest.mark.parametrize(
    ("joints", "wanted"),
    [
        ({"left_shoulder_yaw": -1.2}, ("belly", "left_wrist")),
        ({"left_hip_pitch": -1.6, "left_elbow": 0.8}, ("left_thigh", "left_hand")),
        ({"left_hip_roll": -0.3, "right_hip_roll": 0.3}, ("left_shin", "right_shin")),
    ],
)
def test_what_would_collide_does(joints: dict[str, float], wanted: tuple[str, str]) -> None:
    m, d = compiled()
    d.qpos[2] = 2.0
    for name, value in joints.items():
        d.qpos[at(m, name)] = value
    mujoco.mj_forward(m, d)
    assert frozenset(wanted) in contacts(m, d)


def test_left_and_right_shapes_mirror_each_other() -> None:
    m, d = compiled()
    d.qpos[7:] = 0.0
    mujoco.mj_kinematics(m, d)
    for what, count, pos in (("geom", m.ngeom, d.geom_xpos), ("site", m.nsite, d.site_xpos)):
        named = {getattr(m, what)(i).name: pos[i] for i in range(count) if getattr(m, what)(i).name}
        lefts = [name for name in named if "left" in name]
        assert len(lefts) >= 9
        for name in lefts:
            other = name.replace("left", "right")
            np.testing.assert_allclose(named[other] * [1, -1, 1], named[name], atol=1e-4, err_msg=name)


def test_sites_lie_where_the_vendor_puts_them() -> None:
    m, _ = compiled()
    wanted = {
        "imu_pelvis": ("pelvis", (0, 0, 0)),
        "imu_torso": ("torso_link", (-0.04452, -0.01891, 0.27756)),
        "left_sole_1": ("left_ankle_roll_link", (-0.07, 0.03, -0.045)),
        "right_sole_3": ("right_ankle_roll_link", (0.135, -0.035, -0.045)),
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


@pytest.mark.shared_data
def test_the_sole_lies_where_the_foots_inertia_puts_it(vendor: Any) -> None:
    """Only its mesh is published. The uniform box of the same inertia ends within 3 mm and 2 cm of the sole."""
    ours, _ = compiled()
    foot = vendor.body("left_ankle_roll_link")
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, foot.iquat)
    inertia = np.diag(turn.reshape(3, 3) @ np.diag(foot.inertia) @ turn.reshape(3, 3).T)
    edge = np.sqrt(6.0 / foot.mass[0] * (inertia.sum() - 2.0 * inertia))
    low, high = foot.ipos - edge / 2, foot.ipos + edge / 2
    sole = np.array([ours.site(f"left_sole_{i}").pos for i in (1, 2, 3, 4)])
    np.testing.assert_allclose(sole[:, 2], low[2], atol=3e-3)
    assert low[0] < sole[:, 0].min() < low[0] + 0.02 and high[0] - 0.02 < sole[:, 0].max() < high[0]
    assert low[1] < sole[:, 1].min() and sole[:, 1].max() < high[1]


def test_the_torso_imu_turns_with_the_torso_joint_and_the_pelvis_imu_does_not() -> None:
    m, d = compiled()
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


@pytest.mark.parametrize("step_s", [0.001, 0.002, 0.005])
def test_wild_targets_neither_explode_nor_leave_the_ranges(step_s: float) -> None:
    """Full torque whips a forearm through its soft stop at 100 rad/s and more; it must come back."""
    m, d = compiled(step_s)
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    rng = np.random.default_rng(1)
    low, high = m.jnt_range[1:].T
    beyond = speed = 0.0
    for _ in range(10):
        d.ctrl[:] = rng.uniform(MODEL.limits.q_lower, MODEL.limits.q_upper)
        for _ in range(round(0.2 / step_s)):
            mujoco.mj_step(m, d)
            beyond = max(beyond, float(np.maximum(d.qpos[7:] - high, low - d.qpos[7:]).max()))
            speed = max(speed, float(np.abs(d.qvel).max()))
    assert not any(warning.number for warning in d.warning)
    assert np.isfinite(d.qpos).all()
    assert beyond < 0.6 and speed < 250.0
