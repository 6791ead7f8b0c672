"""Hands stop at the body; distances and gradients are what geometry and finite differences say."""

from __future__ import annotations

import itertools

import msgspec
import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.model import Array, RobotModel
from teleopd.service.retarget.avoidance import CLEARANCE_M, MOST, NEAR_M, Avoidance, capsule_pairs
from teleopd.service.retarget.capsules import overlap_ends
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.solver import FastSolver
from teleopd.service.retarget.tables import KeepApart, RetargetTable, TableError, load_table, parse_table
from teleopd.service.retarget.targets import Targets

DT = 1.0 / 60.0


@pytest.fixture(scope="module")
def kinematics(robot: RobotModel) -> Kinematics:
    return Kinematics(robot)


@pytest.fixture(scope="module")
def table(robot: RobotModel) -> RetargetTable:
    return load_table(table_path(robot))


def segment_distance(p: Array, q: Array, r: Array, s: Array) -> float:
    """By brute force: 201 x 201 points of two segments."""
    t = np.linspace(0.0, 1.0, 201)[:, None]
    a, b = p + t * (q - p), r + t * (s - r)
    return float(np.linalg.norm(a[:, None] - b[None], axis=2).min())


class Whole:
    """Depths by the whole MJCF's own capsules."""

    def __init__(self, robot: RobotModel) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
        self.data = mujoco.MjData(self.model)
        self._joints = [int(self.model.joint(name).qposadr[0]) for name in robot.joint_names]

    def axis(self, name: str) -> tuple[Array, Array, float]:
        g = self.model.geom(name).id
        along = self.data.geom_xmat[g].reshape(3, 3)[:, 2] * self.model.geom_size[g, 1]
        return self.data.geom_xpos[g] - along, self.data.geom_xpos[g] + along, float(self.model.geom_size[g, 0])

    def set(self, qpos: Array, joints: Array) -> None:
        self.data.qpos[:7] = qpos[:7]
        self.data.qpos[self._joints] = joints
        mujoco.mj_kinematics(self.model, self.data)

    def depth(self, a: str, b: str) -> float:
        p, q, ra = self.axis(a)
        r, s, rb = self.axis(b)
        return ra + rb - segment_distance(p, q, r, s)


def test_parallel_segments_face_each_other_between_the_ends_of_their_overlap():
    up = (0.0, 0.0, 1.0)
    ends = overlap_ends((0.0, 0.0, 0.0), up, 1.0, (0.1, 0.0, 1.5), up, 1.0)  # overlap: z from 0.5 to 1
    assert sorted(here[2] for _, here, _ in ends) == [0.5, 1.0]
    assert sorted(there[2] for _, _, there in ends) == [0.5, 1.0]
    assert [distance for distance, _, _ in ends] == pytest.approx([0.1, 0.1])


def test_nearly_parallel_capsules_that_are_near_between_their_ends_alone_make_no_row(kinematics: Kinematics):
    """Two that cross at 20 degrees, just near enough in the middle and not at any end, with nothing else near."""
    data = mujoco.MjData(kinematics.model)
    avoidance = Avoidance(kinematics, data, (KeepApart(("left_forearm",), ("left_thigh",)),))
    a, b = int(avoidance.first[0]), int(avoidance.second[0])
    surface, tilt = kinematics.radii[a] + kinematics.radii[b], np.radians(20.0)
    data.geom_xmat[[a, b]] = np.eye(3).reshape(-1)
    data.geom_xmat[b] = [1.0, 0.0, 0.0, 0.0, np.cos(tilt), -np.sin(tilt), 0.0, np.sin(tilt), np.cos(tilt)]
    nv, capacity = kinematics.model.nv, MOST
    rows = Rows(np.zeros((capacity, nv)), np.zeros(capacity), np.zeros(capacity))
    for gap, expected in ((NEAR_M - 1e-6, 0), (0.0, 2)):
        data.geom_xpos[a], data.geom_xpos[b] = (0.0, 0.0, 0.0), (surface + gap, 0.0, 0.0)
        rows.start(0)
        avoidance.measure(rows)
        assert rows.count == expected


