"""The numbers that motions are judged by, on motions whose numbers are known beforehand."""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.robots.capsules import capsule_distance
from teleopd.robots.model import Array, RobotModel
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.robots.unitree_h1_2.model import MODEL as H1_2
from teleopd.service.retarget import artifacts
from teleopd.service.retarget.artifacts import Asked, Source
from teleopd.service.retarget.robot_shape import RobotShape

FPS = 50.0


@pytest.fixture(scope="module")
def shape() -> RobotShape:
    return RobotShape(G1)


def standing_qpos(frames: int, height: float = 0.80) -> Array:
    """The G1 in its stand pose, at rest."""
    qpos = np.zeros((frames, 7 + G1.n))
    qpos[:, 2], qpos[:, 3] = height, 1.0
    qpos[:, 7:] = G1.q_stand
    return qpos


def still_source(frames: int) -> Source:
    """A person who stands still."""
    toes = np.zeros((frames, 2, 3))
    toes[:, 0, 1], toes[:, 1, 1], toes[..., 2] = 0.1, -0.1, 0.02
    return Source(toes, np.full(frames, 0.9), 0.9)


def as_asked(shape: RobotShape, qpos: Array, move: Any = (0.0, 0.0, 0.0)) -> Asked:
    """Targets that the motion misses by `move` in every body."""
    names = ("pelvis", "left_ankle_roll_link", "right_ankle_roll_link", "left_wrist_yaw_link", "right_wrist_yaw_link")
    made = shape.over(qpos)
    ids = shape.body_ids(names)
    groups = {"pelvis": [0], "foot": [1, 2], "hand": [3, 4], "orientation": [0, 1, 2, 3, 4]}
    return Asked(names, made.body_pos[:, ids] + np.array(move), made.body_quat[:, ids], groups)


def test_a_slide_of_7_cm_a_second_is_7(shape: RobotShape) -> None:
    qpos = standing_qpos(40)
    qpos[:, 0] = 0.042 * np.arange(40) / FPS
    qpos[:, 1] = 0.056 * np.arange(40) / FPS  # 3-4-5: 7 cm/s together
    figures = artifacts.measure(shape, FPS, qpos, still_source(40), as_asked(shape, qpos), 20.0)
    assert figures["slide_cm_s"] == pytest.approx(7.0, abs=1e-9)
    assert figures["slide_upright_cm_s"] == pytest.approx(7.0, abs=1e-9)
    assert figures["slide_above_10_percent"] == 0.0
    assert figures["source_slide_cm_s"] == 0.0
    assert figures["stance_percent"] == 100.0


def test_only_feet_whose_source_stands_slide(shape: RobotShape) -> None:
    """The right toe is lifted 6 cm over the left one's floor in the second half, the left one moves fast throughout."""
    qpos = standing_qpos(40)
    qpos[20:, 0] = 0.20 * np.arange(20) / FPS
    source = still_source(40)
    source.toes[:, 0, 0] = 0.25 * np.arange(40) / FPS
    source.toes[20:, 1, 2] = 0.02 + 0.06
    standing = artifacts.stance(source.toes, FPS)
    assert not standing[:, 0].any()
    assert standing[:19, 1].all()
    assert not standing[19:, 1].any()  # frame 19 rises by central difference: 0.06 m in two frames is 1.5 m/s
    figures = artifacts.measure(shape, FPS, qpos, source, as_asked(shape, qpos), 20.0)
    assert figures["slide_cm_s"] == pytest.approx(0.0, abs=1e-9)


def test_stance_limits_are_those_of_the_definition() -> None:
    toes = np.zeros((101, 2, 3))
    toes[:, 0, 0] = 0.199 * np.arange(101) / FPS
    toes[:, 1, 2] = 0.201 * np.arange(101) / FPS
    standing = artifacts.stance(toes, FPS)
    assert standing[:, 0].all()
    assert not standing[:, 1].any()
    toes = np.zeros((100, 2, 3))
    toes[50:, 0, 2], toes[50:, 1, 2] = 0.0499, 0.0501
    standing = artifacts.stance(toes, FPS)
    assert standing[60, 0]
    assert not standing[60, 1]


