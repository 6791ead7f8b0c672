"""Head, hands, perhaps pelvis and feet -> a whole body: what is tracked is kept, the rest is a person's."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.retarget.sparse import NEEDED, TRACKED, SparseBody

AT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
NAMES = {3: NEEDED, 4: (*NEEDED, "Pelvis"), 6: TRACKED}
LEGS = slice(0, 12)
"""Leg joints of the G1, motor order."""


def reduced(clip, frame, count, *, lost=()):
    """A frame of which only so many bodies are known; the others hold a number that must reach nothing."""
    t_ns = 10**9 + round(frame * 1e9 / clip.fps)
    whole = clip.pose(frame, seq=frame, t_ns=t_ns)
    valid = np.array([name in NAMES[count] and name not in lost for name in MVN_SEGMENTS])
    pos, quat = np.where(valid[:, None], whole.pos_w, 77.0), np.where(valid[:, None], whole.quat_w, (1.0, 0, 0, 0))
    return whole, whole._replace(pos_w=pos, quat_w=quat, valid=valid)


def heading_free(pose):
    """Positions relative to the pelvis, seen along the pelvis's heading."""
    w, x, y, z = pose.quat_w[AT["Pelvis"]]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    c, s = np.cos(yaw), np.sin(yaw)
    return (pose.pos_w - pose.pos_w[AT["Pelvis"]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_a_whole_body_goes_through_unchanged_even_when_most_of_it_is_lost():
    clip, sparse = load_motion("wave"), SparseBody()
    whole, few = reduced(clip, 0, 3)
    assert sparse.complete(whole) is whole
    assert sparse.complete(few) is few


@pytest.mark.parametrize("motion", ["reach", "squat", "walk_and_turn"])
def test_with_six_bodies_what_is_tracked_stays_and_the_rest_is_near_the_truth(motion):
    clip, sparse = load_motion(motion), SparseBody()
    errors = []
    for frame in range(0, clip.frames, 12):
        whole, few = reduced(clip, frame, 6)
        made = sparse.complete(few)
        assert made.valid.all() and np.isfinite(made.pos_w).all()
        np.testing.assert_allclose(np.linalg.norm(made.quat_w, axis=1), 1.0, atol=1e-9)
        errors.append(np.linalg.norm(made.pos_w - whole.pos_w, axis=1))
    worst = dict(zip(MVN_SEGMENTS, np.max(errors, axis=0), strict=True))
    assert max(worst[name] for name in ("Pelvis", "LeftHand", "RightHand", "LeftFoot", "RightFoot")) < 0.05
    assert max(worst[name] for name in ("LeftLowerLeg", "RightLowerLeg", "LeftUpperLeg")) < 0.06
    assert max(worst[name] for name in ("LeftForeArm", "RightForeArm")) < 0.20


@pytest.mark.parametrize("count", [3, 4])
def test_without_feet_the_robot_stays_while_the_arms_follow(count):
    clip, sparse = load_motion("walk_and_turn"), SparseBody()
    for frame in range(0, clip.frames, 12):
        whole, few = reduced(clip, frame, count)
        made = sparse.complete(few)
        if count == 4:
            np.testing.assert_allclose(made.pos_w[AT["Pelvis"], :2], 0.0, atol=1e-9)
            hands = [AT["LeftHand"], AT["RightHand"]]
            np.testing.assert_allclose(heading_free(made)[hands], heading_free(whole)[hands], atol=0.06)
        assert np.abs(made.pos_w[AT["Pelvis"], :2]).max() < 0.1
        for side, sign in (("Left", 1), ("Right", -1)):
            foot = made.pos_w[AT[side + "Foot"]]
            assert abs(foot[0]) < 1e-9 and 0.05 < sign * foot[1] < 0.12 and 0.05 < foot[2] < 0.09


@pytest.mark.parametrize("count", [3, 4, 6])
def test_the_robot_stands_and_its_joints_move_as_a_persons(count):
    clip, sparse, checks = load_motion("reach"), SparseBody(), FrameChecks(load_motion("reach").skeleton)
    retargeter, last, fastest = Retargeter(MODEL, clip.skeleton), None, 0.0
    arms, legs = [], []
    for frame in range(0, clip.frames, 4):
        _, few = reduced(clip, frame, count)
        made = sparse.complete(few)
        assert checks.check(made, few.t_ns).accepted
        reference = retargeter.update(made)
        assert reference is not None and 0.6 < reference.root_pos_w[2] < 0.85
        if last is not None:
            fastest = max(fastest, float(np.abs(reference.q - last).max() * clip.fps / 4))
        last = reference.q
        arms.append(reference.q[15:])
        legs.append(reference.q[LEGS])
    assert fastest < 6.0
    assert np.ptp(arms, axis=0).max() > 0.8, "the arms follow"
    assert np.ptp(legs, axis=0).max() < 0.5, "the legs stand"


def test_a_hand_that_is_lost_takes_its_arm_along_and_the_head_takes_the_trunk():
    clip, sparse = load_motion("wave"), SparseBody()
    sparse.complete(reduced(clip, 0, 4)[1])
    made = sparse.complete(reduced(clip, 1, 4, lost=("LeftHand",))[1])
    lost = {name for name, good in zip(MVN_SEGMENTS, made.valid, strict=True) if not good}
    assert lost == {"LeftUpperArm", "LeftForeArm", "LeftHand"}
    for name in ("Head", "Pelvis"):
        few = reduced(clip, 2, 4, lost=(name,))[1]
        assert sparse.complete(few) is few


def test_nothing_is_built_before_head_and_hands_were_seen_together():
    clip, sparse, checks = load_motion("wave"), SparseBody(), FrameChecks(load_motion("wave").skeleton)
    few = reduced(clip, 0, 4, lost=("RightHand",))[1]
    assert sparse.complete(few) is few
    assert sparse.complete(reduced(clip, 1, 4)[1]).valid.all()
    assert checks.check(reduced(clip, 0, 3)[1], 10**9).reason == "untracked_root"


def test_numbers_that_are_none_are_left_to_the_checks():
    clip, sparse, checks = load_motion("wave"), SparseBody(), FrameChecks(load_motion("wave").skeleton)
    sparse.complete(reduced(clip, 0, 4)[1])
    few = reduced(clip, 1, 4)[1]
    few.pos_w[AT["LeftHand"]] = np.nan
    assert checks.check(sparse.complete(few), few.t_ns).reason == "non_finite"


@pytest.mark.parametrize(("height_m", "size"), [(1.5, 1.5), (1.9, 1.9)])
def test_the_size_is_that_of_the_operator(height_m, size):
    clip, sparse = load_motion("stand"), SparseBody()
    scaled = reduced(clip, 0, 4)[1]
    made = sparse.complete(scaled._replace(pos_w=scaled.pos_w * (height_m / 1.75)))
    arm = np.linalg.norm(made.pos_w[AT["LeftForeArm"]] - made.pos_w[AT["LeftUpperArm"]])
    assert arm == pytest.approx(0.186 * size, rel=0.01)  # Drillis and Contini
