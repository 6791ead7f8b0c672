"""One foot, part by part: the floor under it, its lock, what of it is placed; and the pelvis that sits."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from teleopd.robots.catalog import load_robot
from teleopd.robots.model import RobotModel
from teleopd.service.retarget.contacts import seat_of
from teleopd.service.retarget.floor import Ground, SourceFloor, clearance, follow_floor, of_foot, smoothstep, whole_body
from teleopd.service.retarget.floor_rows import BODY_NEAR_M, MOST_BODY, BodyFloor
from teleopd.service.retarget.foot import PLANT_S, SWING, FootContact, forget_foot, lose_foot, pivot, place, plant
from teleopd.service.retarget.grounding import CROUCHED, UPRIGHT_HEIGHT, stand
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows
from teleopd.service.retarget.stance import LEAVES_M_S, following
from teleopd.service.retarget.toe_lock import (
    LEASH_M,
    MOVES_M_S,
    TURNED_RAD,
    HeldTurn,
    ToeLock,
    ankle_shift,
    hold_turn,
    lock_toe,
)

DT = 1.0 / 60.0
UP = (1.0, 0.0, 0.0, 0.0)


def test_the_floor_falls_fast_rises_slowly_and_only_under_a_flat_foot():
    floor, slow = SourceFloor(0.02, 0.08), (0.0, 0.0)
    follow_floor(floor, (0.01, 0.07), slow, 0.0, True, 0.05)
    assert floor.toe_z == pytest.approx(0.02 - 0.01 * 6.0 * 0.05)
    assert floor.ankle_z == pytest.approx(0.08 - 0.01 * 6.0 * 0.05)
    floor = SourceFloor(0.02, 0.08)
    follow_floor(floor, (0.03, 0.10), slow, 0.0, True, 0.05)
    assert floor.toe_z == pytest.approx(0.02 + 0.01 * 0.6 * 0.05)
    assert floor.ankle_z == pytest.approx(0.08 + 0.02 * 0.6 * 0.05)
    for tilt, upright, speeds in ((0.3, True, slow), (0.0, False, slow), (0.0, True, (0.31, 0.31))):
        floor = SourceFloor(0.02, 0.08)
        follow_floor(floor, (0.03, 0.10), speeds, tilt, upright, 0.05)
        assert floor.ankle_z == 0.08  # a boxer's raised heel is not a floor
    follow_floor(floor, (0.20, 0.26), slow, 0.0, True, 0.05)
    assert (floor.toe_z, floor.ankle_z) == (0.02, 0.08)  # a foot held up is not either


@pytest.mark.parametrize(("toe", "ankle", "wanted"), [(0.0, 0.1, 0.0), (0.1, 0.0, 0.0), (0.1, 0.2, 0.8 * 0.094)])
def test_clearance_is_that_of_the_lower_end_of_the_foot(toe: float, ankle: float, wanted: float):
    assert clearance(toe, ankle, 0.8) == pytest.approx(wanted)


def test_the_common_shift_follows_only_feet_that_stand_and_the_rest_is_bounded():
    ground = Ground(0.8, 0.9, [])
    assert whole_body(ground, (0.03, -0.01), (True, True), DT) == -0.01
    held = whole_body(ground, (0.5, 0.5), (False, False), 1.0)
    assert held == -0.01
    after = whole_body(ground, (0.02, 0.02), (True, False), 1.0)
    assert after == pytest.approx(-0.01 + 0.03 * (1.0 - math.exp(-1.0)))
    assert of_foot(0.5, 0.0) == 0.10 and of_foot(-0.5, 0.0) == -0.10
    assert of_foot(0.03, 0.01) == pytest.approx(0.02)


def test_smoothstep_is_flat_at_both_ends():
    assert [smoothstep(x, 1.0, 3.0) for x in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_lock_holds_its_anchor_leaks_slowly_and_is_dragged_on_its_leash():
    lock = ToeLock()
    lock_toe(lock, True, (0.0, 0.0), (0.01, 0.0), DT, 0.0)
    for i in range(1, 31):
        target = (-0.001 * i, 0.0)
        lock_toe(lock, True, target, (9.0, 9.0), DT, 0.0)  # only the first frame's toe counts
    held = target[0] + lock.x
    assert lock.weight == 1.0
    assert 0.01 - 30 * 0.04 * 0.15 * DT < held < 0.01  # no more than the leak of at most 4 cm
    lock_toe(lock, True, (-1.0, 0.0), (9.0, 9.0), DT, 0.0)
    assert math.hypot(lock.x, lock.y) == pytest.approx(LEASH_M)


def test_a_toe_that_moves_takes_its_lock_along():
    """A foot that pivots at 0.33 m/s while it stands: half its motion is followed; at rest none of it."""
    held = {}
    for pace in (0.0, 0.33, 0.5):
        lock = ToeLock()
        for i in range(10):
            target = (0.33 * i * DT, 0.0)
            lock_toe(lock, True, target, (0.0, 0.0), DT, pace)
        held[pace] = target[0] + lock.x
    assert abs(held[0.0]) < 0.002
    assert 0.25 * target[0] < held[0.33] < target[0]
    assert held[0.5] == pytest.approx(target[0], abs=1e-9)


def test_a_release_fades_without_a_step():
    lock = ToeLock()
    for _ in range(10):
        lock_toe(lock, True, (0.0, 0.0), (0.03, 0.0), DT, 0.0)
    shifts = [ankle_shift(lock)[0]]
    for _ in range(40):
        lock_toe(lock, False, (0.0, 0.0), (0.0, 0.0), DT, 0.0)
        shifts.append(ankle_shift(lock)[0])
    steps = np.abs(np.diff(shifts))
    assert steps.max() < 0.006  # of 30 mm
    assert abs(shifts[-1]) < 1e-4 and lock.weight == 0.0


def test_a_foot_that_comes_to_rest_turned_stays_turned_and_gives_in_slowly():
    turn = HeldTurn()
    assert hold_turn(turn, False, -0.9, 0.0, DT) == 0.0
    first = hold_turn(turn, True, -0.9, 0.0, DT)
    assert first == pytest.approx(-0.9 + TURNED_RAD, rel=0.01)
    for _ in range(60):
        held = hold_turn(turn, True, 0.5, 0.0, DT)  # only how it was turned at first counts
    assert 0.75 * first > held > first
    for _ in range(30):
        held = hold_turn(turn, False, 0.5, 0.0, DT)
    assert abs(held) < 0.001
    assert hold_turn(turn, True, 0.5 * TURNED_RAD, 0.0, DT) == 0.0  # as good as straight


LONGER_M = 0.09
"""What the robot's toe is farther ahead than the person's."""


def foot_of_a_giant() -> FootContact:
    corners = [[-0.06, 0.03, -0.04], [-0.06, -0.03, -0.04], [0.22, 0.03, -0.04], [0.22, -0.03, -0.04]]
    soles = np.array(corners)
    foot = FootContact.of(0, 1, soles, 0.005, np.array([0.22 - LONGER_M, 0.0, -0.04]), SourceFloor(0.0, 0.0), 1.0)
    foot.quat, foot.seen = [*UP], True
    return foot


def headed(yaw: float) -> list[float]:
    return [math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)]


def test_a_longer_toe_has_the_pace_of_its_swing_as_the_foot_pivots():
    foot, rate = foot_of_a_giant(), 1.3
    for i in range(30):
        foot.quat = headed(rate * i * DT)
        pivot(foot, following(DT), DT)
        assert i or foot.pace_m_s == 0.0
    assert foot.pace_m_s == pytest.approx(SWING * LONGER_M * rate, rel=0.01)
    foot.stance.pace_m_s = 0.4
    for _ in range(30):
        pivot(foot, following(DT), DT)  # at rest again: the person's own toe alone counts
    assert foot.pace_m_s == pytest.approx(0.4)
    for forget in (forget_foot, lose_foot):
        forget(foot)
        foot.quat = [-foot.quat[3], 0.0, 0.0, foot.quat[0]]  # turned round while nobody looked
        foot.stance.pace_m_s = 0.4
        pivot(foot, following(DT), DT)
        assert foot.pace_m_s == pytest.approx(0.4)
    foot.quat = [math.sqrt(0.5), 0.0, -math.sqrt(0.5), 0.0]  # points at the sky: says nothing of a heading
    pivot(foot, following(DT), DT)
    assert not foot.headed and foot.pace_m_s == pytest.approx(0.4)


@pytest.mark.parametrize("hz", [30.0, 60.0, 120.0, 240.0])
def test_noise_of_a_foot_at_rest_is_no_pivot(hz: float):
    """0.02 rad of noise; a toe that moves below `MOVES_M_S` is held."""
    foot, rng, paces = foot_of_a_giant(), np.random.default_rng(7), []
    for _ in range(1000):
        foot.quat = headed(0.02 * rng.normal())
        pivot(foot, following(1.0 / hz), 1.0 / hz)
        paces.append(foot.pace_m_s)
    assert max(paces) < 0.6 * MOVES_M_S


def test_a_foot_that_pivots_about_a_resting_toe_takes_its_lock_along():
    """Through a whole frame: the lock is at rest, the person's toe too, and the foot turns about it."""
    ground, feet, rate = Ground(1.0, 1.0, []), [foot_of_a_giant(), foot_of_a_giant()], 8.0
    for i in range(60):
        for foot in feet:
            foot.robot.known, foot.pos, foot.quat = True, [0.0, 0.0, 0.045], headed(rate * max(0, i - 30) * DT)
        stand(ground, feet, UP, 1.0, DT)
        if i == 29:
            assert feet[0].stance.stands and feet[0].pace_m_s < 0.01
    assert feet[0].stance.stands and feet[0].stance.pace_m_s < 0.01
    assert feet[0].pace_m_s > MOVES_M_S