def test_falls_are_told_apart_by_the_hips() -> None:
    source = Source(np.zeros((3, 2, 3)), np.array([0.9, 0.676, 0.674]), 0.9)
    assert artifacts.upright(source).tolist() == [True, True, False]


def test_slide_above_10_cm_a_second_is_a_fraction_of_stance() -> None:
    toes = np.zeros((101, 2, 3))
    toes[:, 0, 0] = 0.12 * np.arange(101) / FPS
    mean, often = artifacts.slide(toes, np.ones((101, 2), dtype=np.bool_), FPS)
    assert mean == pytest.approx(0.06)
    assert often == pytest.approx(0.5)
    assert np.isnan(artifacts.slide(toes, np.zeros((101, 2), dtype=np.bool_), FPS)).all()


@pytest.mark.parametrize("robot", [G1, H1, H1_2], ids=lambda r: r.name)
def test_depth_of_soles_and_bodies_is_what_contacts_with_the_floor_say(robot: RobotModel) -> None:
    """MuJoCo's own collision with the floor plane, in random poses, is the second opinion."""
    shape, rng = RobotShape(robot), np.random.default_rng(5)
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data = mujoco.MjData(model)
    for _ in range(20):
        qpos = np.zeros((1, 7 + robot.n))
        qpos[0, :3] = 0.0, 0.0, 0.25
        qpos[0, 3:7] = rng.normal(size=4)
        qpos[0, 3:7] /= np.linalg.norm(qpos[0, 3:7])
        qpos[0, 7:] = rng.uniform(0.5 * robot.limits.q_lower, 0.5 * robot.limits.q_upper)
        made = shape.over(qpos)
        data.qpos[:7] = qpos[0, :7]
        for name, value in zip(robot.joint_names, qpos[0, 7:], strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_forward(model, data)
        soles, bodies = [0.0], [0.0]
        for contact in data.contact:
            names = [model.geom(int(g)).name for g in contact.geom]
            if "floor" in names:
                other = next(name for name in names if name != "floor")
                (soles if "_sole_" in other else bodies).append(-float(contact.dist))
        assert artifacts.penetration(made.soles)[0] == pytest.approx(max(soles), abs=1e-9)
        assert artifacts.below_floor(made.capsules, shape.radii)[0] == pytest.approx(max(bodies), abs=1e-9)


def test_a_known_penetration_is_found(shape: RobotShape) -> None:
    lowest = float(shape.over(standing_qpos(1)).soles.min())
    qpos = standing_qpos(10, 0.80 - lowest)
    qpos[3, 2] -= 0.012
    qpos[7, 2] -= 0.008
    figures = artifacts.measure(shape, FPS, qpos, still_source(10), as_asked(shape, qpos), 20.0)
    assert figures["penetration_cm"] == pytest.approx(1.2, abs=1e-6)
    assert figures["penetration_above_1_percent"] == pytest.approx(10.0)
    assert figures["stance_sole_cm"] == pytest.approx(0.0, abs=1e-6)
    floating = standing_qpos(10, 0.80 - lowest + 0.03)
    figures = artifacts.measure(shape, FPS, floating, still_source(10), as_asked(shape, floating), 20.0)
    assert figures["penetration_cm"] == 0.0
    assert figures["stance_sole_cm"] == pytest.approx(3.0, abs=1e-6)
    assert figures["below_floor_cm"] == 0.0


@pytest.mark.parametrize("robot", [G1, H1, H1_2], ids=lambda r: r.name)
def test_depths_between_capsules_are_mujocos(robot: RobotModel) -> None:
    shape, rng = RobotShape(robot), np.random.default_rng(11)
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data = mujoco.MjData(model)
    names = [name.replace("_hand_long", "_hand") for name in shape.capsule_names]
    short = [n for n in shape.capsule_names if f"{n}_long" in shape.capsule_names]
    hands = [i for i, n in enumerate(shape.capsule_names) if n.split("_", 1)[1:] in (["hand"], ["hand_long"], ["wrist"])
             and n not in short]  # fmt: skip
    body = shape.capsule_ids(*artifacts.BODY)
    assert len(hands) in (2, 4)
    assert len(body) >= 7
    for _ in range(15):
        qpos = np.zeros((1, 7 + robot.n))
        qpos[0, 3] = 1.0
        qpos[0, 7:] = rng.uniform(robot.limits.q_lower, robot.limits.q_upper)
        made = shape.over(qpos)
        data.qpos[:7] = qpos[0, :7]
        for name, value in zip(robot.joint_names, qpos[0, 7:], strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        deepest = max(
            -mujoco.mj_geomDistance(model, data, model.geom(names[i]).id, model.geom(names[j]).id, 10.0, None)
            for i in hands for j in body
        )  # fmt: skip
        assert artifacts.depths(made, shape, hands, body)[0] == pytest.approx(deepest, abs=1e-6)


def test_the_g1_hand_is_cut_where_its_collision_hull_ends(shape: RobotShape) -> None:
    made = shape.over(standing_qpos(1))
    i = shape.capsule_names.index("left_hand")
    wrist = made.body_pos[0, shape.body_ids(["left_wrist_yaw_link"])[0]]
    assert shape.radii[i] == 0.032
    assert made.capsules[0, i, 0] == pytest.approx(wrist)
    assert np.linalg.norm(made.capsules[0, i, 1] - wrist) == pytest.approx(0.045)
    long = shape.capsule_names.index("left_hand_long")
    assert np.linalg.norm(made.capsules[0, long, 1] - made.capsules[0, long, 0]) == pytest.approx(0.105)


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ([[0, 0, 0], [1, 0, 0]], [[0.5, 1, 0.3], [0.5, -1, 0.3]], 0.3),  # crossing
        ([[0, 0, 0], [1, 0, 0]], [[0, 0.2, 0], [1, 0.2, 0]], 0.2),  # parallel
        ([[0, 0, 0], [1, 0, 0]], [[1.3, 0.4, 0], [2, 0.4, 0]], 0.5),  # parallel, end to end
        ([[0, 0, 0], [0, 0, 0]], [[3, 4, 0], [3, 4, 0]], 5.0),  # two points
        ([[0, 0, 0], [1, 0, 0]], [[0.5, 0.7, 0], [0.5, 0.7, 0]], 0.7),  # a point beside
        ([[0.5, 0.7, 0], [0.5, 0.7, 0]], [[0, 0, 0], [1, 0, 0]], 0.7),
    ],
)
def test_distance_of_segments(a: Any, b: Any, apart: float) -> None:
    assert capsule_distance(np.array(a, float), np.array(b, float)) == pytest.approx(apart)


