from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.health import FROZEN_NS, Content, content_kind
from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.motion_file.library import load_motion
from teleopd.service.frame_checks import REASONS, THRESHOLDS, FrameChecks, Verdict

CLIP = load_motion("walk")
PERIOD = 1.0 / 60.0
HEAD, LEFT_HAND, RIGHT_HAND, T8 = (MVN.body_names.index(n) for n in ("Head", "LeftHand", "RightHand", "T8"))
Change = Callable[[HumanPose], HumanPose]


def pose(seq: int = 1, t_s: float | None = None, **changes: Any) -> HumanPose:
    """One standing frame; every `seq` differs by a breath, so that nothing is frozen."""
    t_ns = round((1.0 + (seq * PERIOD if t_s is None else t_s)) * 1e9)
    base = CLIP.pose(0, seq=seq, t_ns=t_ns)
    moved = base.pos_w + [0.0, 0.0, 1e-5 * (seq % 7)]
    return base._replace(pos_w=moved, quat_w=base.quat_w.copy(), valid=base.valid.copy())._replace(**changes)


def shifted(p: HumanPose, *by: float) -> HumanPose:
    return p._replace(pos_w=p.pos_w + np.array(by))


def turned(p: HumanPose, body: int, degrees: float) -> HumanPose:
    """One body turned about the world's Z."""
    half, quat = np.deg2rad(degrees) / 2.0, p.quat_w.copy()
    w, x, y, z = quat[body]
    c, s = np.cos(half), np.sin(half)
    quat[body] = (c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w)
    return p._replace(quat_w=quat)


def check(checks: FrameChecks, p: HumanPose) -> Verdict:
    return checks.check(p, p.t_ns)


def put(p: HumanPose, array: str, index: Any, value: Any) -> HumanPose:
    changed = getattr(p, array).copy()
    changed[index] = value
    return p._replace(**{array: changed})


def mirrored(p: HumanPose) -> HumanPose:
    """The left hand is the right hand."""
    return put(put(p, "pos_w", LEFT_HAND, p.pos_w[RIGHT_HAND]), "quat_w", LEFT_HAND, p.quat_w[RIGHT_HAND])


@pytest.fixture
def checks() -> FrameChecks:
    made = FrameChecks(MVN)
    assert check(made, pose(1)).accepted
    return made


def test_a_whole_walk_passes():
    checks = FrameChecks(MVN)
    for i in range(CLIP.frames // 2, CLIP.frames // 2 + 240):
        p = CLIP.pose(i, seq=i, t_ns=round(i * 1e9 / CLIP.fps))
        assert check(checks, p) == Verdict(True, "", False, p.t_ns)
    assert checks.accepted == 240 and sum(checks.rejected.values()) == 0 and checks.restarts == 0


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("skeleton", lambda p: p._replace(skeleton=Skeleton("smpl", MVN.body_names))),
        ("skeleton", lambda p: p._replace(pos_w=p.pos_w[:22], quat_w=p.quat_w[:22])),
        ("untracked_root", lambda p: put(p, "valid", 0, False)),
        ("non_finite", lambda p: put(p, "pos_w", (HEAD, 1), np.nan)),
        ("non_finite", lambda p: put(p, "quat_w", (HEAD, 1), np.inf)),
        ("scale", lambda p: p._replace(pos_w=p.pos_w * 100.0)),
        ("scale", lambda p: p._replace(pos_w=p.pos_w * 0.5)),
        ("out_of_reach", lambda p: shifted(p, 51.0, 0.0, 0.0)),
        ("out_of_reach", lambda p: shifted(p, 10.5, 0.0, 0.0)),
        ("out_of_reach", lambda p: put(p, "pos_w", (HEAD, 0), 3.2)),
        ("quaternion", lambda p: put(p, "quat_w", HEAD, 0.0)),
        ("quaternion", lambda p: put(p, "quat_w", HEAD, p.quat_w[HEAD] * 1.11)),
        ("quaternion", lambda p: put(p, "quat_w", HEAD, p.quat_w[HEAD] * 0.89)),
        ("order", lambda p: p._replace(seq=1)),
        ("order", lambda p: p._replace(seq=0)),
        ("identity", lambda p: put(p, "quat_w", slice(None), (1.0, 0.0, 0.0, 0.0))),
        ("mirrored", lambda p: mirrored(p)),
        ("jump", lambda p: shifted(p, 0.6, 0.0, 0.0)),
        ("jump", lambda p: turned(p, T8, 70.0)),
    ],
)  # fmt: skip
def test_each_reason_refuses_and_counts(checks: FrameChecks, reason: str, change: Change):
    verdict = check(checks, change(pose(2)))
    assert verdict == Verdict(False, reason, False, pose(1).t_ns)
    assert checks.rejected[reason] == 1 and sum(checks.rejected.values()) == 1
    assert reason in REASONS
    assert check(checks, pose(3)).accepted  # one bad frame costs one frame


