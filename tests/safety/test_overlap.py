"""The reference never drives one part of the robot into another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.safety.conftest import make_model

from teleopd.robots.capsules import Capsules
from teleopd.robots.catalog import load_robot
from teleopd.robots.model import Array, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety import attitude as att
from teleopd.safety.overlap import Overlap
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.words import Mode

MS = 1_000_000
DEEPEST = 0.035
CAPSULES = Capsules(MODEL)
INDEX = {name: i for i, name in enumerate(MODEL.joint_names)}


def posed(**joints: float) -> Array:
    q = MODEL.q_stand.copy()
    for name, value in joints.items():
        q[INDEX[f"{name}_joint"]] = value
    return q


HAND_IN_HIP = posed(left_shoulder_pitch=0.56, left_shoulder_roll=-0.53, left_shoulder_yaw=0.12, left_elbow=0.78)
"""The left hand in the left hip: 106 mm deep."""


def gap(q: Array) -> float:
    return float(CAPSULES.gaps(q).min())


def operator(t_ns: int, q: Array) -> Reference:
    return Reference(
        seq=1, source_id=1, t_ns=t_ns, t_content_ns=t_ns, t_published_ns=t_ns, valid=True, deadman=True, resets=0,
        nominal_hz=50.0, root_pos_w=np.array([0.0, 0.0, MODEL.stand_height_m]), root_quat_w=att.IDENTITY,
        root_lin_vel_w=np.zeros(3), root_ang_vel_w=np.zeros(3), q=q, dq=np.ones(MODEL.n),
    )  # fmt: skip


def test_the_pose_of_these_tests_is_deep_inside_and_standing_is_free():
    assert gap(HAND_IN_HIP) == pytest.approx(-0.106, abs=0.001)
    assert all(Capsules(load_robot(name)).gaps(load_robot(name).q_stand).min() > 0.05
               for name in ("unitree_g1", "unitree_h1", "unitree_h1_2"))  # fmt: skip


def test_what_touches_nothing_passes_bit_for_bit():
    q = posed(left_elbow=0.4, waist_yaw=0.3)
    kept, held = Overlap(MODEL, DEEPEST).keep(q, MODEL.q_stand)
    assert kept is q and not held.any()


def test_a_hand_goes_no_deeper_than_the_limit_and_everything_else_goes_on():
    overlap, before = Overlap(MODEL, DEEPEST), MODEL.q_stand.copy()
    wanted = HAND_IN_HIP.copy()
    wanted[INDEX["right_elbow_joint"]] = 0.2
    for share in np.linspace(0.02, 1.0, 50):
        q = MODEL.q_stand + share * (wanted - MODEL.q_stand)
        before, held = overlap.keep(q, before)
        assert gap(before) >= -DEEPEST - 1e-8
    left = [i for name, i in INDEX.items() if name.startswith(("left_shoulder", "left_elbow", "left_wrist"))]
    assert held.any() and not np.delete(held, left).any()
    assert before[INDEX["right_elbow_joint"]] == pytest.approx(0.2)


def test_a_pair_that_is_deeper_already_gets_no_deeper_and_may_come_out():
    deeper = HAND_IN_HIP + 0.02 * (HAND_IN_HIP - MODEL.q_stand)
    overlap = Overlap(MODEL, DEEPEST)
    kept, held = overlap.keep(deeper, HAND_IN_HIP)
    assert held.any() and (CAPSULES.gaps(kept) >= np.minimum(CAPSULES.gaps(HAND_IN_HIP), -DEEPEST) - 1e-8).all()
    out = HAND_IN_HIP - 0.1 * (HAND_IN_HIP - MODEL.q_stand)
    kept, held = overlap.keep(out, HAND_IN_HIP)
    assert gap(kept) > gap(HAND_IN_HIP)


def test_who_is_too_deep_already_may_move_everything_else():
    """Gaps that stay as they are, are no deeper ones."""
    elsewhere = HAND_IN_HIP.copy()
    elsewhere[INDEX["right_elbow_joint"]] += 0.05
    kept, held = Overlap(MODEL, DEEPEST).keep(elsewhere, HAND_IN_HIP)
    assert kept is elsewhere and not held.any()


def test_it_is_the_pose_before_this_step_that_is_compared_with_whatever_it_let_pass_last():
    """The guard starts anew from where the robot is: what was measured of another pose counts no more."""
    overlap = Overlap(MODEL, DEEPEST)
    overlap.keep(MODEL.q_stand, MODEL.q_stand)
    out = HAND_IN_HIP - 0.1 * (HAND_IN_HIP - MODEL.q_stand)
    kept, held = overlap.keep(out, HAND_IN_HIP)
    assert kept is out and not held.any(), "from inside it may come out"
    kept, held = overlap.keep(HAND_IN_HIP, MODEL.q_stand)
    assert held.any() and gap(kept) >= -DEEPEST - 1e-8, "from outside it may not go in"


def test_a_limb_that_is_held_still_moves_where_it_can():
    """The arm may go no deeper into the hip; its wrist turns on, and the shoulder comes out."""
    deeper = HAND_IN_HIP + 0.02 * (HAND_IN_HIP - MODEL.q_stand)
    wrist, shoulder = INDEX["left_wrist_roll_joint"], INDEX["left_shoulder_roll_joint"]
    deeper[wrist] = HAND_IN_HIP[wrist] + 0.05
    kept, held = Overlap(MODEL, DEEPEST).keep(deeper, HAND_IN_HIP)
    assert held.any() and held[shoulder] and not held[wrist]
    assert kept[wrist] == deeper[wrist] and kept[shoulder] == HAND_IN_HIP[shoulder]


def test_of_a_limb_that_is_held_the_joint_that_leads_out_moves():
    """The upper arm turns the hand deeper into the hip and pitches it out, by less: the turn is held, the pitch not."""
    yaw, pitch = INDEX["left_shoulder_yaw_joint"], INDEX["left_shoulder_pitch_joint"]
    q = HAND_IN_HIP.copy()
    q[yaw] += 0.02
    q[pitch] += 0.004
    assert gap(q) < gap(HAND_IN_HIP) - 1e-6
    kept, held = Overlap(MODEL, DEEPEST).keep(q, HAND_IN_HIP)
    assert held[yaw] and not held[pitch]
    assert kept[pitch] == q[pitch] and gap(kept) > gap(HAND_IN_HIP)


def test_a_leg_that_swings_into_a_held_arm_holds_everything():
    hangs = posed(left_shoulder_roll=0.02, left_elbow=0.9, left_shoulder_pitch=0.1)
    overlap, before, everything = Overlap(MODEL, 0.0), hangs, False
    for share in np.linspace(0.0, 1.0, 40):
        q = hangs.copy()
        q[INDEX["waist_roll_joint"]], q[INDEX["waist_pitch_joint"]] = 0.5 * share, 0.5 * share
        q[INDEX["left_hip_pitch_joint"]] = -0.2 - 2.0 * share
        before, held = overlap.keep(q, before)
        assert gap(before) >= min(0.0, gap(hangs)) - 1e-8
        everything |= bool(held[INDEX["waist_pitch_joint"]])
    assert everything


def test_a_robot_that_names_no_pairs_is_left_alone():
    model = make_model()
    q = np.array([1.0, 2.0, 0.3])
    kept, held = Overlap(model, DEEPEST).keep(q, model.q_stand)
    assert kept is q and held.tolist() == [False] * 3


@settings(max_examples=max(20, settings.default.max_examples // 20))
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
def test_whatever_is_asked_no_step_makes_an_overlap_deeper_than_the_limit(seeds: list[int]):
    overlap, before = Overlap(MODEL, DEEPEST), MODEL.q_stand
    for seed in seeds:
        q = np.random.default_rng(seed).uniform(MODEL.limits.q_lower, MODEL.limits.q_upper)
        least = np.minimum(CAPSULES.gaps(before), -DEEPEST)
        kept, held = overlap.keep(q, before)
        assert (CAPSULES.gaps(kept) >= least - 1e-8).all()
        assert ((kept == q) | (kept == before)).all() and (held == (kept != q)).all()
        before = kept


def test_the_guard_engages_on_it_holds_the_hand_tells_and_lets_go_again():
    guard, now = ReferenceGuard(MODEL), 1_000 * MS
    guard.step(None, Mode.ARMED, now, None)
    seen = 0
    for _ in range(150):
        now += 20 * MS
        out = guard.step(operator(now, HAND_IN_HIP), Mode.ACTIVE, now, None)
        assert gap(out.q) >= -DEEPEST - 1e-8
        seen += guard.held_joints > 0
    assert seen > 50 and guard.held_joints > 0
    held = np.abs(out.q - HAND_IN_HIP) > 1e-9
    assert held.any() and not out.dq[held].any() and (out.dq[~held] == 1.0).all(), "what is held has no speed"
    for _ in range(150):
        now += 20 * MS
        out = guard.step(operator(now, MODEL.q_stand), Mode.ACTIVE, now, None)
    assert out.q == pytest.approx(MODEL.q_stand) and guard.held_joints == 0