def test_hands_in_thighs_are_counted_from_5_mm_on(shape: RobotShape) -> None:
    """The arm swings until hand and hip lie 4 mm, then 6 mm deep; only the second counts."""
    hands, body = shape.capsule_ids("hand", "wrist"), shape.capsule_ids(*artifacts.BODY)
    qpos = standing_qpos(2001)
    roll = G1.joint_names.index("left_shoulder_roll_joint")
    qpos[:, 7 + roll] = np.linspace(0.5, -0.8, 2001)
    deep = artifacts.depths(shape.over(qpos), shape, hands, body)
    shallow, deeper = int(np.argmin(np.abs(deep - 0.004))), int(np.argmin(np.abs(deep - 0.006)))
    assert deep[shallow] == pytest.approx(0.004, abs=5e-4)
    chosen = qpos[[shallow, deeper, deeper, 0]]
    figures = artifacts.measure(shape, FPS, chosen, still_source(4), as_asked(shape, chosen), 20.0)
    assert figures["hand_deep_percent"] == 50.0
    assert figures["hand_deep_cm"] == pytest.approx(100.0 * deep[deeper])
    assert figures["arms_deep_percent"] == 0.0
    assert figures["shins_deep_percent"] == 0.0


def test_crossed_arms_and_knocking_shins_are_counted(shape: RobotShape) -> None:
    qpos = standing_qpos(2)
    at = {name: 7 + i for i, name in enumerate(G1.joint_names)}
    qpos[1, at["left_hip_roll_joint"]], qpos[1, at["right_hip_roll_joint"]] = -0.5, 0.5
    for side, sign in (("left", 1.0), ("right", -1.0)):
        qpos[1, at[f"{side}_shoulder_pitch_joint"]] = -0.5
        qpos[1, at[f"{side}_shoulder_yaw_joint"]] = -1.2 * sign
        qpos[1, at[f"{side}_elbow_joint"]] = 0.0
    figures = artifacts.measure(shape, FPS, qpos, still_source(2), as_asked(shape, qpos), 20.0)
    assert figures["arms_deep_percent"] == 50.0
    assert figures["shins_deep_percent"] == 50.0


