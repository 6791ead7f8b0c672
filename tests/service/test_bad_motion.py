"""What a capture may do to the retargeter: bodies lost, operators of every size, turned, sitting, rates that change.

Whatever comes, references stay inside limits and speeds, the root jumps nowhere, and the motion is found again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, MVN_PARENTS, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch import registry
from teleopd.robots.model import Reference, RobotModel
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.one_euro import OneEuro
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.source_process import SourceStage

CLIP = load_motion("walk")
STAND = load_motion("stand")
START = CLIP.frames // 2
AT = {name: i for i, name in enumerate(MVN.body_names)}
SPEED_RAD_S = 20.0
"""Limit of a joint's speed in the tables."""


class Run:
    """A stage and every reference it gave."""

    def __init__(self, robot: RobotModel = MODEL) -> None:
        self.robot, self.retargeter, self.checks = robot, Retargeter(robot, MVN), FrameChecks(MVN)
        self.stage = SourceStage(self.checks, self.retargeter, 1, OneEuro())
        self.given: list[Reference | None] = []

    def __call__(self, poses: Iterable[HumanPose]) -> list[Reference | None]:
        """Feed; the references of these poses, each checked for its bounds."""
        new = []
        for pose in poses:
            tick = self.stage.on_pose(pose, pose.t_ns)
            self._bounded(tick.reference, self.given[-1] if self.given else None)
            self.given.append(tick.reference)
            new.append(tick.reference)
        return new

    def _bounded(self, r: Reference | None, before: Reference | None) -> None:
        if r is None:
            return
        for part in r:
            assert np.isfinite(part).all()
        limits = self.robot.limits
        assert (r.q >= limits.q_lower).all() and (r.q <= limits.q_upper).all()
        assert abs(float(np.linalg.norm(r.root_quat_w)) - 1.0) < 1e-6
        if before is not None:
            assert np.linalg.norm(r.root_pos_w[:2] - before.root_pos_w[:2]) < 0.15
            if r.resets == before.resets and r.valid and before.valid:
                dt_s = max((r.t_ns - before.t_ns) * 1e-9, 1.0 / 500.0)
                assert np.abs(r.q - before.q).max() <= SPEED_RAD_S * min(dt_s, 0.1) + 1e-6


def walk(first: int, count: int, hz: float = 60.0) -> list[HumanPose]:
    """Frames `first` onwards of the walk, as seen at that rate; arrays may be written to."""
    made = []
    for k in range(first, first + count):
        t_s = k / hz
        p = CLIP.pose(CLIP.index_at(START / CLIP.fps + t_s), seq=k + 1, t_ns=10**9 + round(t_s * 1e9))
        made.append(p._replace(pos_w=p.pos_w.copy(), quat_w=p.quat_w.copy(), valid=p.valid.copy()))
    return made


def lose(poses: list[HumanPose], *bodies: str) -> list[HumanPose]:
    """The poses, these bodies not tracked and full of nonsense."""
    for p in poses:
        for body in bodies:
            p.valid[AT[body]] = False
            p.pos_w[AT[body]], p.quat_w[AT[body]] = np.nan, 0.0
    return poses


@pytest.mark.parametrize(
    "bodies", [("LeftHand", "RightHand"), ("LeftFoot",), ("LeftFoot", "LeftToe"), ("RightForeArm", "RightHand"),
               ("T8", "Head"), ("LeftUpperLeg",)],
)  # fmt: skip
@pytest.mark.parametrize("robot", ["unitree_g1"])
def test_bodies_lost_for_a_while_are_found_again(robot: str, bodies: tuple[str, ...]):
    run = Run(registry.load("robot", robot))
    run(walk(0, 5))
    run(lose(walk(5, 20), *bodies))
    back, kept = run(walk(25, 25))[-1], steady(robot)
    assert back is not None and back.valid
    assert np.abs(back.q - kept.q).max() < 0.1


@pytest.mark.parametrize("robot", [name for name in registry.names("robot") if name != "unitree_g1"])
def test_other_robots_find_lost_hands_and_feet_again(robot: str):
    test_bodies_lost_for_a_while_are_found_again(robot, ("LeftHand", "RightHand", "RightFoot"))


@functools.cache
def steady(robot: str) -> Reference:
    """The reference after 50 frames of which none was lost."""
    last = Run(registry.load("robot", robot))(walk(0, 50))[-1]
    assert last is not None
    return last


def test_a_lost_hip_says_what_it_did():
    run = Run()
    run(walk(0, 10))
    lost = run(lose(walk(10, 3), "LeftUpperLeg"))
    assert all(r is not None and not r.valid for r in lost)
    assert run.retargeter.problem == "the pelvis or a hip is not tracked"


def test_all_bodies_at_the_origin_are_refused():
    run = Run()
    assert run([p._replace(pos_w=p.pos_w * 0.0) for p in walk(0, 5)]) == [None] * 5
    assert run.checks.rejected["scale"] == 5
    assert all(r is not None and r.valid for r in run(walk(5, 5)))
    gone = run([p._replace(pos_w=p.pos_w * 0.0, quat_w=np.tile([1.0, 0, 0, 0], (23, 1))) for p in walk(10, 30)])
    assert all(r is not None and not r.valid for r in gone)
    last = run(walk(40, 10))[-1]
    assert last is not None and last.valid