def test_pairs_are_counted_once_and_a_wrong_name_says_the_nearest(kinematics: Kinematics):
    entry = KeepApart(("left_hand", "right_hand"), ("pelvis", "left_hand", "right_hand"))
    names = [{kinematics.capsule_names[i] for i in pair} for pair in capsule_pairs(kinematics, (entry, entry))]
    assert len(names) == 3
    for wanted in ({"left_hand", "pelvis"}, {"right_hand", "pelvis"}, {"left_hand", "right_hand"}):
        assert wanted in names
    with pytest.raises(TableError, match="keep_apart names 'left_tigh', but no capsule .* nearest is 'left_thigh'"):
        capsule_pairs(kinematics, (KeepApart(("left_tigh",), ("pelvis",)),))


def test_the_table_of_the_g1_keeps_hands_from_trunk_hips_and_each_other(kinematics: Kinematics, table: RetargetTable):
    names = kinematics.capsule_names
    pairs = {frozenset((names[a], names[b])) for a, b in capsule_pairs(kinematics, table.solver.keep_apart)}
    for side in ("left", "right"):
        hands, others = (f"{side}_hand", f"{side}_wrist"), ("pelvis", "chest", "left_hip", "right_hip", "left_thigh")
        assert all(frozenset(pair) in pairs for pair in itertools.product(hands, others))
    assert frozenset(("left_hand", "right_forearm")) in pairs and frozenset(("left_shin", "right_shin")) in pairs


def test_an_unknown_key_of_keep_apart_is_refused(robot: RobotModel):
    text = table_path(robot).read_text().replace('shapes = ["left_forearm"]', 'shaps = ["left_forearm"]')
    with pytest.raises(TableError, match=r"unknown key 'shaps' in \[solver.keep_apart\]; the nearest is 'shapes'"):
        parse_table(text)


@pytest.mark.parametrize("seed", range(3))
def test_gaps_and_gradients_are_those_of_the_capsules(robot: RobotModel, kinematics: Kinematics, seed: int):
    """Distances against brute force, gradients against finite differences."""
    entry = KeepApart(("left_hand", "left_wrist"), ("left_hip", "left_upper_thigh", "pelvis", "abdomen"))
    model, data, nv = kinematics.model, mujoco.MjData(kinematics.model), kinematics.model.nv
    avoidance, rng = Avoidance(kinematics, data, (entry,)), np.random.default_rng(seed)
    q = robot.q_stand.copy()
    q[robot.indices(["left_shoulder_roll_joint", "left_elbow_joint"])] = (0.05, 1.4)
    q += rng.uniform(-0.1, 0.1, robot.n)
    start = kinematics.qpos(np.array([0, 0, 0.8]), np.array([1.0, 0, 0, 0]), q)

    def rows_at(qpos: Array) -> Rows:
        rows = Rows(np.zeros((MOST, nv)), np.zeros(MOST), np.zeros(MOST))
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        avoidance.measure(rows)
        return rows

    rows = rows_at(start)
    assert rows.count > 0
    whole = Whole(robot)
    whole.set(start, q)
    deepest = max(whole.depth(a, b) for a in entry.shapes for b in entry.others)
    assert rows.gap[: rows.count].min() == pytest.approx(-deepest - CLEARANCE_M, abs=5e-4)
    assert rows.gap[: rows.count].max() < NEAR_M - CLEARANCE_M
    jacobian, gap, count = rows.jacobian[: rows.count].copy(), rows.gap[: rows.count].copy(), rows.count
    step, moved, checked = 1e-5, np.zeros(kinematics.model.nq), 0
    for direction in rng.normal(size=(6, nv)):
        moved[:] = start
        mujoco.mj_integratePos(model, moved, direction, step)
        after = rows_at(moved)
        if after.count == count:
            checked += 1
            np.testing.assert_allclose((after.gap[:count] - gap) / step, jacobian @ direction, atol=5e-3)
    assert checked >= 3