def test_saturation_counts_the_last_half_percent_of_either_side() -> None:
    lower, upper = np.array([-1.0, 0.0]), np.array([1.0, 4.0])
    q = np.array([[0.0, 2.0], [0.991, 2.0], [-0.989, 0.019], [0.989, 3.979]])
    joints, frames = artifacts.saturation(q, lower, upper)
    assert joints == pytest.approx(2 / 8)
    assert frames == pytest.approx(2 / 4)


def test_saturated_joints_of_a_robot(shape: RobotShape) -> None:
    qpos = standing_qpos(4)
    limits = G1.limits
    middle = (limits.q_lower + limits.q_upper) / 2.0
    qpos[:, 7:] = middle
    qpos[0, 7], qpos[1, 8] = limits.q_upper[0], limits.q_lower[1] - 0.1
    figures = artifacts.measure(shape, FPS, qpos, still_source(4), as_asked(shape, qpos), 20.0)
    assert figures["saturated_percent"] == pytest.approx(100.0 * 2 / (4 * G1.n))
    assert figures["saturated_frames_percent"] == 50.0
    assert figures["outside_limits_rad"] == pytest.approx(0.1)
    narrow = dataclasses.replace(limits, q_upper=np.where(np.arange(G1.n) == 5, middle, limits.q_upper))
    figures = artifacts.measure(shape, FPS, qpos, still_source(4), as_asked(shape, qpos), 20.0, narrow)
    assert figures["saturated_percent"] == pytest.approx(100.0 * (2 + 4) / (4 * G1.n))
    assert figures["outside_limits_rad"] == pytest.approx(0.1)


def test_speeds_above_each_bound_are_counted(shape: RobotShape) -> None:
    qpos = standing_qpos(8)
    q = np.zeros(8)
    q[2:], q[4:], q[5:] = 20.0 / FPS, 20.0 / FPS + 25.0 / FPS, 20.0 / FPS + 25.0 / FPS - 35.0 / FPS
    qpos[:, 7 + 3] += q
    figures = artifacts.measure(shape, FPS, qpos, still_source(8), as_asked(shape, qpos), 20.0)
    assert figures["joint_speed_max_rad_s"] == pytest.approx(35.0)
    assert figures["above_20_rad_s"] == 2.0  # 20 itself is not above 20
    assert figures["above_30_rad_s"] == 1.0
    assert figures["above_limit"] == 2.0
    assert artifacts.measure(shape, FPS, qpos, still_source(8), as_asked(shape, qpos), 26.0)["above_limit"] == 1.0


def test_jerk_of_a_cubic_is_its_third_derivative() -> None:
    t = np.arange(30) / FPS
    q = np.stack((2.0 * t**3 - t**2, -0.5 * t**3 + t), axis=1)
    assert artifacts.jerk(q, FPS) == pytest.approx((12.0 + 3.0) / 2.0)
    assert np.isnan(artifacts.jerk(q[:3], FPS))