def test_a_foot_that_is_seen_again_has_no_speed_from_where_it_was_lost():
    ground, feet = Ground(1.0, 1.0, []), [foot_of_a_giant(), foot_of_a_giant()]
    for i in range(40):
        foot = feet[0]
        foot.seen = not 10 <= i < 20
        at = 0.0 if i < 10 else 0.8
        foot.human_toe_w, foot.human_ankle_w = [at + 0.15, 0.0, 0.0], [at, 0.0, 0.05]
        for each in feet:
            each.robot.known, each.pos, each.quat = True, [at, 0.0, 0.045], [*UP]
        stand(ground, feet, UP, 1.0, DT)
        if i == 9:
            assert foot.stance.stands
        if 10 <= i < 20:
            assert not foot.stance.stands
        if i >= 20:
            assert foot.toe_speed.m_s < 1e-9 and foot.stance.stands


def test_a_first_frame_places_every_foot_by_its_ankle():
    ground, feet = Ground(1.0, 1.0, []), [foot_of_a_giant(), foot_of_a_giant()]
    for known, planted in ((False, 0.0), (True, 1.0 - math.exp(-DT / PLANT_S))):
        for foot in feet:
            foot.robot.known, foot.pos, foot.quat = known, [0.0, 0.0, 0.045], [*UP]
        stand(ground, feet, UP, 1.0, DT)
        assert feet[0].planted == pytest.approx(planted)


