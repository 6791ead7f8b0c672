"""Rows become figures, figures become verdicts: by hand, at the limits."""

from __future__ import annotations

from typing import Any

import pytest

from teleopd.service.qualification.criteria import CRITERIA, criteria_markdown, judge
from teleopd.service.qualification.figures import figures

STEPS = dict.fromkeys(("not_finite", "blend", "box", "rate", "torque", "gain_scale", "whitelist", "refused"), 0)


def row(kind: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "kind": kind, "clip": "walk", "perturbation": "none", "seed": 0, "engaged": True, "upright": True,
        "fell_at_s": None, "modes": [[0.0, "ACTIVE", ""]],
        "gate": {"ticks": 1000, "changed": 100, "largest_rad": 0.25, "steps": {**STEPS, "box": 80, "gain_scale": 2}},
        "trip": {"tilt": False, "damped": False, "lead_s": None},
    }  # fmt: skip
    if kind in ("dropout", "twin"):
        hold = 62.0 if kind == "dropout" else None
        made["loss"] = {"hold_ms": hold, "return_ms": 402.0 if hold else 84.0, "drift_m": 0.2, "stood": True}
    if kind == "fall":
        made |= {"upright": False, "trip": {"tilt": True, "damped": True, "lead_s": 0.2}}
    return made | more


def good() -> list[dict[str, Any]]:
    kinds = ("nominal", "dropout", "twin", "push", "hard push", "latency", "noise", "gains", "armature", "fall")
    return [row(kind) for kind in kinds for _ in range(4)]


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """Names of the lines that fail."""
    return [line.name for line in judge(*figures(rows)) if not line.passed]


def test_a_sound_battery_passes_every_line():
    found, counts = figures(good())
    assert verdict(good()) == []
    assert found["dropout_upright"] == 1.0 and counts["dropout_upright"] == "4/4"
    assert found["gate_changed"] == 0.1 and found["gate_gains_scaled"] == 0.002 and found["gate_box"] == 0.08
    assert found["tilt_lead"] == 0.2 and counts["tilt_lead"] == "4 falls"
    assert (found["dropout_hold"], found["dropout_return"], found["twin_return"]) == (62.0, 402.0, 84.0)


@pytest.mark.parametrize(
    ("kind", "change", "failed"),
    [
        ("nominal", {"upright": False}, ["nominal_upright"]),
        ("nominal", {"engaged": False}, ["nominal_upright"]),
        ("nominal", {"trip": {"tilt": True, "damped": True, "lead_s": None}}, ["false_trips"]),
        ("nominal", {"modes": [[0.0, "ACTIVE", ""], [1.0, "RETURN", "MOTOR_HOT"]]}, ["nominal_returns"]),
        ("push", {"gate": {"ticks": 9, "changed": 0, "largest_rad": 0.0, "steps": {**STEPS, "not_finite": 1}}},
         ["gate_unsound"]),
        ("dropout", {"loss": {"hold_ms": 100.1, "return_ms": 402.0, "drift_m": 0.2, "stood": True}},
         ["dropout_hold"]),
        ("dropout", {"loss": {"hold_ms": 100.0, "return_ms": 450.1, "drift_m": 0.5, "stood": True}},
         ["dropout_return"]),
        ("dropout", {"loss": {"hold_ms": 62.0, "return_ms": 402.0, "drift_m": 0.51, "stood": True}},
         ["dropout_drift"]),
        ("dropout", {"loss": {"hold_ms": 62.0, "return_ms": None, "drift_m": None, "stood": False}},
         ["dropout_upright", "dropout_drift", "dropout_return"]),
        ("twin", {"loss": {"hold_ms": None, "return_ms": 84.0, "drift_m": 3.0, "stood": False}}, ["twin_upright"]),
        ("push", {"upright": False}, ["push_upright"]),
        ("hard push", {"upright": False}, []),
        ("latency", {"upright": False}, ["latency_upright"]),
        ("noise", {"upright": False}, ["noise_upright"]),
        ("gains", {"upright": False}, ["gains_upright"]),
        ("armature", {"upright": False}, ["armature_upright"]),
        ("armature", {"error": "out of memory"}, ["armature_upright"]),
    ],
)  # fmt: skip
def test_one_run_that_goes_wrong_fails_its_own_line(kind: str, change: dict[str, Any], failed: list[str]):
    rows = good()
    rows[next(i for i, one in enumerate(rows) if one["kind"] == kind)] |= change
    assert verdict(rows) == failed


def test_two_of_four_hard_pushes_are_too_few():
    rows = good()
    for one in [one for one in rows if one["kind"] == "hard push"][:2]:
        one["upright"] = False
    assert verdict(rows) == ["hard_push_upright"]


def test_what_was_not_measured_does_not_pass():
    assert verdict([]) == [one.name for one in CRITERIA]
    upright = [one for one in good() if one["kind"] != "fall"] + [row("fall", trip=row("push")["trip"])]
    (line,) = [line for line in judge(*figures(upright)) if not line.passed]
    assert line.sentence() == "tilt_lead is not measured, wanted at least 0.15 s"


def test_the_median_lead_decides_and_a_missed_fall_counts_as_none():
    leads = (0.0, 0.14, 0.16, 0.3)
    rows = [one for one in good() if one["kind"] != "fall"]
    rows += [row("fall", trip={"tilt": lead > 0, "damped": True, "lead_s": lead}) for lead in leads]
    assert figures(rows)[0]["tilt_lead"] == pytest.approx(0.15)
    assert verdict(rows) == []
    rows[-1]["trip"]["lead_s"] = 0.1
    assert verdict(rows) == ["tilt_lead"]


def test_the_table_says_where_each_limit_comes_from():
    assert len({one.name for one in CRITERIA}) == len(CRITERIA)
    assert all(one.provenance and one.text and one.unit for one in CRITERIA)
    text = criteria_markdown()
    assert text.count("\n") == len(CRITERIA) + 2
    assert "| `dropout_drift` | largest drift in these 5 s | at most 0.5 m |" in text