def test_errors_are_distances_to_what_was_asked(shape: RobotShape) -> None:
    qpos = standing_qpos(30)
    figures = artifacts.measure(shape, FPS, qpos, still_source(30), as_asked(shape, qpos, (0.02, 0.0, 0.0)), 20.0)
    assert figures["foot_cm"] == pytest.approx(2.0)
    assert figures["hand_cm"] == pytest.approx(2.0)
    assert figures["pelvis_cm"] == pytest.approx(2.0)
    assert figures["orientation_deg"] == pytest.approx(0.0, abs=1e-5)
    asked = as_asked(shape, qpos, (0.003, 0.004, 0.012))
    half_turn = np.radians(10.0) / 2.0
    asked.quat[:, 0] = np.cos(half_turn), 0.0, np.sin(half_turn), 0.0
    figures = artifacts.measure(shape, FPS, qpos, still_source(30), asked, 20.0)
    assert figures["foot_cm"] == pytest.approx(1.3)
    assert figures["foot_xy_cm"] == pytest.approx(0.5)
    assert figures["pelvis_deg"] == pytest.approx(10.0)
    assert figures["orientation_deg"] == pytest.approx(10.0 / 5.0, abs=1e-5)


def test_the_angle_does_not_depend_on_the_sign_of_a_quaternion() -> None:
    a = np.array([np.cos(0.3), np.sin(0.3), 0.0, 0.0])
    b = np.array([1.0, 0.0, 0.0, 0.0])
    assert artifacts.angles(a, b) == pytest.approx(0.6)
    assert artifacts.angles(-a, b) == pytest.approx(0.6)


def test_root_jumps_are_steps_the_target_did_not_make() -> None:
    wanted = np.zeros((6, 3))
    wanted[3:, 0] = 0.5  # the person jumps: not the root's fault
    root = wanted.copy()
    root[2:, 1] += 0.049
    root[4:, 2] += 0.051
    assert artifacts.root_jumps(root, wanted) == 1


def test_objective_and_cold_starts() -> None:
    weights = np.array([[10.0, 2.0], [0.0, 5.0]])
    value = artifacts.objective(np.array([[0.1, 9.0]]), np.array([[0.5, 0.2]]), weights)
    assert value == pytest.approx([1.0 + 1.0 + 1.0])
    best = np.array([10.0, 10.0, 0.0, 0.0])
    assert artifacts.cold_start_failed(np.array([35.0, 35.1, 20.0, 20.1]), best).tolist() == [False, True, False, True]


@pytest.mark.parametrize("delay_s", [-0.01, 0.0, 0.03, 0.1])
def test_lag_is_the_delay_of_the_velocities(delay_s: float) -> None:
    t = np.arange(400) / 100.0

    def moved(when: Array) -> Array:
        return np.stack((np.sin(3.0 * when), 0.3 * np.sin(7.0 * when), 0.0 * when), axis=1)[:, None]

    assert artifacts.lag(moved(t - delay_s) + 0.2, moved(t), 100.0) == pytest.approx(delay_s, abs=0.0021)
    assert np.isnan(artifacts.lag(moved(t)[:40], moved(t)[:40], 100.0))
    assert np.isnan(artifacts.lag(0.001 * moved(t), 0.001 * moved(t), 100.0))  # as good as still


def test_static_noise_leaves_the_first_frames_out() -> None:
    q = np.zeros((250, 2))
    q[:50] = 100.0
    q[50::2, 0] = 0.01
    speed, spread = artifacts.static_noise(q, 60.0)
    assert speed == pytest.approx(0.01 * 60.0 / np.sqrt(2.0))
    assert spread == pytest.approx(0.005 / 2.0)


def test_arrays_of_unlike_lengths_are_refused(shape: RobotShape) -> None:
    qpos = standing_qpos(4)
    with pytest.raises(ValueError, match=r"^a motion needs one number of frames, .*; its arrays have \[4, 5\]$"):
        artifacts.measure(shape, FPS, qpos, still_source(5), as_asked(shape, qpos), 20.0)


def test_a_foreign_body_is_refused(shape: RobotShape) -> None:
    with pytest.raises(ValueError, match=r"^unitree_g1 has no body 'left_tail'; it has: pelvis, "):
        shape.body_ids(["pelvis", "left_tail"])
