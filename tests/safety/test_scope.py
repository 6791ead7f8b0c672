"""First tries: less range, less speed, legs that only balance. The reference is narrowed, never the motors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import make_model
from tests.safety.test_reference_guard import MS, Track, operator

from teleopd.robots.model import Reference
from teleopd.safety import attitude as att
from teleopd.safety.guard_bounds import PERSON
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.scope import Scope
from teleopd.safety.thresholds import LimitError, Thresholds
from teleopd.safety.words import Mode

MODEL = make_model(joints=("left_hip_pitch_joint", "left_knee_joint", "left_elbow_joint"))
LEANING = att.multiply(att.of_yaw(1.5), np.array([math.cos(0.1), math.sin(0.1), 0.0, 0.0]))
"""Heading 1.5 rad, rolled by 0.2 rad."""


def track(**limits: float) -> Track:
    made = Track()
    made.guard = ReferenceGuard(MODEL, thresholds=Thresholds(limits))
    made.run(Mode.ARMED, 0.1)
    return made


def followed(made: Track, **changes) -> Reference:
    """The reference once the engage blend is over and the operator has moved as `changes` say."""
    made.run(Mode.ACTIVE, 3.0)
    return made.run(Mode.ACTIVE, 6.0, **changes)


MOVED = {
    "q": np.array([0.7, 1.6, 0.3]), "dq": np.array([0.2, 0.4, 0.6]), "root_pos_w": np.array([5.4, 3.0, 0.6]),
    "root_quat_w": LEANING, "root_lin_vel_w": np.array([0.2, 0.0, 0.1]), "root_ang_vel_w": np.array([0.3, 0.0, 0.4]),
}  # fmt: skip


def test_whole_scope_changes_nothing_bit_for_bit():
    scope = Scope(MODEL, Thresholds())
    q = np.array([0.1, 0.2, 0.3])
    assert scope.joints(q) is q and scope.joint_speeds(q) is q
    assert scope.place(q, np.zeros(2)) is q and scope.attitude(LEANING, 0.0) is LEANING
    linear, angular = scope.root_speeds(q, q)
    assert linear is q and angular is q


def test_half_the_range_is_half_the_way_from_stand_pose_place_height_and_uprightness():
    out = followed(track(reference_range=0.5), **MOVED)
    assert out.q == pytest.approx((MODEL.q_stand + MOVED["q"]) / 2.0)
    assert out.dq == pytest.approx(MOVED["dq"] / 2.0)
    # The operator faced 1.0 rad at take-over and moved 0.4 m along x: the robot, facing 0, goes half as far.
    assert out.root_pos_w == pytest.approx([0.2 * math.cos(-1.0), 0.2 * math.sin(-1.0), 0.7])
    assert np.linalg.norm(out.root_lin_vel_w) == pytest.approx(0.5 * math.hypot(0.2, 0.1))
    assert att.yaw_of(out.root_quat_w) == pytest.approx(0.5), "where the operator turns to is not narrowed"
    lean = att.rotation_between(att.of_yaw(0.5), out.root_quat_w)
    assert np.linalg.norm(lean) == pytest.approx(0.1)
    assert out.root_ang_vel_w[2] == pytest.approx(0.4)
    assert np.linalg.norm(out.root_ang_vel_w[:2]) == pytest.approx(0.15)


def test_frozen_legs_stand_still_while_the_arms_follow_whole():
    out = followed(track(legs_follow=0.0), **MOVED)
    assert out.q.tolist()[:2] == MODEL.q_stand.tolist()[:2]
    assert out.q[2] == pytest.approx(MOVED["q"][2])
    assert out.dq[:2].tolist() == [0.0, 0.0] and out.dq[2] == pytest.approx(0.6)
    assert out.root_pos_w == pytest.approx([0.0, 0.0, MODEL.stand_height_m])
    assert out.root_quat_w == pytest.approx(att.IDENTITY), "turning is the legs' work"
    assert not out.root_lin_vel_w.any() and not out.root_ang_vel_w.any()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_speed_bounds_every_tick_and_arrives_later(share: float):
    made = track(reference_speed=share)
    made.run(Mode.ACTIVE, 4.0)
    before, largest = made.run(Mode.ACTIVE, 0.1), np.zeros(3)
    far = {"q": np.array([0.3, 1.8, -0.4]), "root_pos_w": np.array([6.0, 3.0, 0.5])}
    for _ in range(60):
        out = made.run(Mode.ACTIVE, 0.02, **far)
        step = [np.abs(out.q - before.q).max(), np.linalg.norm((out.root_pos_w - before.root_pos_w)[:2]),
                abs(out.root_pos_w[2] - before.root_pos_w[2])]  # fmt: skip
        largest, before = np.maximum(largest, step), out
        assert np.abs(out.dq).max() <= share * PERSON["joint_speed"]
    bounds = np.array([PERSON["joint_speed"], PERSON["root_speed"], PERSON["root_climb"]]) * share
    assert largest == pytest.approx(bounds * 0.02), "reached, never passed"
    out = made.run(Mode.ACTIVE, 8.0, **far)
    assert out.q == pytest.approx(far["q"]), "later, but there"


def test_the_pose_match_for_engaging_is_judged_within_the_scope():
    made = track(legs_follow=0.0)
    far = operator(made.now + 15 * MS, q=np.array([1.9, 2.4, -0.3]))
    made.step(Mode.ARMED, far)
    assert made.guard.pose_error_rad == pytest.approx(0.0, abs=1e-12), "what the legs do will not be followed"


@pytest.mark.parametrize("limits", [{"reference_range": 1.2}, {"reference_speed": 2.0}, {"legs_follow": 2.0}])
def test_more_than_the_whole_motion_is_refused(limits: dict[str, float]):
    with pytest.raises(LimitError, match="loosens the built-in 1; it may only be tightened"):
        Thresholds(limits)


def test_less_than_a_tenth_is_refused():
    with pytest.raises(LimitError, match="beyond its strictest useful value 0.1"):
        Thresholds({"reference_range": 0.05})
