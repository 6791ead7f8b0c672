"""Runs of the battery on the real chain: what the meter hears is what happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Mode
from teleopd.service.evaluation import trial
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.qualification.battery import Run, battery
from teleopd.service.qualification.meter import Meter
from teleopd.service.qualification.run import attempt, perform
from teleopd.service.robot_io_stage import RobotIoTick


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    found = resolve("default", MODEL)
    assert found is not None
    return battery("quick", found, "unitree_g1", 33.0)


def first(runs: list[Run], kind: str) -> Run:
    return next(run for run in runs if run.kind == kind)


class Quick(Lockstep):
    """Physics at 500 Hz, and its last session kept."""

    last: Lockstep

    def __init__(self, model: Any, policy: ResolvedPolicy, **options: Any) -> None:
        super().__init__(model, policy, physics_hz=500, **options)
        Quick.last = self


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "Lockstep", Quick)


def test_a_dropout_is_timed_from_the_last_good_frame_and_its_drift_is_that_of_the_robot(runs: list[Run]):
    run = first(runs, "dropout")
    silent = replace(run.disturbance, dropouts=(75, 10_000))
    row = perform(replace(run, disturbance=silent, seconds=3.6))
    session = Quick.last
    hold = next(change for change in session.changes if change.mode is Mode.HOLD)
    ticks = session.ticks
    followed = ticks[ticks["reference_seq"] > 0]
    last_s = followed["t_reference_ns"].max() / 1e9 - 1.0
    assert row["loss"]["hold_ms"] == pytest.approx(1e3 * (hold.t_s - last_s), abs=0.06)
    assert 60.0 <= row["loss"]["hold_ms"] <= 100.0
    assert 400.0 <= row["loss"]["return_ms"] <= 450.0
    assert row["loss"]["stood"] is True and 0.0 <= row["loss"]["drift_m"] < 0.7
    assert [mode for _, mode, _ in row["modes"]] == ["ACTIVE", "HOLD", "RETURN", "ARMED"]
    assert row["trip"] == {"tilt": False, "damped": False, "lead_s": None}
    gate = row["gate"]
    assert gate["ticks"] == pytest.approx(row["active_s"] * 500, abs=30)
    assert gate["changed"] >= max(gate["steps"]["box"], gate["steps"]["rate"])


def test_the_twin_takes_over_from_a_policy_that_is_gone(runs: list[Run]):
    row = perform(replace(first(runs, "twin"), at_s=1.5, seconds=3.6))
    assert [(mode, cause) for _, mode, cause in row["modes"]] == [
        ("ACTIVE", ""), ("RETURN", "STANDBY_TOOK_OVER"), ("ARMED", ""),
    ]  # fmt: skip
    assert 60.0 <= row["loss"]["return_ms"] <= 100.0
    assert row["loss"]["hold_ms"] is None
    assert row["loss"]["stood"] is True


def test_a_run_that_cannot_take_place_is_a_row_with_its_sentence(runs: list[Run]):
    row = attempt(replace(first(runs, "nominal"), clip="nowhere.bvh"))
    assert row["kind"] == "nominal" and "nowhere.bvh" in row["error"]


def test_a_trip_leads_the_fall_and_one_that_never_came_leads_by_nothing(runs: list[Run]):
    found = first(runs, "nominal").policy
    session = Quick(MODEL, found)
    meter = Meter(session)
    assert meter.trip() == {"tilt": False, "damped": False, "lead_s": None}
    session.fell_at_s = 2.5
    assert meter.trip() == {"tilt": False, "damped": False, "lead_s": 0.0}
    ticks: list[RobotIoTick] = []
    hear = session.on_robot_io
    session.on_robot_io = lambda tick: (ticks.append(tick), hear(tick))[1]
    session.arm()
    assert meter.gate()["ticks"] == 0, "the operator has not engaged"
    session.robot.push((2500.0, 0.0, 0.0), 0.2)
    session.fell_at_s = None
    session.run(lambda _now: None, 1.5)
    assert session.fell_at_s is not None
    damped = next(change for change in session.changes if change.mode is Mode.DAMPED)
    assert meter.trip() == {"tilt": True, "damped": True, "lead_s": round(session.fell_at_s - damped.t_s, 3)}
    assert ticks and np.diff([tick.status.t_ns for tick in ticks]).tolist() == [2_000_000] * (len(ticks) - 1)


def test_what_left_the_gate_is_compared_with_what_the_policy_wanted(runs: list[Run]):
    session = Quick(MODEL, first(runs, "nominal").policy)
    meter = Meter(session)
    ticks: list[RobotIoTick] = []
    session.on_robot_io = ticks.append
    session.arm()
    tick = ticks[-1]
    targets = tick.output.targets
    assert targets is not None
    wanted = np.zeros(MODEL.n)
    off = wanted.copy()
    off[3] = -0.25
    counts = np.zeros(8, np.uint32)
    output = tick.output._replace(mode=Mode.ACTIVE, targets=targets._replace(q=wanted, healthy=True))
    for command, box in ((wanted, 0), (off, 1), (off, 2), (wanted, 2)):
        counts[GATE_STEPS.index("box")] = box
        meter.hear(tick._replace(output=output, status=tick.status._replace(q_command=command, gate_counts=counts)))
    gate = meter.gate()
    assert (gate["ticks"], gate["changed"], gate["changed_share"], gate["largest_rad"]) == (4, 2, 0.5, 0.25)
    assert gate["steps"]["box"] == 2 and sum(gate["steps"].values()) == 2
