"""The H1's model and MJCF against Unitree's own files and against figures written down independently."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import WrongHardware
from teleopd.robots.unitree_h1.model import MODEL

VENDOR = "robots/unitree_ros/h1_description/mjcf/h1.xml"
URDF = "robots/unitree_ros/h1_description/urdf/h1.urdf"
DEPLOY = "policies/twist2/configs/h1.yaml"
WEIGHT_N = 51.650 * 9.81

# Slot of the vendor's motor array -> joint; slot 9 is not used.
SLOTS = {
    0: "right_hip_roll", 1: "right_hip_pitch", 2: "right_knee",
    3: "left_hip_roll", 4: "left_hip_pitch", 5: "left_knee",
    6: "torso", 7: "left_hip_yaw", 8: "right_hip_yaw", 10: "left_ankle", 11: "right_ankle",
    12: "right_shoulder_pitch", 13: "right_shoulder_roll", 14: "right_shoulder_yaw", 15: "right_elbow",
    16: "left_shoulder_pitch", 17: "left_shoulder_roll", 18: "left_shoulder_yaw", 19: "left_elbow",
}  # fmt: skip
# Lower, upper, torque, speed, rotor inertia; of the left joint where the sides differ.
TABLE: dict[str, tuple[float, float, float, float, float]] = {
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
}
MIRRORED = ("shoulder_roll", "shoulder_yaw")
PEAK_TORQUE = {"knee": 360.0, "hip": 220.0, "ankle": 45.0, "shoulder": 75.0, "elbow": 75.0, "torso": 220.0}
"""Peak figures of the literature [N m]: a ceiling, never a limit."""


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
    assert bodies(ours) == bodies(vendor) and len(bodies(ours)) == 20
    assert [ours.joint(i).name for i in range(1, 20)] == [vendor.joint(i).name for i in range(1, 20)]
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
    assert m.body_mass.sum() == pytest.approx(51.650, abs=1e-3)


def test_motor_order_is_the_vendors_motor_array_without_its_empty_slot() -> None:
    assert MODEL.joint_names == tuple(f"{joint}_joint" for joint in SLOTS.values())
    assert MODEL.wire_slot == tuple(SLOTS) and 9 not in MODEL.wire_slot
    assert MODEL.wire == "go"


@pytest.mark.shared_data
def test_slots_and_gains_equal_those_of_the_vendors_deployment(shared_data: Path) -> None:
    """Its maps go from the order of the legs and arms to the motor array: an independent spelling of `wire_slot`."""
    numbers = _numbers(shared_data / DEPLOY)
    legs = [f"{side}_{j}" for side in ("left", "right") for j in ("hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle")]
    arms = [f"{side}_{j}" for side in ("left", "right") for j in list(TABLE)[6:]]
    slots = numbers["leg_joint2motor_idx"] + numbers["arm_waist_joint2motor_idx"]
    kps, kds = numbers["kps"] + numbers["arm_waist_kps"], numbers["kds"] + numbers["arm_waist_kds"]
    stand = numbers["default_angles"] + numbers["arm_waist_target"]
    for joint, slot, kp, kd, q in zip([*legs, "torso", *arms], slots, kps, kds, stand, strict=True):
        i = MODEL.joint_names.index(f"{joint}_joint")
        assert MODEL.wire_slot[i] == slot, joint
        assert (MODEL.kp_ready[i], MODEL.kd_ready[i], MODEL.q_stand[i]) == (kp, kd, q), joint


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
        assert torque < PEAK_TORQUE[kind(joint).partition("_")[0]]


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


@pytest.mark.parametrize("mode", [0, 5])
def test_there_is_one_variant(mode: int) -> None:
    assert list(MODEL.limits_by_mode_machine) == [1] and MODEL.default_mode_machine == 1
    with pytest.raises(WrongHardware) as caught:
        MODEL.limits_for(mode)
    known = "[1]"
    assert str(caught.value) == f"unitree_h1 reports mode_machine {mode}, for which there are no limits; known: {known}"


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
    """20 N on the pelvis for two seconds, joints held stiff: 0.5 mm; MuJoCo's default contact lets them go 3.7 mm."""
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
    assert max(moved) < 1e-3


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
        ({"left_shoulder_yaw": -1.2}, ("belly", "left_forearm")),
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


def test_sites_lie_where_the_vendor_and_omnih2o_put_them() -> None:
    """The elbow's point is the origin of elbow_link, hung on its parent: a body carries one key site."""
    m, d = compiled()
    wanted = {
        "imu_pelvis": ("pelvis", (0, 0, 0)),
        "imu_torso": ("torso_link", (-0.04452, -0.01891, 0.27756)),
        "left_sole_1": ("left_ankle_link", (-0.08, 0.02, -0.07)),
        "right_sole_3": ("right_ankle_link", (0.18, -0.02, -0.07)),
        "key_head": ("torso_link", (0, 0, 0.75)),
        "key_left_wrist": ("left_elbow_link", (0.3, 0, 0)),
        "key_right_wrist": ("right_elbow_link", (0.3, 0, 0)),
        "key_left_knee": ("left_knee_link", (0, 0, 0)),
        "key_right_ankle": ("right_ankle_link", (0, 0, 0)),
    }
    for name, (body, pos) in wanted.items():
        site = m.site(name)
        assert m.body(site.bodyid[0]).name == body
        np.testing.assert_allclose(site.pos, pos, atol=1e-12)
        np.testing.assert_allclose(site.quat, [1, 0, 0, 0])
    d.qpos[7:] = np.random.default_rng(4).uniform(*m.jnt_range[1:].T)
    mujoco.mj_kinematics(m, d)
    for side in ("left", "right"):
        np.testing.assert_allclose(d.site(f"key_{side}_elbow").xpos, d.body(f"{side}_elbow_link").xpos, atol=1e-12)


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