@pytest.mark.parametrize(
    ("robot", "height_m"), [("unitree_g1", 1.1), ("unitree_g1", 2.1), ("unitree_h1", 1.1), ("unitree_h1_2", 2.1)]
)
def test_children_and_tall_operators_move_the_robot_alike(robot: str, height_m: float):
    """Scales are measured: a child's walk, scaled as a whole, gives the robot the adult's."""
    scale = height_m / 1.75
    small, adult = Run(registry.load("robot", robot)), Run(registry.load("robot", robot))
    mine = small([p._replace(pos_w=p.pos_w * scale) for p in walk(0, 12)])[-1]
    theirs = adult(walk(0, 12))[-1]
    assert mine is not None and theirs is not None and mine.valid
    assert np.abs(mine.q - theirs.q).max() < 0.15
    assert mine.root_pos_w[2] == pytest.approx(theirs.root_pos_w[2], abs=0.02)


@pytest.mark.parametrize("degrees", [90.0, 180.0, -135.0])
def test_where_the_operator_faces_at_the_start_does_not_matter(degrees: float):
    half, turned = np.deg2rad(degrees) / 2.0, Run()
    c, s = np.cos(2 * half), np.sin(2 * half)
    w, z = np.cos(half), np.sin(half)
    matrix = np.array([[w, 0, 0, -z], [0, w, -z, 0], [0, z, w, 0], [z, 0, 0, w]])
    poses = [
        p._replace(pos_w=p.pos_w @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]), quat_w=p.quat_w @ matrix.T)
        for p in walk(0, 20)
    ]
    mine, straight = turned(poses)[-1], Run()(walk(0, 20))[-1]
    assert mine is not None and straight is not None
    np.testing.assert_allclose(mine.q, straight.q, atol=1e-3)
    np.testing.assert_allclose(mine.root_pos_w, straight.root_pos_w, atol=1e-3)


def sitting(k: int) -> HumanPose:
    """The standing person with thighs forward by a right angle and the pelvis on a chair."""
    p = STAND.pose(k, seq=k + 1, t_ns=10**9 + round(k * 1e9 / 60.0))
    pos, quat = p.pos_w.copy(), p.quat_w.copy()
    turn = np.array([np.cos(-np.pi / 4), 0.0, np.sin(-np.pi / 4), 0.0])
    for side in ("Left", "Right"):
        thigh, knee = AT[side + "UpperLeg"], AT[side + "LowerLeg"]
        along = pos[knee] - pos[thigh]
        moved = pos[thigh] + [-along[2], along[1], along[0]] - pos[knee]
        for name in (side + "LowerLeg", side + "Foot", side + "Toe"):
            pos[AT[name]] += moved
        w, x, y, z = turn
        quat[thigh] = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]) @ quat[thigh]
    assert set(MVN_PARENTS) > {"LeftToe"}
    pos[:, 2] -= pos[[AT["LeftToe"], AT["RightToe"]], 2].min() - 0.02
    return p._replace(pos_w=pos, quat_w=quat)


@pytest.mark.parametrize("robot", registry.names("robot"))
def test_an_operator_who_sits_at_the_start_is_measured_right(robot: str):
    model = registry.load("robot", robot)
    run = Run(model)
    last = run([sitting(k) for k in range(8)])[-1]
    calibration = run.retargeter.calibration
    assert last is not None and calibration is not None
    assert calibration.leg_m == pytest.approx(0.859, abs=2e-3)
    assert 0.35 * model.stand_height_m < last.root_pos_w[2] < 0.85 * model.stand_height_m
    hip, knee = (model.joint_names.index(f"left_{n}_joint") for n in ("hip_pitch", "knee"))
    assert last.q[hip] < -0.8 and last.q[knee] > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 0.5])
def test_orientations_that_are_none_are_refused_frame_by_frame(bad: float):
    run = Run()
    run(walk(0, 5))
    broken = walk(5, 4)
    for p in broken:
        p.quat_w[AT["LeftForeArm"]] *= bad
    assert all(r is not None and not r.valid for r in run(broken))
    assert run.checks.rejected["quaternion"] + run.checks.rejected["non_finite"] == 4
    last = run(walk(9, 5))[-1]
    assert last is not None and last.valid


def test_norms_near_one_are_taken_as_they_are_meant():
    """Half-precision senders: norms off by up to a few percent."""
    rough, exact = Run(), Run()
    poses = [p._replace(quat_w=p.quat_w * 1.05) for p in walk(0, 15)]
    mine, theirs = rough(poses)[-1], exact(walk(0, 15))[-1]
    assert mine is not None and theirs is not None
    np.testing.assert_allclose(mine.q, theirs.q, atol=0.02)


@pytest.mark.parametrize("hz", [30.0, 90.0, 240.0])
def test_every_frame_rate_ends_in_the_same_pose(hz: float):
    """Half a second of walking: rates differ in smoothing, not in where they end."""
    one, two = Run()(walk(0, round(hz / 2) + 1, hz))[-1], Run()(walk(0, 31))[-1]
    assert one is not None and two is not None
    assert np.abs(one.q - two.q).max() < 0.25
    assert np.abs(one.root_pos_w - two.root_pos_w).max() < 0.05


def test_a_rate_that_changes_with_every_frame_is_followed():
    rng, run, t_s, poses = np.random.default_rng(3), Run(), 0.0, []
    for k in range(60):
        t_s += 1.0 / rng.choice([30.0, 60.0, 72.0, 90.0, 120.0, 240.0])
        p = CLIP.pose(CLIP.index_at(START / CLIP.fps + t_s), seq=k + 1, t_ns=10**9 + round(t_s * 1e9))
        poses.append(p)
    given = run(poses)
    assert all(r is not None and r.valid for r in given)
    assert given[-1] is not None and given[-1].resets == 0
