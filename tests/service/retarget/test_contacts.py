"""Feet on the floor, through the retargeter, on motions whose right answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.model import Reference, RobotModel
from teleopd.service.retarget.retargeter import Retargeter

Person = Callable[..., HumanPose]
HZ = 60.0
DT = 1.0 / HZ
LEG = {side: [MVN.body_names.index(side + part) for part in ("Foot", "Toe")] for side in ("Left", "Right")}


def used(reference: Reference | None) -> Reference:
    assert reference is not None
    return reference


class Robot:
    """Where soles, toes and capsules of a reference are, by the whole MJCF."""

    def __init__(self, robot: RobotModel) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
        self.data = mujoco.MjData(self.model)
        self._joints = [int(self.model.joint(name).qposadr[0]) for name in robot.joint_names]
        self._soles = [self.model.site(name).id for name in robot.sole_sites]
        self._capsules = [
            i for i in range(self.model.ngeom)
            if self.model.geom_type[i] == mujoco.mjtGeom.mjGEOM_CAPSULE and self.model.geom_group[i] == 3
        ]  # fmt: skip

    def at(self, reference: Reference) -> Robot:
        self.data.qpos[:7] = np.concatenate((reference.root_pos_w, reference.root_quat_w))
        self.data.qpos[self._joints] = reference.q
        mujoco.mj_kinematics(self.model, self.data)
        return self

    @property
    def soles_z(self) -> np.ndarray:
        return self.data.site_xpos[self._soles, 2].copy()

    @property
    def toes(self) -> np.ndarray:
        return np.array([self.data.site(f"{side}_toe").xpos for side in ("left", "right")])

    @property
    def lowest_capsule(self) -> float:
        i, m, d = self._capsules, self.model, self.data
        return float(np.min(d.geom_xpos[i, 2] - np.abs(d.geom_xmat[i, 8]) * m.geom_size[i, 1] - m.geom_size[i, 0]))


@pytest.fixture(scope="module")
def body(robot: RobotModel) -> Robot:
    return Robot(robot)


def moved_foot(pose: HumanPose, side: str, by: Any) -> HumanPose:
    """The pose with one foot moved [m]: the knee's place is left to the solver."""
    pos = pose.pos_w.copy()
    pos[LEG[side]] += by
    return pose._replace(pos_w=pos)


def test_a_foot_that_pivots_where_it_stands_is_not_swung_aside(robot: RobotModel, person: Person):
    """The left foot turns 40 degrees about its ankle within 2 s: the robot's, which stands wider, stays as well."""
    retargeter, ankle = Retargeter(robot, MVN), MVN.body_names.index("LeftFoot")
    row, places = 4, []
    for i in range(120):
        half = math.radians(40.0) * i / 120 / 2.0
        pose = person(t_s=1 + i * DT, seq=i)
        quat = pose.quat_w.copy()
        quat[LEG["Left"]] = math.cos(half), 0.0, 0.0, math.sin(half)
        c, s, pos = math.cos(2 * half), math.sin(2 * half), pose.pos_w.copy()
        toe = LEG["Left"][1]
        pos[toe, :2] = pos[ankle, :2] + np.array([[c, -s], [s, c]]) @ (pos[toe, :2] - pos[ankle, :2])
        used(retargeter.update(pose._replace(pos_w=pos, quat_w=quat)))
        target_map = retargeter.target_map
        assert target_map is not None and target_map.matches[row].human == "LeftFoot"
        places.append(target_map(pose._replace(pos_w=pos, quat_w=quat)).pos[row, :2].copy())
    assert np.ptp(np.array(places), axis=0).max() < 0.001
    target_map.sideways[:] = math.nan  # by the foot's own heading it would have gone far
    swung = target_map(pose._replace(pos_w=pos, quat_w=quat)).pos[row, :2] - places[-1]
    assert np.linalg.norm(swung) > 0.03


