"""What the policy is asked to track while the operator comes, goes, jumps and fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.safety.conftest import N, make_model, state

from teleopd.robots.model import Reference
from teleopd.safety import attitude as att
from teleopd.safety.guard_bounds import GuardBounds
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Mode

MS = 1_000_000
MODEL = make_model()
STAND = MODEL.q_stand


def operator(t_ns: int, **changes) -> Reference:
    base = Reference(
        seq=7, source_id=1, t_ns=t_ns, t_content_ns=t_ns, t_published_ns=t_ns, valid=True, deadman=True, resets=0,
        nominal_hz=100.0, root_pos_w=np.array([5.0, 3.0, 0.75]), root_quat_w=att.of_yaw(1.0),
        root_lin_vel_w=np.zeros(3), root_ang_vel_w=np.zeros(3), q=np.array([0.2, 0.9, 0.1]), dq=np.zeros(N),
    )  # fmt: skip
    return base._replace(**changes)


class Track:
    """A guard stepped at 50 Hz."""

    def __init__(self, **bounds) -> None:
        self.guard, self.now = ReferenceGuard(MODEL, GuardBounds(**bounds)), 1_000 * MS
        self.state = state(self.now)

    def step(self, mode: Mode, reference: Reference | None) -> Reference:
        self.now += 20 * MS
        return self.guard.step(reference, mode, self.now, self.state)

    def run(self, mode: Mode, seconds: float, **changes) -> Reference:
        for _ in range(round(seconds * 50)):
            out = self.step(mode, operator(self.now + 15 * MS, **changes))
        return out


def test_stands_where_the_robot_is_and_faces_until_armed_then_stays():
    track = Track()
    track.state = state(track.now, quat_w=att.of_yaw(0.7), has_odometry=True, root_pos_w=np.array([1.0, 2.0, 0.5]))
    out = track.step(Mode.READY, None)
    assert att.yaw_of(out.root_quat_w) == pytest.approx(0.7) and out.root_pos_w.tolist() == [1.0, 2.0, 0.8]
    track.step(Mode.ARMED, None)
    track.state = state(track.now, quat_w=att.of_yaw(1.9))
    out = track.step(Mode.ARMED, operator(track.now))
    assert att.yaw_of(out.root_quat_w) == pytest.approx(0.7), "heading is held once armed"
    assert (out.q == STAND).all() and not out.dq.any() and not out.root_lin_vel_w.any()


@pytest.mark.parametrize("quat_w", [None, np.zeros(4), np.full(4, np.nan), np.array([0.5, 0.0, 0.0, 0.5])])
def test_without_a_believable_attitude_it_stands_facing_ahead(quat_w):
    track = Track()
    track.state = None if quat_w is None else state(track.now, quat_w=quat_w)
    out = track.step(Mode.READY, None)
    assert out.root_quat_w.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert out.root_pos_w.tolist() == [0.0, 0.0, 0.8]
    assert (out.q == STAND).all()


@pytest.mark.parametrize("start, end", [(0.4, 0.1), (3.0, -3.0), (-3.0, 3.0), (0.0, math.pi - 0.01)])
def test_a_turn_takes_the_shorter_way_whatever_the_signs(start, end):
    shorter = math.remainder(end - start, 2 * math.pi)
    for sign in (1.0, -1.0):
        turn = att.rotation_between(att.of_yaw(start), sign * att.of_yaw(end))
        assert turn == pytest.approx([0.0, 0.0, shorter])


@pytest.mark.parametrize("q, seconds", [(STAND, 1.0), (STAND + [0.75, 0, 0], 1.5), (STAND + [1.6, 0, 0], 2.0)])
def test_engaging_blends_longer_the_farther_the_poses_are(q, seconds):
    track = Track()
    track.run(Mode.ARMED, 0.2)
    target = np.array([1.0, 0.6, 0.2]) * 0 + q
    start = track.now
    ends = None
    for _ in range(150):
        out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS, q=target, root_pos_w=np.array([5.0, 3.0, 0.70])))
        if ends is None and abs(out.root_pos_w[2] - 0.70) < 1e-12:
            ends = track.now - start - 20 * MS
    assert ends == pytest.approx(seconds * 1e9, abs=20 * MS)
    assert out.q == pytest.approx(target)


def test_engaging_moves_neither_place_nor_heading_and_follows_from_there():
    track = Track()
    track.state = state(track.now, quat_w=att.of_yaw(-0.4))
    first = track.run(Mode.ARMED, 0.2)
    out = track.run(Mode.ACTIVE, 3.0)
    assert out.root_pos_w[:2] == pytest.approx(first.root_pos_w[:2], abs=1e-9)
    assert att.yaw_of(out.root_quat_w) == pytest.approx(-0.4)
    # The operator faces 1.0 rad and steps 0.5 m ahead: so does the robot, in its own heading.
    ahead = np.array([5.0 + 0.5 * math.cos(1.0), 3.0 + 0.5 * math.sin(1.0), 0.75])
    velocity = np.array([math.cos(1.0), math.sin(1.0), 0.0])
    out = track.run(Mode.ACTIVE, 1.0, root_pos_w=ahead, root_lin_vel_w=velocity)
    assert out.root_pos_w[:2] == pytest.approx([0.5 * math.cos(-0.4), 0.5 * math.sin(-0.4)], abs=1e-9)
    assert out.root_lin_vel_w == pytest.approx([math.cos(-0.4), math.sin(-0.4), 0.0])


def test_the_first_missed_deadline_zeroes_the_velocities_and_holds_the_pose():
    track = Track()
    track.run(Mode.ARMED, 0.2)
    moving = {"root_lin_vel_w": np.array([1.0, 0.0, 0.0]), "dq": np.ones(N)}
    followed = track.run(Mode.ACTIVE, 3.0, **moving)
    assert followed.dq.tolist() == [1.0] * N
    last = operator(track.now - 5 * MS, **moving)
    for _ in range(2):
        out = track.step(Mode.ACTIVE, last)
        assert out.dq.any(), "not yet late"
    assert track.now - last.t_ns == 45 * MS
    out = track.step(Mode.ACTIVE, last)
    assert track.guard.age_ns == 65 * MS
    assert not out.dq.any() and not out.root_lin_vel_w.any() and not out.root_ang_vel_w.any()
    assert out.q == pytest.approx(followed.q) and out.root_pos_w == pytest.approx(followed.root_pos_w)
    held = track.step(Mode.HOLD, None)
    assert (held.q == out.q).all() and (held.root_quat_w == out.root_quat_w).all()


def test_hold_resumes_by_a_blend_from_where_it_stands():
    track = Track()
    track.run(Mode.ARMED, 0.2)
    track.run(Mode.ACTIVE, 3.0)
    held = track.run(Mode.HOLD, 0.2)
    far = {"root_pos_w": np.array([9.0, 9.0, 0.75]), "q": np.array([0.5, 0.9, 0.1])}
    out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS, **far))
    assert out.q == pytest.approx(held.q) and out.root_pos_w == pytest.approx(held.root_pos_w)
    out = track.run(Mode.ACTIVE, 3.0, **far)
    assert out.q == pytest.approx([0.5, 0.9, 0.1])
    assert out.root_pos_w[:2] == pytest.approx(held.root_pos_w[:2]), "the way walked meanwhile is not caught up"


def test_return_blends_to_stand_within_a_second_keeping_place_and_heading():
    track = Track()
    track.run(Mode.ARMED, 0.2)
    active = track.run(Mode.ACTIVE, 3.0, root_pos_w=np.array([5.0, 3.0, 0.6]))
    out = track.run(Mode.RETURN, 0.52)
    assert out.q == pytest.approx((active.q + STAND) / 2), "half way after half the time"
    out = track.run(Mode.RETURN, 0.52)
    assert out.q == pytest.approx(STAND) and out.root_pos_w == pytest.approx([*active.root_pos_w[:2], 0.8])
    assert not out.dq.any()
    armed = track.run(Mode.ARMED, 0.5)
    assert armed.root_pos_w == pytest.approx(out.root_pos_w)


@pytest.mark.parametrize("changes", [{"resets": 1}, {"source_id": 2}])
def test_a_motion_that_restarts_is_blended_not_followed_as_a_jump(changes):
    track = Track()
    track.run(Mode.ARMED, 0.2)
    before = track.run(Mode.ACTIVE, 3.0)
    jump = {"root_pos_w": np.array([-4.0, 0.0, 0.75]), "root_quat_w": att.of_yaw(-2.0), "q": np.array([-0.3, 0.3, 0.0])}
    out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS, **jump, **changes))
    assert out.root_pos_w == pytest.approx(before.root_pos_w) and out.q == pytest.approx(before.q)
    out = track.run(Mode.ACTIVE, 3.0, **jump, **changes)
    assert out.root_pos_w == pytest.approx(before.root_pos_w) and out.q == pytest.approx(jump["q"])
    assert att.yaw_of(out.root_quat_w) == pytest.approx(att.yaw_of(before.root_quat_w))


@pytest.mark.parametrize("z, expected", [(0.2, 0.40), (0.40, 0.40), (0.41, 0.41), (0.87, 0.87), (2.0, 0.88)])
def test_root_height_box(z, expected):
    track = Track()
    track.run(Mode.ARMED, 0.2)
    out = track.run(Mode.ACTIVE, 3.0, root_pos_w=np.array([0.0, 0.0, z]))
    assert out.root_pos_w[2] == pytest.approx(expected)


@pytest.mark.parametrize("lean, expected", [(0.79, 0.79), (0.81, 0.8), (2.5, 0.8), (-1.2, -0.8)])
def test_lean_is_bounded_and_told_to_the_supervisor(lean, expected):
    track = Track()
    track.run(Mode.ARMED, 0.2)
    quat = att.multiply(att.of_yaw(1.0), np.array([math.cos(lean / 2), 0.0, math.sin(lean / 2), 0.0]))
    track.run(Mode.ACTIVE, 3.0, root_quat_w=quat)
    assert track.guard.tilt_rp == pytest.approx([0.0, expected], abs=1e-9)


def test_joint_range():
    track = Track()
    track.run(Mode.ARMED, 0.2)
    out = track.run(Mode.ACTIVE, 4.0, q=np.array([9.0, -9.0, 0.2]))
    assert out.q == pytest.approx([2.0, -0.1, 0.2])


def test_a_fast_genuine_motion_passes_unchanged():
    """14 rad/s, faster than the fastest percentile of public clips."""
    track = Track()
    track.run(Mode.ARMED, 0.2)
    track.run(Mode.ACTIVE, 3.0)
    for i in range(20):
        q = np.array([0.2 + 0.28 * (i % 5), 0.9, 0.1]) if i % 10 < 5 else np.array([1.32 - 0.28 * (i % 5), 0.9, 0.1])
        out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS, q=q, dq=np.array([14.0, 0, 0])))
        assert out.q == pytest.approx(q) and out.dq[0] == 14.0


@pytest.mark.parametrize(
    "changes",
    [{"q": np.full(N, np.nan)}, {"q": np.zeros(29)}, {"dq": np.full(N, np.inf)}, {"root_pos_w": np.full(3, np.nan)},
     {"root_quat_w": np.zeros(4)}, {"root_quat_w": np.full(4, np.nan)}, {"root_lin_vel_w": np.full(3, 1e9)}],
)  # fmt: skip
def test_what_is_not_finite_counts_as_missing(changes):
    track = Track()
    track.run(Mode.ARMED, 0.2)
    before = track.run(Mode.ACTIVE, 3.0)
    out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS, **changes))
    assert (out.q == before.q).all() and not out.dq.any() and not out.valid
    assert track.guard.pose_error_rad == math.inf


def test_pose_error_is_the_largest_joint_difference():
    track = Track()
    track.step(Mode.ARMED, operator(track.now, q=STAND + [0.1, -0.4, 0.2]))
    assert track.guard.pose_error_rad == pytest.approx(0.4)
    track.step(Mode.ARMED, None)
    assert track.guard.pose_error_rad == math.inf


wild = st.floats(-50, 50) | st.just(float("nan"))


three = st.lists(wild, min_size=3, max_size=3)
moment = st.tuples(
    st.sampled_from(list(Mode)), st.integers(0, 300), three, three, st.integers(0, 2), st.integers(-200, 200)
)


@given(st.lists(moment, max_size=15))
def test_whatever_comes_the_reference_is_finite_bounded_and_continuous(sequence):
    track, before = Track(), None
    anchored = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
    for mode, gap_ms, q, pos, resets, age_ms in sequence:
        track.now += gap_ms * MS
        reference = operator(track.now - age_ms * MS, q=np.array(q), root_pos_w=np.array(pos), resets=resets)
        out = track.step(mode, reference)
        for part in (out.q, out.dq, out.root_pos_w, out.root_quat_w, out.root_lin_vel_w, out.root_ang_vel_w):
            assert np.isfinite(part).all()
        assert (out.q >= MODEL.limits.q_lower).all() and (out.q <= MODEL.limits.q_upper).all()
        assert 0.40 - 1e-9 <= out.root_pos_w[2] <= 0.88 + 1e-9
        assert np.abs(out.dq).max() <= 15.0 and np.linalg.norm(out.root_lin_vel_w[:2]) <= 3.0 + 1e-9
        if before is not None and mode in anchored and before[0] in anchored:
            seconds = min(0.1, (track.now - before[1]) / 1e9)
            assert np.abs(out.q - before[2]).max() <= 15.0 * seconds + 1e-9
            assert np.linalg.norm(out.root_pos_w[:2] - before[3][:2]) <= 3.0 * seconds + 1e-9
        before = (mode, track.now, out.q, out.root_pos_w)


@pytest.mark.parametrize("share, seconds", [(0.1, 8.0), (1.0, 1.1)])
def test_a_return_goes_all_the_way_to_stand_however_slowly_and_never_jumps(share, seconds):
    guard, now = ReferenceGuard(MODEL, thresholds=Thresholds({"reference_speed": share})), 1_000 * MS
    lean = att.turned(att.of_yaw(1.0), np.array([0.0, 0.6, 0.0]))
    squat = {"q": np.array([-1.9, 2.4, -0.4]), "root_pos_w": np.array([5.0, 3.0, 0.41]), "root_quat_w": lean}
    guard.step(None, Mode.ARMED, now, state(now))
    for _ in range(600):
        now += 20 * MS
        out = guard.step(operator(now, **squat), Mode.ACTIVE, now, state(now))
    assert out.root_pos_w[2] == pytest.approx(0.41) and np.abs(out.q - squat["q"]).max() < 1e-9
    before, most = out, {1.0: (2.0, 8.0, 15.0), 0.1: (0.1, 0.25, 0.8)}[share]
    for tick in range(round(seconds * 50)):
        now += 20 * MS
        out = guard.step(operator(now, **squat), Mode.RETURN if tick < 60 else Mode.ARMED, now, state(now))
        assert abs(out.root_pos_w[2] - before.root_pos_w[2]) <= most[0] * 0.02 + 1e-9
        assert np.linalg.norm(att.rotation_between(before.root_quat_w, out.root_quat_w)) <= most[1] * 0.02 + 1e-9
        assert np.abs(out.q - before.q).max() <= most[2] * 0.02 + 1e-9
        before = out
    assert np.abs(out.q - STAND).max() < 1e-9 and out.root_pos_w[2] == pytest.approx(0.8)
    assert np.abs(att.roll_pitch(out.root_quat_w)).max() < 1e-6


def test_a_twin_that_is_not_needed_stands_where_the_robot_is_and_nothing_else_is_moved_by_it():
    track = Track()
    track.step(Mode.ARMED, None)
    track.state = state(track.now, quat_w=att.of_yaw(1.9), has_odometry=True, root_pos_w=np.array([1.0, 2.0, 0.5]))
    out = track.step(Mode.ACTIVE, None)
    assert att.yaw_of(out.root_quat_w) == 0.0 and out.root_pos_w.tolist() == [0.0, 0.0, 0.8]
    track.guard.come_along(track.state)
    out = track.step(Mode.ACTIVE, None)
    assert att.yaw_of(out.root_quat_w) == pytest.approx(1.9) and out.root_pos_w.tolist() == [1.0, 2.0, 0.8]
    track.state = state(track.now)
    track.run(Mode.ACTIVE, 0.5)
    track.guard.come_along(track.state)
    out = track.step(Mode.ACTIVE, operator(track.now + 15 * MS))
    assert att.yaw_of(out.root_quat_w) == pytest.approx(1.9), "it follows an operator"
