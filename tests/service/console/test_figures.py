from __future__ import annotations

import json

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.capture.records import NO_PICTURE, SHOWING, CameraStatus, as_bytes
from teleopd.service.console.figures import LIMBS, StagePlots, camera, figures, recent
from teleopd.service.console.snapshot import NOTHING_YET
from teleopd.service.latency_status import BUCKETS_MS, STAGES, LatencyStatus
from teleopd.service.streams import PolicyStatus

MS = 1_000_000


def seen(state: int = SHOWING, sentence: str = "") -> CameraStatus:
    return CameraStatus(1, state, 14.96, 100, 0, 0, 320, 240, as_bytes("head", 32), as_bytes(sentence, 400))


def latency(t_ns: int, n: int, sum_ms: float) -> LatencyStatus:
    """Published once `n` samples of the second stage had `sum_ms` in all."""
    counts = np.zeros((len(STAGES), len(BUCKETS_MS) + 1), np.int64)
    counts[1, 3] = n
    sums = np.zeros(len(STAGES))
    sums[1] = sum_ms
    recent_ms = np.full((len(STAGES), 4), np.nan)
    recent_ms[1] = (11.0, 15.0, 19.5, 22.0)
    return LatencyStatus(t_ns, counts, sums, recent_ms)


def shown(snapshot, **latencies) -> dict:
    return json.loads(json.dumps(figures(MODEL, snapshot, latencies, {})))


def test_a_healthy_run_in_figures(snapshot):
    found = shown(snapshot, policy=3.0)
    assert found["mode"] == "ACTIVE" and found["latency_ms"] == {"policy": 3.0}
    assert found["source"] == {"state": "STREAMING", "hz": 119.9, "age_ms": 5.0}
    assert found["late_ms"] == {"control": 1.25}
    assert found["limbs"] == dict.fromkeys(LIMBS, 1.0)
    assert found["gate"] == {"steps": {}, "joints": {}} and found["cameras"] == [] and found["force_limit_n"] is None


def test_before_anything_was_published_every_figure_is_absent_and_still_json():
    found = shown(NOTHING_YET)
    assert found["mode"] is None and found["source"] == {"state": "CONNECTING", "hz": None, "age_ms": None}
    assert found["limbs"] == {} and found["gate"] == {"steps": {}, "joints": {}}


def test_every_segment_belongs_to_one_limb():
    assert sorted(body for bodies in LIMBS.values() for body in bodies) == sorted(MVN_SEGMENTS)


def test_a_limb_that_is_lost_in_part_says_how_much_of_it_is_seen(snapshot):
    human = snapshot.human
    human.valid[[MVN_SEGMENTS.index("LeftForeArm"), MVN_SEGMENTS.index("LeftHand")]] = False
    human.valid[[MVN_SEGMENTS.index(body) for body in LIMBS["right leg"]]] = False
    found = shown(snapshot)["limbs"]
    assert (found["left arm"], found["right leg"], found["head"]) == (0.5, 0.0, 1.0)


def test_the_gates_steps_and_worst_joints_by_name(snapshot, make):
    gates, joints = np.zeros(8, np.uint32), np.zeros(MODEL.n, np.uint32)
    gates[3], joints[[2, 5]] = 7, (1, 9)
    found = shown(snapshot._replace(safety=make["status"](gate_counts=gates, joint_interventions=joints)))["gate"]
    names = [MODEL.joint_names[i].removesuffix("_joint") for i in (5, 2)]
    assert found == {"steps": {"rate": 7}, "joints": {names[0]: 9, names[1]: 1}}


@pytest.mark.parametrize(("newton", "expected"), [(9.5, 9.5), (float("nan"), None)])
def test_the_force_limit_in_force(snapshot, newton, expected):
    assert shown(snapshot._replace(policy=PolicyStatus(1, 0, 0.0, 0.0, newton, False)))["force_limit_n"] == expected


def test_a_stage_is_plotted_as_the_mean_since_the_last_publication():
    plots = StagePlots()
    assert plots.see(None) == dict.fromkeys(STAGES)
    assert plots.see(latency(1, 10, 100.0))["receipt_to_target"] == 10.0
    assert plots.see(latency(2, 15, 200.0))["receipt_to_target"] == 20.0
    assert plots.see(latency(2, 15, 200.0))["receipt_to_target"] == 20.0, "read twice"
    assert plots.see(latency(3, 15, 200.0))["receipt_to_target"] is None, "no sample since"


def test_the_panel_gets_only_stages_that_were_measured():
    found = recent(latency(1, 10, 100.0))
    assert list(found) == ["receipt_to_target"] and found["receipt_to_target"] == (11.0, 15.0, 19.5, 22.0, 10)
    assert recent(None) == {}


def test_a_camera_that_stalls_says_since_when():
    now = 10_000 * MS
    fresh = camera(0, seen(), now - 100 * MS, now)
    assert fresh == {
        "number": 0,
        "name": "head",
        "hz": 15.0,
        "seq": (now - 100 * MS) // 1000,
        "age_ms": 100,
        "words": "",
    }
    assert camera(0, seen(), now - 4_000 * MS, now)["words"] == "no picture for 4 s"
    gone = camera(0, seen(NO_PICTURE, "camera 'head' sends nothing"), now - 4_000 * MS, now)
    assert gone["words"] == "no picture for 4 s: camera 'head' sends nothing"
    never = camera(0, seen(NO_PICTURE, "camera 'head': /dev/video0 is busy"), 0, now)
    assert never["words"] == "camera 'head': /dev/video0 is busy" and never["age_ms"] is None
    assert camera(0, seen(), 0, now)["words"] == "no picture"
