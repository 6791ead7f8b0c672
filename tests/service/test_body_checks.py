"""Limbs keep their lengths and sides; creeping lengths are followed; another person starts anew."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.frame_checks import FrameChecks, Verdict
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.source_process import SourceStage

CLIP = load_motion("walk")
START = CLIP.frames // 2
AT = {name: i for i, name in enumerate(MVN.body_names)}
HZ = 60.0


def pose(k: int, scale: float = 1.0) -> HumanPose:
    """Frame `k` of a walk at 60 Hz, of a person so much larger."""
    made = CLIP.pose(START + 2 * (k % 200), seq=k + 1, t_ns=10**9 + round(k * 1e9 / HZ))
    return made._replace(pos_w=made.pos_w * scale, quat_w=made.quat_w.copy(), valid=made.valid.copy())


def exchanged(p: HumanPose, *parts: str) -> HumanPose:
    """Left and right of these segments hold each other's pose."""
    order = np.arange(len(AT))
    for part in parts:
        left, right = AT["Left" + part], AT["Right" + part]
        order[[left, right]] = right, left
    return p._replace(pos_w=p.pos_w[order], quat_w=p.quat_w[order])


def moved(p: HumanPose, body: str, *by: float) -> HumanPose:
    pos = p.pos_w.copy()
    pos[AT[body]] += by
    return p._replace(pos_w=pos)


def run(checks: FrameChecks, p: HumanPose) -> Verdict:
    return checks.check(p, p.t_ns)


@pytest.fixture
def checks() -> FrameChecks:
    made = FrameChecks(MVN)
    for k in range(5):
        assert run(made, pose(k)).accepted
    return made


@pytest.mark.parametrize(
    "parts", [("Hand",), ("ForeArm",), ("ForeArm", "Hand"), ("UpperArm", "ForeArm", "Hand"), ("Foot",),
              ("UpperLeg", "LowerLeg", "Foot", "Toe")],
)  # fmt: skip
def test_exchanged_sides_are_named(checks: FrameChecks, parts: tuple[str, ...]):
    assert run(checks, exchanged(pose(5), *parts)).reason == "swapped"
    assert run(checks, pose(6)).accepted


def test_shins_exchanged_between_parallel_legs_are_named_once_the_legs_part(checks: FrameChecks):
    reasons = [run(checks, exchanged(pose(k), "LowerLeg", "Foot", "Toe")).reason for k in range(5, 65)]
    assert "swapped" in reasons and set(reasons) <= {"", "swapped", "jump"}


def test_exchanged_sides_are_never_got_used_to(checks: FrameChecks):
    verdicts = {run(checks, exchanged(pose(k), "ForeArm", "Hand")).reason for k in range(5, 200)}
    assert verdicts == {"swapped"}


def test_sides_exchanged_from_the_first_frame_on_are_named():
    whole = ("Shoulder", "UpperArm", "ForeArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toe")
    assert run(FrameChecks(MVN), exchanged(pose(0), *whole)).reason == "swapped"


def test_crossed_arms_and_legs_are_not_exchanged(checks: FrameChecks):
    crossed = pose(5)
    for part, by in (("Hand", 0.05), ("ForeArm", 0.04)):
        crossed = moved(moved(crossed, "Left" + part, 0, -by, 0), "Right" + part, 0, by, 0)
    assert run(checks, crossed).accepted


@pytest.mark.parametrize(("by_m", "reason"), [(0.06, ""), (0.09, "limb")])
def test_a_limb_may_change_by_a_fifth_and_two_centimetres(checks: FrameChecks, by_m: float, reason: str):
    """The forearm of this person is 0.255 m: 0.2 * 0.255 + 0.02 = 0.071 m."""
    p = pose(5)
    along = p.pos_w[AT["LeftHand"]] - p.pos_w[AT["LeftForeArm"]]
    assert np.linalg.norm(along) == pytest.approx(0.2555, abs=1e-3)
    assert run(checks, moved(p, "LeftHand", *(along / np.linalg.norm(along) * by_m))).reason == reason


def test_a_lost_body_is_not_judged(checks: FrameChecks):
    p = moved(pose(5), "LeftHand", 0.5, 0.0, 0.0)
    p.valid[AT["LeftHand"]] = False
    assert run(checks, p).accepted


def test_creeping_lengths_are_followed(checks: FrameChecks):
    """A headset that takes 30 s to find out that the person is 40 % larger."""
    for k in range(5, 1800):
        assert run(checks, pose(k, 1.0 + 0.4 * k / 1800.0)).reason in ("", "jump")
    assert checks.rejected["limb"] == 0


def test_another_person_is_refused_for_a_second_and_then_measured_anew(checks: FrameChecks):
    verdicts = [run(checks, pose(k, 1.4)) for k in range(5, 80)]
    accepted = [v.accepted for v in verdicts]
    first = accepted.index(True)
    assert first == 60 and {v.reason for v in verdicts[:first]} == {"limb"}
    assert verdicts[first].restarted and not verdicts[first + 1].restarted and all(accepted[first:])


def test_the_device_that_starts_anew_may_bring_another_person(checks: FrameChecks):
    verdict = run(checks, pose(5, 1.4)._replace(resets=1))
    assert verdict.accepted and verdict.restarted
    assert run(checks, pose(6, 1.4)._replace(resets=1)).accepted


def test_another_person_is_measured_by_the_retargeter():
    retargeter = Retargeter(MODEL, MVN)
    stage = SourceStage(FrameChecks(MVN), retargeter, source_id=1)
    for k in range(5):
        stage.on_pose(pose(k), pose(k).t_ns)
    before = retargeter.calibration
    for k in range(5, 80):
        tick = stage.on_pose(pose(k, 1.4), pose(k).t_ns)
    after = retargeter.calibration
    assert before is not None and after is not None and tick.reference is not None
    assert after.leg_m == pytest.approx(1.4 * before.leg_m, rel=1e-6)
    assert tick.reference.valid and tick.reference.resets == 1