def pushed(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable, *, avoidance: bool, frames: int = 40
) -> tuple[float, Array]:
    """The left hand is asked 12 cm into the hip, from free: deepest hand in hip or thigh [m], joints of every frame."""
    family = table.for_family("mvn")
    settings = msgspec.structs.replace(table.solver, contacts=False, avoidance=avoidance)
    ids = kinematics.body_ids([m.robot for m in family.match])
    solver = FastSolver(kinematics, family.match, ids, family.stage, settings)
    data = mujoco.MjData(kinematics.model)
    data.qpos[:] = kinematics.qpos(np.array([0, 0, 0.78]), np.array([1.0, 0, 0, 0]), robot.q_stand)
    mujoco.mj_kinematics(kinematics.model, data)
    pos, quat = data.xpos[ids].copy(), data.xquat[ids].copy()
    rows = [m.robot for m in family.match]
    hand, seen = rows.index("left_wrist_yaw_link"), np.ones(len(rows), dtype=bool)
    hip = data.xpos[int(kinematics.body_ids(["left_hip_roll_link"])[0])] + (0.0, 0.02, -0.05)
    solver.acquire(Targets(pos, quat, seen), 0)
    whole, deepest, q = Whole(robot), -1.0, []
    start = pos[hand].copy()
    for i in range(frames):
        pos[hand] = start + min(1.0, i / 20.0) * (hip - start)
        found = solver.track(Targets(pos, quat, seen), DT)
        q.append(found[kinematics.qpos_index])
        whole.set(found, q[-1])
        for a, b in itertools.product(("left_hand", "left_wrist"), ("left_hip", "left_upper_thigh", "pelvis")):
            deepest = max(deepest, whole.depth(a, b))
    return deepest, np.array(q)


def test_a_hand_pushed_into_the_hip_stops_at_its_surface(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable
):
    free, _ = pushed(robot, kinematics, table, avoidance=False)
    held, q = pushed(robot, kinematics, table, avoidance=True)
    assert free > 0.015
    assert held < 0.005
    assert np.abs(np.diff(q, axis=0)).max() <= table.solver.joint_speed_limit_rad_s * DT + 1e-9


def test_a_hand_held_against_the_hip_does_not_rock(robot: RobotModel, kinematics: Kinematics, table: RetargetTable):
    """Once the target is still the joints come to rest."""
    _, q = pushed(robot, kinematics, table, avoidance=True, frames=120)
    assert np.abs(np.diff(q[-20:], axis=0)).max() < 1e-3  # 0.06 rad/s


def test_avoidance_can_be_switched_off_for_one_retargeter(robot: RobotModel, person: object):
    pose: HumanPose = person()  # type: ignore[operator]
    hands = [pose.skeleton.body_names.index(side + "Hand") for side in ("Left", "Right")]
    arms = [pose.skeleton.body_names.index(side + "ForeArm") for side in ("Left", "Right")]
    whole, depth = Whole(robot), {}
    for avoidance in (True, False):
        retargeter = Retargeter(robot, pose.skeleton, avoidance=avoidance)
        for i in range(60):
            pos, along = pose.pos_w.copy(), min(1.0, i / 30.0)
            for hand, arm, side in zip(hands, arms, (1.0, -1.0), strict=True):
                pos[arm] += along * (np.array([0.0, side * 0.16, 1.10]) - pos[arm])
                pos[hand] += along * (np.array([0.0, -side * 0.06, 0.88]) - pos[hand])
            t_ns = round((1 + i * DT) * 1e9)
            reference = retargeter.update(pose._replace(pos_w=pos, t_ns=t_ns, t_source_ns=t_ns))
            assert reference is not None
        whole.set(np.concatenate((reference.root_pos_w, reference.root_quat_w)), reference.q)
        depth[avoidance] = max(whole.depth(f"{s}_hand", b) for s in ("left", "right") for b in ("pelvis", f"{s}_hip"))
    assert depth[True] < 0.005 < depth[False]