def test_a_foot_in_the_air_is_placed_by_its_ankle_and_one_that_rests_by_its_toe():
    """A heel is up 30 degrees: where the person's toe rests, a longer foot's ankle has to be behind theirs."""
    foot = foot_of_a_giant()
    for pace, planted in ((0.0, 1.0), (2.0 * LEAVES_M_S, 0.0)):
        foot.stance.pace_m_s = pace
        for _ in range(round(8 * PLANT_S / DT)):
            plant(foot, DT)
        assert foot.planted == pytest.approx(planted, abs=1e-3)
        half = math.radians(30.0) / 2.0
        foot.quat, foot.pos = [math.cos(half), 0.0, math.sin(half), 0.0], [0.0, 0.0, 0.1]
        place(foot, (foot.quat[0], foot.quat[1], foot.quat[2], foot.quat[3]))
        behind = LONGER_M * (1.0 - math.cos(math.radians(30.0)))
        assert foot.pos[0] == pytest.approx(planted * behind, abs=1e-4)
        assert foot.pos[1:] == [0.0, 0.1]


def test_locks_let_go_gradually_as_a_person_crouches():
    weights = []
    for height in np.linspace(0.6, 0.3, 31):
        ground, feet = Ground(1.0, 1.0, []), [foot_of_a_giant(), foot_of_a_giant()]
        for foot in feet:
            foot.robot.known = True
        for _ in range(5):
            for foot in feet:
                foot.pos = [0.0, 0.0, 0.045]
            stand(ground, feet, UP, float(height), DT)
        weights.append(feet[0].lock.weight)
    assert weights[0] == 1.0 and weights[-1] == 0.0
    steps = np.diff(weights)
    assert (steps <= 0.0).all() and steps.min() > -0.15
    assert weights[round((0.6 - CROUCHED) / 0.01)] == 1.0 and weights[round((0.6 - UPRIGHT_HEIGHT) / 0.01)] == 0.0