@pytest.mark.parametrize(
    "change",
    [
        lambda p: put(p, "quat_w", HEAD, p.quat_w[HEAD] * 1.09),
        lambda p: shifted(p, 0.49, 0.0, 0.0),
        lambda p: turned(p, T8, 59.0),
        lambda p: turned(p, LEFT_HAND, 149.0),
        lambda p: p._replace(quat_w=-p.quat_w),
        lambda p: put(put(p, "valid", HEAD, False), "pos_w", HEAD, np.nan),
        lambda p: p._replace(seq=900),
    ],
)
def test_what_a_person_or_a_suit_may_do_passes(checks: FrameChecks, change: Change):
    assert check(checks, change(pose(2))).accepted


@pytest.mark.parametrize(
    ("dt_s", "step_m", "accepted"),
    [
        (1 / 60, 0.49, True), (1 / 60, 0.51, False),
        (1 / 120, 0.24, True), (1 / 120, 0.26, False),
        (1 / 1000, 0.24, True), (1 / 1000, 0.26, False),  # stamps of a burst tighten no further
        (1.0, 0.49, True), (1.0, 0.51, False),  # however long it took, it is a teleport
        (-0.1, 0.24, True), (-0.1, 0.26, False),
    ],
)  # fmt: skip
def test_the_root_step_scales_with_the_interval(dt_s: float, step_m: float, accepted: bool):
    checks = FrameChecks(MVN)
    check(checks, pose(1, t_s=10.0))
    assert check(checks, shifted(pose(2, t_s=10.0 + dt_s), 0.0, step_m, 0.0)).accepted is accepted


@pytest.mark.parametrize(
    ("dt_s", "degrees", "accepted"),
    [(1 / 60, 61, False), (1 / 120, 29, True), (1 / 120, 31, False), (1 / 30, 119, True), (0.5, 121, False)],
)
def test_the_turn_scales_with_the_interval(dt_s: float, degrees: float, accepted: bool):
    checks = FrameChecks(MVN)
    check(checks, pose(1, t_s=10.0))
    assert check(checks, turned(pose(2, t_s=10.0 + dt_s), T8, degrees)).accepted is accepted


def test_three_frames_of_a_jump_are_refused_and_the_fourth_restarts(checks: FrameChecks):
    verdicts = [check(checks, shifted(pose(n), 2.0, 0.0, 0.0)) for n in range(2, 7)]
    assert [v.accepted for v in verdicts] == [False, False, False, True, True]
    assert [v.restarted for v in verdicts] == [False, False, False, True, False]
    assert checks.rejected["jump"] == 3 and checks.restarts == 1


def test_frames_that_agree_with_nothing_are_never_followed(checks: FrameChecks):
    for n in range(2, 60):
        assert not check(checks, shifted(pose(n), 2.0 if n % 2 else -2.0, 0.0, 0.0)).accepted
    assert check(checks, pose(60)).accepted and checks.restarts == 0


def test_a_return_from_a_jump_needs_no_restart(checks: FrameChecks):
    for n in (2, 3, 4):
        assert check(checks, shifted(pose(n), 2.0, 0.0, 0.0)).reason == "jump"
    assert check(checks, pose(5)) == Verdict(True, "", False, pose(5).t_ns)


def test_a_frozen_body_is_refused_after_200_ms_and_its_content_ages():
    checks, first = FrameChecks(MVN), pose(1)
    check(checks, first)
    last = None
    for n in range(2, 30):
        t_ns = first.t_ns + round((n - 1) * 1e7)
        last = check(checks, first._replace(seq=n, t_ns=t_ns, t_source_ns=t_ns))
        assert last.accepted is (t_ns - first.t_ns <= 200_000_000)
        assert last.t_content_ns == first.t_ns
    assert last is not None and last.reason == "frozen"
    moved = pose(40, t_s=2.0)
    assert check(checks, moved) == Verdict(True, "", False, moved.t_ns)


