from __future__ import annotations

import tracemalloc

import msgspec
import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.model import Array, RobotModel
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.mink_solver import MinkSolver
from teleopd.service.retarget.one_sided import EXCHANGES, RESTS_M, Rows
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.solver import FastSolver, smoothing_weights
from teleopd.service.retarget.tables import RetargetTable, SolverSettings, load_table
from teleopd.service.retarget.targets import TargetMap, Targets

MVN_ROOT_ROW = 0


@pytest.fixture(scope="module")
def kinematics(robot: RobotModel) -> Kinematics:
    return Kinematics(robot)


@pytest.fixture(scope="module")
def table(robot: RobotModel) -> RetargetTable:
    return load_table(table_path(robot))


def make(kind: type[FastSolver] | type[MinkSolver], kinematics: Kinematics, table: RetargetTable):
    family = table.for_family("mvn")
    ids = kinematics.body_ids([m.robot for m in family.match])
    base = msgspec.structs.replace(table.solver, contacts=False, avoidance=False)
    return kind(kinematics, family.match, ids, family.stage, base)


def targets_of(kinematics: Kinematics, table: RetargetTable, qpos: Array) -> Targets:
    """Where the matched bodies are in a configuration, by MuJoCo."""
    data = mujoco.MjData(kinematics.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(kinematics.model, data)
    ids = kinematics.body_ids([m.robot for m in table.for_family("mvn").match])
    return Targets(data.xpos[ids].copy(), data.xquat[ids].copy(), np.ones(len(ids), dtype=bool))


def moved(robot: RobotModel, seed: int, size: float) -> Array:
    """The stand pose moved at random, inside the joint ranges."""
    limits = robot.limits
    q = robot.q_stand + np.random.default_rng(seed).uniform(-size, size, robot.n)
    return np.clip(q, limits.q_lower + 0.05, limits.q_upper - 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_a_reachable_pose_is_found_from_the_stand_pose(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable, seed: int
):
    turn = np.array([np.cos(0.4), 0.0, 0.1, np.sin(0.4)])
    wanted = kinematics.qpos(np.array([1.0, -2.0, 0.7]), turn / np.linalg.norm(turn), moved(robot, seed, 0.5))
    targets, solver = targets_of(kinematics, table, wanted), make(FastSolver, kinematics, table)
    start = solver.objective(kinematics.qpos(wanted[:3], wanted[3:7], robot.q_stand), targets)
    found = solver.acquire(targets, MVN_ROOT_ROW)
    assert solver.objective(found, targets) < 1e-3 * start
    for _ in range(40):
        found = solver.track(targets, 1.0 / 60.0)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_no_joint_moves_faster_than_the_limit_or_leaves_its_range(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable
):
    solver, limits = make(FastSolver, kinematics, table), robot.limits
    home = kinematics.qpos(np.array([0, 0, 0.78]), np.array([1.0, 0, 0, 0]), robot.q_stand)
    near = targets_of(kinematics, table, home)
    before = solver.acquire(near, MVN_ROOT_ROW)[kinematics.qpos_index]
    far = kinematics.qpos(np.array([0, 0, 0.78]), np.array([1.0, 0, 0, 0]), robot.q_stand + 3.0)
    targets, fastest = targets_of(kinematics, table, far), 0.0
    for _ in range(30):
        q = solver.track(targets, 0.01)[kinematics.qpos_index]
        fastest = max(fastest, float(np.abs(q - before).max()) / 0.01)
        assert np.all(q >= limits.q_lower - 1e-9) and np.all(q <= limits.q_upper + 1e-9)
        before = q
    assert fastest <= table.solver.joint_speed_limit_rad_s + 1e-6
    assert fastest > 0.9 * table.solver.joint_speed_limit_rad_s  # the box was what stopped it


def test_untracked_bodies_pull_at_nothing(robot: RobotModel, kinematics: Kinematics, table: RetargetTable):
    solver = make(FastSolver, kinematics, table)
    home = kinematics.qpos(np.array([0, 0, 0.78]), np.array([1.0, 0, 0, 0]), robot.q_stand)
    targets = targets_of(kinematics, table, home)
    held = solver.acquire(targets, MVN_ROOT_ROW)
    names = [m.robot for m in table.for_family("mvn").match]
    hand = names.index("left_wrist_yaw_link")
    wrong = targets.pos.copy()
    wrong[hand] += (0.3, 0.3, 0.3)
    seen = targets.seen.copy()
    seen[hand] = False
    ignored = solver.track(Targets(wrong, targets.quat, seen), 1.0 / 60.0)
    np.testing.assert_allclose(ignored, held, atol=1e-3)
    followed = solver.track(Targets(wrong, targets.quat, targets.seen), 1.0 / 60.0)
    assert np.abs(followed - held).max() > 0.05


def test_mink_agrees_frame_by_frame(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable, walk: list[HumanPose]
):
    """Two implementations of one problem: same joints within 0.01 rad, same objective within 2 %."""
    family = table.for_family("mvn")
    mapping = TargetMap(table, walk[0].skeleton, kinematics, Calibration.from_pose(walk[0], family))
    fast, slow = make(FastSolver, kinematics, table), make(MinkSolver, kinematics, table)
    first = mapping(walk[0])
    np.testing.assert_allclose(fast.acquire(first, 0), slow.acquire(first, 0), atol=0.01)
    for pose in walk[1:60]:
        targets = mapping(pose)
        a, b = fast.track(targets, 1.0 / 120.0), slow.track(targets, 1.0 / 120.0)
        np.testing.assert_allclose(a, b, atol=0.01)
        assert fast.objective(a, targets) == pytest.approx(fast.objective(b, targets), rel=0.02, abs=0.02)


@pytest.mark.parametrize(
    ("hz", "steps"), [(10.0, 3), (30.0, 3), (42.0, 3), (45.0, 2), (60.0, 2), (80.0, 2), (90.0, 1), (120.0, 1)]
)
def test_steps_a_frame_depend_on_the_rate_alone(hz: float, steps: int):
    assert SolverSettings(iterations=3).iterations_for(1.0 / hz) == steps


def test_smoothing_factors_go_by_the_first_matching_pattern():
    settings = SolverSettings(smoothing=10.0, smoothing_factors={"waist_*": 4.0, "*_yaw_joint": 2.0})
    weights = smoothing_weights(settings, ("waist_yaw_joint", "left_hip_yaw_joint", "left_knee_joint"))
    np.testing.assert_array_equal(weights, (40.0, 20.0, 10.0))


def test_the_reduced_model_has_the_robots_kinematics(robot: RobotModel, kinematics: Kinematics):
    whole = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data = mujoco.MjData(whole)
    q = moved(robot, 7, 0.6)
    data.qpos[:7] = (0, 0, 0, 1, 0, 0, 0)
    for name, value in zip(robot.joint_names, q, strict=True):
        data.qpos[whole.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(whole, data)
    pos, quat = kinematics.bodies(q)
    for name in ("left_wrist_yaw_link", "right_ankle_roll_link", "torso_link"):
        i = int(kinematics.body_ids([name])[0])
        np.testing.assert_allclose(pos[i], data.body(name).xpos, atol=1e-9)
        np.testing.assert_allclose(quat[i], data.body(name).xquat, atol=1e-9)


def test_an_unknown_body_lists_the_bodies(kinematics: Kinematics):
    with pytest.raises(ValueError, match="unitree_g1 has no body 'tail'; it has: .*torso_link"):
        kinematics.body_ids(["tail"])


def rows_of(jacobian: Array) -> tuple[Rows, Array, Array]:
    """Constraint rows on arrays of their own, with those arrays' weights and residual."""
    weights, residual = np.zeros(len(jacobian)), np.zeros(len(jacobian))
    rows = Rows(jacobian, weights, residual)
    rows.count, rows.wanted[:] = len(jacobian), 1e5
    return rows, weights, residual


def test_only_negative_gaps_and_standing_rows_take_part():
    rows, weights, residual = rows_of(np.eye(4))
    rows.gap[:] = (-0.01, 0.02, 0.03, -0.04)
    rows.stand(np.array([2]))
    rows.wanted[3] = 0.0
    rows.take_part()
    np.testing.assert_array_equal(weights, (1e5, 0.0, 1e5, 0.0))
    np.testing.assert_array_equal(residual, (0.01, -0.02, -0.03, 0.04))


def test_a_row_that_took_part_goes_on_where_it_rests_and_a_new_one_does_not():
    rows, weights, _ = rows_of(np.eye(3))
    rows.gap[:] = (-0.01, -0.01, 1e-4)
    rows.take_part()
    rows.gap[:] = (0.9 * RESTS_M, 1.1 * RESTS_M, 1e-4)
    rows.take_part()
    np.testing.assert_array_equal(weights > 0.0, (True, False, False))
    rows.start(0)
    rows.count = 3
    rows.take_part()
    assert not weights.any()


@pytest.mark.parametrize(
    ("gap", "unconstrained", "expected"),
    [
        (0.05, -0.2, -0.05),  # free at first, then violated: solved again, stops at the surface
        (0.05, -0.03, -0.03),  # never touched
        (-0.02, -0.2, 0.02),  # inside: pushed out to the surface
        (-0.02, 0.3, 0.3),  # inside, but already leaving: not held back
    ],
)
def test_one_correction_gives_the_constrained_minimum(gap: float, unconstrained: float, expected: float):
    """Minimise (x - unconstrained)^2 / 2 with gap + x >= 0, in one variable beside a free one."""
    rows, weights, residual = rows_of(np.array([[1.0, 0.0]]))
    rows.gap[0] = gap
    rows.take_part()
    weighted = rows.jacobian * weights[:, None]
    hessian = np.eye(2) + weighted.T @ rows.jacobian
    gradient = -np.array([unconstrained, 0.7]) - residual @ weighted
    step = np.linalg.solve(hessian, -gradient)
    if rows.correct(hessian, gradient, step):
        step = np.linalg.solve(hessian, -gradient)
    np.testing.assert_allclose(step, (expected, 0.7), atol=1e-5)


def test_rows_that_hang_together_take_more_than_one_exchange():
    """Minimise |x - (-1, -1)|^2 / 2 with x >= 0, y - x + 0.5 >= 0: the second is missed only once the first holds."""
    rows, weights, residual = rows_of(np.array([[1.0, 0.0], [-1.0, 1.0]]))
    rows.gap[:] = 0.0, 0.5
    rows.take_part()
    weighted = rows.jacobian * weights[:, None]
    hessian, gradient = np.eye(2) + weighted.T @ rows.jacobian, np.array([1.0, 1.0]) - residual @ weighted
    step, solved = np.linalg.solve(hessian, -gradient), 0
    while rows.correct(hessian, gradient, step):
        step, solved = np.linalg.solve(hessian, -gradient), solved + 1
    assert solved == 2 <= EXCHANGES
    np.testing.assert_allclose(step, (0.0, -0.5), atol=1e-4)


def test_a_standing_row_is_held_from_both_sides():
    for unconstrained in (-0.3, 0.3):
        rows, weights, residual = rows_of(np.array([[1.0]]))
        rows.gap[0] = 0.01
        rows.stand(np.array([0]))
        rows.take_part()
        hessian = np.eye(1) + weights[0]
        gradient = np.array([-unconstrained - residual[0] * weights[0]])
        step = np.linalg.solve(hessian, -gradient)
        assert not rows.correct(hessian, gradient, step)
        np.testing.assert_allclose(step, -0.01, atol=1e-5)


def test_gaps_move_along_their_gradients():
    rows, _, _ = rows_of(np.array([[1.0, 0.0], [0.0, 2.0]]))
    rows.gap[:] = (0.1, 0.2)
    rows.advance(1, np.array([5.0, -0.05]))
    np.testing.assert_allclose(rows.gap, (0.1, 0.1))


def test_the_full_solver_grows_nothing_in_steady_state(robot: RobotModel, walk: list[HumanPose]):
    retargeter = Retargeter(robot, walk[0].skeleton)
    for pose in walk[:60]:
        retargeter.update(pose)
    tracemalloc.start()
    try:
        for pose in walk[60:90]:
            retargeter.update(pose)
        before = tracemalloc.take_snapshot()
        for pose in walk[90:180]:
            retargeter.update(pose)
        grown = tracemalloc.take_snapshot().compare_to(before, "filename")
    finally:
        tracemalloc.stop()
    ours = sum(entry.size_diff for entry in grown if "retarget" in entry.traceback[0].filename)
    assert ours < 16_000  # 90 frames of one 36-vector would be 26 kB; the velocity window holds a few


def test_a_wrist_turned_the_wrong_way_round_is_found(robot: RobotModel, kinematics: Kinematics, table: RetargetTable):
    """The joints above a body are its own limb's, nearest first."""
    body = int(kinematics.body_ids(["left_wrist_yaw_link"])[0])
    names = [robot.joint_names[i] for i in kinematics.joints_above(body, 3)]
    assert names == ["left_wrist_yaw_joint", "left_wrist_pitch_joint", "left_wrist_roll_joint"]
    assert len(kinematics.joints_above(body, 99)) == 10  # seven of the arm, three of the waist


@pytest.mark.parametrize("seed", range(6))
def test_acquisition_of_random_reachable_poses_ends_in_their_basin(
    robot: RobotModel, kinematics: Kinematics, table: RetargetTable, seed: int
):
    turn = np.array([1.0, 0.0, 0.0, 0.0])
    wanted = kinematics.qpos(np.array([0.0, 0.0, 0.75]), turn, moved(robot, 100 + seed, 0.9))
    targets, solver = targets_of(kinematics, table, wanted), make(FastSolver, kinematics, table)
    assert isinstance(solver, FastSolver)
    found = solver.acquire(targets, MVN_ROOT_ROW)
    assert solver.objective(found, targets) < 20.0
