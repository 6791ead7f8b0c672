"""Every kind of skeleton that a registered source delivers, on every registered robot: a table, or refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.bodies import SMPL_JOINTS, Bodies
from teleopd.drivers.network.wire import SCHEMA, Frame
from teleopd.drivers.pico import skeleton as pico
from teleopd.launch import registry
from teleopd.robots.model import RobotModel
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.robot_shape import RobotShape
from teleopd.service.retarget.sparse import NEEDED
from teleopd.service.retarget.tables import NoTable, load_table
from teleopd.service.source_process import SourceStage

NEEDS: dict[str, dict[str, Any]] = {"motion_file": {"motion": "walk"}}
"""What must be said to construct a source whose class does not tell its skeleton."""
ROBOTS = registry.names("robot")
CLIP = load_motion("walk")
START = CLIP.frames // 2


def posing() -> list[str]:
    """The registered sources that deliver persons."""
    return [n for n in registry.names("source") if getattr(registry.load("source", n), "delivers", "") != "velocity"]


@functools.cache
def skeleton_of(source: str) -> Skeleton:
    made = registry.load("source", source)
    found = getattr(made, "skeleton", None) or made(**NEEDS.get(source, {})).skeleton
    assert isinstance(found, Skeleton)
    return found


def frames(count: int, every: int = 2) -> Iterator[HumanPose]:
    """A stretch of the walk, 60 Hz."""
    for k in range(count):
        yield CLIP.pose(START + every * k, seq=k + 1, t_ns=10**9 + round(every * k * 1e9 / CLIP.fps))


def stage(robot: RobotModel) -> SourceStage:
    return SourceStage(FrameChecks(MVN), Retargeter(robot, MVN), source_id=1)


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("source", posing())
def test_every_pair_has_a_table_or_is_refused_by_name(source: str, robot: str):
    model, skeleton = registry.load("robot", robot), skeleton_of(source)
    try:
        retargeter = Retargeter(model, skeleton)
    except NoTable as error:
        assert f"from skeleton '{skeleton.family}' to robot '{robot}'" in str(error)
        return
    assert skeleton == MVN  # a family of its own needs a motion of its own here
    reference = retargeter.update(next(frames(1)))
    assert reference is not None and retargeter.problem == ""


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_family_that_nobody_made_a_table_for_is_refused_by_name(robot: str):
    with pytest.raises(NoTable) as error:
        Retargeter(registry.load("robot", robot), Skeleton("centaur", MVN.body_names))
    assert str(error.value) == (
        f"there is no retargeting table from skeleton 'centaur' to robot '{robot}'; '{robot}' has tables for: mvn"
    )


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_walk_keeps_limits_feet_and_pelvis(robot: str):
    model = registry.load("robot", robot)
    retargeter, kinematics = Retargeter(model, MVN), RobotShape(model)
    family = load_table(table_path(model)).for_family("mvn")
    rows = [m.robot for m in family.match]
    watched = [*family.robot.feet, family.robot.pelvis]
    qpos, wanted = [], []
    for pose in frames(120):
        r = retargeter.update(pose)
        assert r is not None and retargeter.targets is not None
        qpos.append(np.concatenate([r.root_pos_w, r.root_quat_w, r.q]))
        wanted.append(retargeter.targets.pos[[rows.index(name) for name in watched]].copy())
    moved = np.array(qpos)
    q = moved[:, 7:]
    assert (q >= model.limits.q_lower).all() and (q <= model.limits.q_upper).all()
    assert np.abs(np.diff(q, axis=0)).max() * 60.0 <= 20.0 + 1e-6
    there = kinematics.over(moved).body_pos[:, kinematics.body_ids(watched)]
    errors = np.linalg.norm(there - np.array(wanted), axis=-1).mean(axis=0)
    assert errors.max() < 0.015
    assert kinematics.over(moved).soles.min() > -0.01


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_t_pose_of_the_table_is_a_t_pose(robot: str):
    """Hands as far out as the arms are long, at shoulder height, and mirrored."""
    model = registry.load("robot", robot)
    table = load_table(table_path(model))
    kinematics, family = Kinematics(model), table.for_family("mvn")
    of = {m.human: m.robot for m in family.match if m.position != "none"}
    pos, _ = kinematics.bodies(kinematics.named_pose(table.t_pose))
    for part in ("UpperArm", "ForeArm", "Hand"):
        left, right = pos[kinematics.body_ids([of["Left" + part], of["Right" + part]])]
        np.testing.assert_allclose(left * [1, -1, 1], right, atol=1e-3)
        assert left[1] > 0.0
    shoulder, hand = pos[kinematics.body_ids([of["LeftUpperArm"], of["LeftHand"]])]
    assert abs(hand[2] - shoulder[2]) < 0.05 and hand[1] - shoulder[1] > 0.3


@pytest.mark.parametrize("robot", ROBOTS)
def test_head_and_hands_alone_are_followed(robot: str):
    at = MVN.body_names.index
    seen = np.zeros(len(MVN.body_names), dtype=np.bool_)
    seen[[at(name) for name in NEEDED]] = True
    made = stage(registry.load("robot", robot))
    for pose in frames(5):
        tick = made.on_pose(pose._replace(valid=seen), pose.t_ns)
    assert tick.reference is not None and tick.reference.valid


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_24_joints_of_smpl_are_followed(robot: str):
    """PICO's 24 joints have SMPL's names and order: whoever sends SMPL over the network goes the same way."""
    made = stage(registry.load("robot", robot))
    bodies = Bodies()
    for pose in frames(5):
        pos, quat = pico.to_world(pico.from_mvn(pose.pos_w[None], pose.quat_w[None])[0])
        told = Frame(
            schema=SCHEMA, seq=pose.seq, stamp_ns=pose.t_ns, names=SMPL_JOINTS, pos_m=pos.tolist(),
            quat_wxyz=quat.tolist(),
        )  # fmt: skip
        person = bodies.read(told)
        assert person.valid.all()
        tick = made.on_pose(pose._replace(pos_w=person.pos_w, quat_w=person.quat_w, valid=person.valid), pose.t_ns)
    assert tick.reference is not None and tick.reference.valid