def test_what_the_health_meter_calls_frozen_or_identity_is_refused_here():
    """Two questions, one answer: the meter looks at tracked bodies only, for people; what is refused here is refused
    whether it is tracked or not, for the retargeter uses every body."""
    assert THRESHOLDS["frozen_ms"].value * 1e6 == FROZEN_NS
    flat = put(pose(1), "quat_w", slice(None), (1.0, 0.0, 0.0, 0.0))
    assert content_kind(MVN, flat.pos_w, flat.quat_w, flat.valid) is Content.IDENTITY
    assert check(FrameChecks(MVN), flat).reason == "identity"
    same = mirrored(pose(1))
    left, right = (MVN.body_names.index(name) for name in ("LeftFoot", "RightFoot"))
    same.pos_w[left] = same.pos_w[right]
    assert content_kind(MVN, same.pos_w, same.quat_w, same.valid) is Content.MIRRORED
    assert check(FrameChecks(MVN), same).reason == "mirrored"
    untracked = same.valid.copy()
    untracked[[MVN.body_names.index(name) for name in ("LeftHand", "RightHand")]] = False
    assert check(FrameChecks(MVN), same._replace(valid=untracked)).reason == "mirrored"


def test_freshness_counts_from_now():
    checks, first = FrameChecks(MVN), pose(1)
    check(checks, first)
    again = first._replace(seq=2)
    assert checks.check(again, first.t_ns + 200_000_000).accepted
    assert checks.check(again._replace(seq=3), first.t_ns + 200_000_001).reason == "frozen"


def test_the_devices_reset_is_a_restart_wherever_it_is(checks: FrameChecks):
    verdict = check(checks, shifted(pose(0), 20.0, 0.0, 0.0)._replace(resets=1))
    assert verdict.accepted and verdict.restarted
    assert not check(checks, shifted(pose(1), 20.0, 0.0, 0.0)._replace(resets=1)).restarted


def test_reach_is_measured_from_where_the_motion_restarted(checks: FrameChecks):
    check(checks, shifted(pose(2), 20.0, 0.0, 0.0)._replace(resets=1))
    for n in range(3, 30):  # walks back at 0.45 m a frame: 9.9 m at n = 24, 10.35 m at n = 25
        verdict = check(checks, shifted(pose(n), 20.0 - 0.45 * (n - 2), 0.0, 0.0)._replace(resets=1))
        assert verdict.reason == ("" if n <= 24 else "out_of_reach")


def test_a_restarted_counter_is_believed_after_ten_rising_old_numbers():
    checks = FrameChecks(MVN)
    check(checks, pose(5000, t_s=0.0))
    verdicts = [check(checks, pose(n, t_s=n * PERIOD)) for n in range(1, 13)]
    assert [v.accepted for v in verdicts] == [False] * 10 + [True] * 2
    assert [v.restarted for v in verdicts] == [False] * 10 + [True, False]


def test_reordered_stragglers_are_never_a_restart():
    checks = FrameChecks(MVN)
    for n in range(10, 200, 2):
        assert check(checks, pose(n)).accepted
        assert check(checks, pose(n - 5)).reason == "order"
    assert checks.restarts == 0


def test_every_number_has_a_unit_and_a_source():
    for name, threshold in THRESHOLDS.items():
        assert threshold.value > 0.0 and threshold.unit and len(threshold.provenance) > 10, name


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan, np.inf])
def test_reach_must_be_positive(reach: float):
    with pytest.raises(ValueError, match="it must be positive"):
        FrameChecks(MVN, reach_m=reach)


def test_skeletons_without_the_usual_names_are_judged_by_their_first_body():
    skeleton = Skeleton("three", ("a", "b", "c"))
    checks = FrameChecks(skeleton)
    quat = np.tile([0.6, 0.8, 0.0, 0.0], (3, 1))

    def three(seq: int, x: float) -> HumanPose:
        pos = np.array([[x, 0, 1.0], [x, 0.1, 1.0], [x, 0.2, 1.0]]) + 1e-6 * seq
        t_ns = round(seq * PERIOD * 1e9)
        return HumanPose(skeleton, seq, t_ns, t_ns, pos, quat, np.ones(3, dtype=bool), False, 0, frozenset())

    assert check(checks, three(1, 0.0)).accepted
    assert check(checks, three(2, 0.6)).reason == "jump"
