"""Trials through the whole pipeline, alone and spread over processes, and what they come to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import motion_names
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.disturbances import disturbances
from teleopd.service.evaluation.run import attempted, run_all, summaries
from teleopd.service.evaluation.trial import Trial
from teleopd.service.policy.library import resolve

SPEED = ("real_time_factor",)


@pytest.fixture(scope="module")
def default() -> Trial:
    """The shipped policy on the first instants of a built-in motion."""
    policy = resolve("default", MODEL)
    assert policy is not None
    return Trial("unitree_g1", "default", policy, "reach", disturbances(["none"])[0], seconds=0.5)


def without_speed(rows: list[dict[str, object]]) -> str:
    return json.dumps([{k: v for k, v in row.items() if k not in SPEED} for row in rows])


def test_a_trial_is_judged_from_engaging_to_the_end(default: Trial):
    row = attempted(default)
    assert (row["policy"], row["clip"], row["perturbation"], row["seed"]) == ("default", "reach", "none", 0)
    assert (row["engaged"], row["upright"], row["fell_at_s"]) == (True, True, None)
    assert row["modes"] == [[0.0, "ACTIVE", ""]]
    assert row["frames"] == {"rejected": 0, "left_out": 0}
    # 4 s of standing before, of which 1.2 s pass before the operator presses, the half second, 1 s of standing after.
    assert 5.5 - 1.2 - 0.4 < row["duration_s"] < 5.5 - 1.2
    assert row["active_s"] == pytest.approx(row["duration_s"], abs=0.05)
    tracking = row["tracking"]
    assert 0.0 < tracking["key_body_error_mm"]["median"] < tracking["key_body_error_mm"]["p95"] < 60.0
    assert tracking["e_mpkpe_mm"] == pytest.approx(tracking["key_body_error_mm"]["median"], rel=0.3)
    assert 0.0 < tracking["e_mpjpe_rad"] < tracking["joint_rmse_rad"] < 0.15
    assert tracking["yaw_drift_deg"] < 5.0 and tracking["root_drift_m"] < 0.1
    assert 0.0 < row["torque_share"]["rms"] < row["torque_share"]["max"] < 1.0
    assert row["foot_slip_m_s"] < 0.05 and row["energy_j"] > 0.0


def test_processes_give_what_one_gives_and_a_clip_that_cannot_run_stops_nobody(default: Trial):
    """A push of 900 N for 0.2 s fells it; another direction is another fall; the missing clip is named."""
    push_left, push_right = disturbances(["push=900@90", "push=900@-90"])
    trials = [
        replace(default, disturbance=push_left), replace(default, clip="nowhere.bvh"),
        replace(default, disturbance=push_right),
    ]  # fmt: skip
    heard: list[str] = []
    spread = run_all(trials, 2, lambda trial, row: heard.append(trial.disturbance.name))
    assert sorted(heard) == ["none", "push=900@-90", "push=900@90"]
    assert [row["perturbation"] for row in spread] == ["push=900@90", "none", "push=900@-90"], "in the order given"
    assert spread[1] == {
        "policy": "default", "clip": "nowhere", "perturbation": "none", "seed": 0,
        "error": "no built-in motion and no file 'nowhere.bvh'; built-in are " + ", ".join(motion_names)
        + "; files are BVH",
    }  # fmt: skip
    for row in (spread[0], spread[2]):
        assert row["upright"] is False and 2.0 < row["fell_at_s"] < 4.0
    assert without_speed([spread[0]]) == without_speed(run_all(trials[:1], 1)), "equal seeds give equal runs"
    assert spread[0]["tracking"] != spread[2]["tracking"]


def row(policy: str, mm: float | None, *, upright: bool = True, engaged: bool = True) -> dict[str, object]:
    tracking = None if mm is None else {
        "e_vel_m_s": mm / 100, "e_mpkpe_mm": mm, "e_mpjpe_rad": 0.1, "joint_rmse_rad": mm / 1000, "root_drift_m": None,
        "yaw_drift_deg": 1.0, "lag_ms": 40.0, "wrist_error_mm": mm / 2,
        "key_body_error_mm": {"median": mm, "p95": 2 * mm},
    }  # fmt: skip
    return {
        "policy": policy, "perturbation": "none", "engaged": engaged, "upright": upright, "tracking": tracking,
        "foot_slip_m_s": 0.1, "torque_share": {"rms": 0.1, "max": 0.5}, "energy_j": mm,
    }  # fmt: skip


def test_summaries_count_and_average():
    rows = [
        row("a", 10.0), row("a", 20.0), row("a", 60.0, upright=False), row("b", None, engaged=False),
        {"policy": "a", "perturbation": "none", "error": "not there"},
    ]  # fmt: skip
    first, second = summaries(rows)
    assert (first["policy"], first["runs"], first["survived"], first["failures"]) == ("a", 3, 2, 1)
    assert first["tracking"]["e_mpkpe_mm"] == 30.0, "the field's errors are means"
    assert first["tracking"]["joint_rmse_rad"] == 0.02, "the rest are medians"
    assert first["tracking"]["key_body_error_mm"] == {"median": 20.0, "p95": 40.0}
    assert first["tracking"]["wrist_error_mm"] == 10.0
    assert first["tracking"]["root_drift_m"] is None
    assert (second["runs"], second["survived"], second["failures"]) == (1, 0, 1), "never engaged is a failure"
    assert second["tracking"]["e_vel_m_s"] is None and second["energy_j"] is None
    assert np.isfinite(first["energy_j"])