@pytest.mark.parametrize("name", ["unitree_g1", "unitree_h1", "unitree_h1_2"])
def test_a_pelvis_is_asked_to_sit_on_the_floor_and_not_in_it(name: str):
    """However it is turned, as its thighs point ahead: by the robot's own capsules."""
    kinematics, rng = Kinematics(load_robot(name)), np.random.default_rng(2)
    seat, robot = seat_of(kinematics), kinematics.robot
    assert len(seat) == 6
    model, data = kinematics.model, mujoco.MjData(kinematics.model)
    sat_on = [i for i, each in enumerate(kinematics.capsule_names) if each in ("pelvis", "left_hip", "right_hip")]
    for _ in range(20):
        turn = rng.normal(size=4)
        turn /= np.linalg.norm(turn)
        feet = [foot_of_a_giant(), foot_of_a_giant()]
        for foot in feet:
            foot.seen = False
        w, x, y, z = turn.tolist()
        _, pelvis_z = stand(Ground(robot.stand_height_m, 1.0, seat), feet, (w, x, y, z), 0.0, DT)
        sitting = np.array([-math.pi / 2.0 if "hip_pitch" in each else 0.0 for each in robot.joint_names])
        data.qpos[:] = kinematics.qpos(np.array([0.0, 0.0, pelvis_z]), turn, sitting)
        mujoco.mj_kinematics(model, data)
        along = np.abs(data.geom_xmat[sat_on, 8]) * kinematics.half_lengths[sat_on]
        lowest = (data.geom_xpos[sat_on, 2] - along - kinematics.radii[sat_on]).min()
        assert lowest == pytest.approx(0.0, abs=1e-9)
    _, pelvis_z = stand(Ground(robot.stand_height_m, 1.0, seat), feet, UP, 0.9 * robot.stand_height_m, DT)
    assert pelvis_z == pytest.approx(0.9 * robot.stand_height_m)


def test_rows_of_a_body_on_the_floor_are_mujocos(robot: RobotModel):
    """Gap and gradient of every end that is near the floor, against `mj_jac` at that point."""
    kinematics, rng = Kinematics(robot), np.random.default_rng(6)
    model, data = kinematics.model, mujoco.MjData(kinematics.model)
    floor = BodyFloor(kinematics, data)
    rows = Rows(np.zeros((MOST_BODY, model.nv)), np.zeros(MOST_BODY), np.zeros(MOST_BODY))
    turn = rng.normal(size=4)
    q = rng.uniform(robot.limits.q_lower, robot.limits.q_upper)
    data.qpos[:] = kinematics.qpos(np.array([0.3, -0.2, 0.25]), turn / np.linalg.norm(turn), q)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    rows.start(0)
    floor.measure(rows)
    expected = []
    for geom in range(model.ngeom):
        for side in (-1.0, 1.0):
            end = data.geom_xpos[geom] + side * kinematics.half_lengths[geom] * data.geom_xmat[geom, 2::3]
            gap = float(end[2] - kinematics.radii[geom])
            if gap < BODY_NEAR_M:
                jacobian = np.zeros((3, model.nv))
                mujoco.mj_jac(model, data, jacobian, None, end, int(model.geom_bodyid[geom]))
                expected.append((gap, jacobian[2]))
    expected.sort(key=lambda row: row[0])
    assert 4 < rows.count == min(len(expected), MOST_BODY)
    for k in range(rows.count):
        assert rows.gap[k] == pytest.approx(expected[k][0])
        np.testing.assert_allclose(rows.jacobian[k], expected[k][1], atol=1e-12)