def test_a_foot_in_the_air_comes_to_the_side_of_the_pelvis(robot: RobotModel, person: Person):
    """The whole person turns 90 degrees in flight: feet land at the robot's hip width, not in front of one another."""
    retargeter = Retargeter(robot, MVN)
    for i in range(60):
        yaw = min(max(i - 10, 0) / 30.0, 1.0) * math.pi / 2.0
        used(retargeter.update(person(yaw=yaw, z=0.3 if i > 5 else 0.0, t_s=1 + i * DT, seq=i)))
    contacts = retargeter._contacts
    assert contacts is not None
    for sideways in contacts.sideways:
        np.testing.assert_allclose(sideways, (-1.0, 0.0), atol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_no_sole_enters_the_floor_whatever_the_feet_are_asked_to_do(
    robot: RobotModel, body: Robot, person: Person, seed: int
):
    """Feet jump about, up to 15 cm below the floor, five times a second."""
    rng, retargeter = np.random.default_rng(seed), Retargeter(robot, MVN)
    lowest, wanted_below = 0.0, False
    by = {"Left": np.zeros(3), "Right": np.zeros(3)}
    for i in range(60):
        if i % 12 == 11:
            by = {side: rng.uniform((-0.1, -0.05, -0.15), (0.2, 0.05, 0.2)) for side in by}
        pose = person(t_s=1 + i * DT, seq=i)
        for side, offset in by.items():
            pose = moved_foot(pose, side, offset)
            wanted_below |= bool(offset[2] < -0.05)
        lowest = min(lowest, float(body.at(used(retargeter.update(pose))).soles_z.min()))
    assert wanted_below
    assert lowest > -0.005


def test_a_locked_toe_does_not_move_under_a_sliding_noisy_target(robot: RobotModel, body: Robot, person: Person):
    """The person's left foot slides 4 cm/s forward with 2 mm of noise; unlocked, the robot's toe goes along."""
    slid = {}
    for contacts in (True, False):
        rng, retargeter = np.random.default_rng(1), Retargeter(robot, MVN, contacts=contacts)
        path = []
        for i in range(90):
            noise = rng.normal(0.0, 2e-3, 3)
            pose = moved_foot(person(t_s=1 + i * DT, seq=i), "Left", np.array([0.04 * i * DT, 0.0, 0.0]) + noise)
            path.append(body.at(used(retargeter.update(pose))).toes[0, :2])
        speed = np.linalg.norm(np.diff(path[10:], axis=0), axis=1) * HZ
        slid[contacts] = float(np.linalg.norm(path[-1] - path[10])), float(speed.mean())
    assert slid[False][0] > 0.035
    assert slid[True][0] < 0.008 and slid[True][1] < 0.012
    assert slid[True][1] < 0.1 * slid[False][1]


def test_letting_go_of_a_foot_moves_no_joint_abruptly(robot: RobotModel, body: Robot, person: Person):
    """A foot slides 4 cm, then is lifted: the toe was held, and joints move about as they do when it never was."""
    speed, slid = {}, {}
    for contacts in (True, False):
        retargeter, q, toe = Retargeter(robot, MVN, contacts=contacts), [], []
        for i in range(110):
            slide, lift = 0.04 * min(i, 60) * DT, 0.25 * max(0.0, i - 60) * DT
            pose = moved_foot(person(t_s=1 + i * DT, seq=i), "Left", np.array([slide, 0.0, lift]))
            reference = used(retargeter.update(pose))
            q.append(reference.q)
            toe.append(body.at(reference).toes[0, 0])
        speed[contacts] = float(np.abs(np.diff(q, axis=0)).max()) * HZ
        slid[contacts] = toe[58] - toe[5]
        if contacts:
            assert abs(toe[-1] - toe[-2]) < 0.001  # and it has come to its target
    assert slid[True] < 0.005 < 0.025 < slid[False]
    assert speed[True] < 1.3 * speed[False] < 10.0


def test_soles_of_a_standing_person_lie_on_the_floor_whatever_its_height(
    robot: RobotModel, body: Robot, person: Person
):
    """... and stay there when the tracker's floor drifts 4 cm within four seconds."""
    retargeter = Retargeter(robot, MVN)
    for i in range(240):
        soles = body.at(used(retargeter.update(person(z=0.3 + 0.01 * i * DT, t_s=1 + i * DT, seq=i)))).soles_z
        assert -0.002 < soles.min() and soles.max() < 0.012


def test_a_jump_keeps_its_flight(robot: RobotModel, body: Robot, person: Person):
    retargeter, heights = Retargeter(robot, MVN), []
    for i in range(120):
        t = (i - 30) * DT
        z = max(0.0, 2.5 * t - 0.5 * 9.81 * t * t) if i > 30 else 0.0
        reference = used(retargeter.update(person(z=z, t_s=1 + i * DT, seq=i)))
        heights.append((z, float(body.at(reference).soles_z.min())))
    assert retargeter.target_map is not None
    rise, found = max(heights)
    assert rise > 0.3
    assert found == pytest.approx(retargeter.target_map.leg_scale * rise, abs=0.02)
    assert heights[-1][1] == pytest.approx(0.0, abs=0.005)


def test_a_person_who_lies_down_leaves_the_robot_above_the_floor_and_unlocked(
    robot: RobotModel, body: Robot, person: Person
):
    """The whole person turns to lie on the back within a second, pelvis 10 cm above the floor."""
    retargeter, lowest = Retargeter(robot, MVN), []
    for i in range(120):
        turn = min(i * DT, 1.0) * math.pi / 2.0
        pose = person(t_s=1 + i * DT, seq=i)
        pivot = pose.pos_w[0]
        c, s = math.cos(-turn), math.sin(-turn)
        about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        quat = np.tile([math.cos(-turn / 2), 0, math.sin(-turn / 2), 0], (23, 1))
        down = np.array([0, 0, (0.1 - pivot[2]) * turn / (math.pi / 2.0)])
        pos = (pose.pos_w - pivot) @ about_y.T + pivot + down
        reference = used(retargeter.update(pose._replace(pos_w=pos, quat_w=quat)))
        lowest.append(body.at(reference).lowest_capsule)
    contacts = retargeter._contacts
    assert contacts is not None and not contacts.upright
    assert [foot.lock.weight for foot in contacts.feet] == [0.0, 0.0]
    assert min(lowest) > -0.02
    without, sunk = Retargeter(robot, MVN, contacts=False), 0.0
    sunk = body.at(used(without.update(pose._replace(pos_w=pos, quat_w=quat)))).lowest_capsule
    assert sunk < min(lowest) or sunk < -0.02


def test_a_foot_that_is_lost_is_let_go(robot: RobotModel, person: Person):
    retargeter = Retargeter(robot, MVN)
    for i in range(30):
        used(retargeter.update(person(t_s=1 + i * DT, seq=i)))
    contacts = retargeter._contacts
    assert contacts is not None and [foot.lock.weight for foot in contacts.feet] == [1.0, 1.0]
    valid = np.ones(23, dtype=bool)
    valid[LEG["Left"][1]] = False
    for i in range(30, 40):
        used(retargeter.update(person(t_s=1 + i * DT, seq=i)._replace(valid=valid)))
    assert [foot.lock.weight for foot in contacts.feet] == [0.0, 1.0]


def test_stance_feet_of_the_built_in_walk_do_not_slide(robot: RobotModel, body: Robot):
    clip = load_motion("walk")
    start, retargeter = clip.frames // 2, Retargeter(robot, MVN)
    toes, source, soles = [], [], []
    for i in range(start, start + 360, 2):
        reference = used(retargeter.update(clip.pose(i, seq=i, t_ns=round(i * 1e9 / clip.fps))))
        toes.append(body.at(reference).toes[:, :2])
        soles.append(body.soles_z.min())
        source.append(clip.pos_w[i, [LEG["Left"][1], LEG["Right"][1]]])
    speed = np.linalg.norm(np.gradient(np.array(toes), axis=0), axis=2) * clip.fps / 2
    still = np.linalg.norm(np.gradient(np.array(source), axis=0), axis=2) * clip.fps / 2 < 0.2
    assert still.sum() > 100
    assert speed[still].mean() < 0.01
    assert min(soles) > -0.005
