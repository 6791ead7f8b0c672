"""Many trials over several processes, and what they come to per policy and disturbance."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np

from teleopd.drivers.source import SourceError
from teleopd.service.child import follow_the_parent
from teleopd.service.evaluation.clips import clip_name
from teleopd.service.evaluation.robot_motion import NotAMotion
from teleopd.service.evaluation.trial import Trial, run_trial
from teleopd.service.policy.errors import PolicyError
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.tables import TableError

SCHEMA = 2
"""Of the JSON file; 2 has `wrist_error_mm`."""
T = TypeVar("T", bound=Trial)
TRACKING = (
    "e_vel_m_s", "e_mpkpe_mm", "e_mpjpe_rad", "joint_rmse_rad", "wrist_error_mm", "root_drift_m", "yaw_drift_deg",
    "lag_ms",
)  # fmt: skip


def attempted(trial: T, run: Callable[[T], dict[str, Any]] = run_trial) -> dict[str, Any]:
    """`run(trial)`, with what cannot be run as a row with `error` instead of figures."""
    try:
        return run(trial)
    except (NotAMotion, SourceError, PolicyError, TableError, CalibrationError, RuntimeError, OSError) as error:
        return failed(trial, " ".join(str(error).split()))


def failed(trial: Trial, sentence: str) -> dict[str, Any]:
    """The row of a trial that did not take place."""
    return {
        "policy": trial.label, "clip": clip_name(trial.clip), "perturbation": trial.disturbance.name,
        "seed": trial.seed, "error": sentence,
    }  # fmt: skip


def run_all(
    trials: Sequence[T], jobs: int, on_row: Callable[[T, dict[str, Any]], None] = lambda _trial, _row: None,
    attempt: Callable[[T], dict[str, Any]] = attempted,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows in the order of `trials`, run in `jobs` spawned processes (1: in this one); `on_row` hears each when it
    ends. `attempt` makes a row and raises nothing; other processes import it by its name."""
    rows: list[dict[str, Any] | None] = [None] * len(trials)
    for i, row in _in_turn(trials, attempt) if jobs <= 1 or not trials else _spread(trials, jobs, attempt):
        rows[i] = row
        on_row(trials[i], row)
    return [row for row in rows if row is not None]


def _in_turn(trials: Sequence[T], attempt: Callable[[T], dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, trial in enumerate(trials):
        yield i, attempt(trial)


def _spread(
    trials: Sequence[T], jobs: int, attempt: Callable[[T], dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(trials)), mp_context=context, initializer=follow_the_parent) as pool:
        open_: dict[Future[dict[str, Any]], int] = {pool.submit(attempt, trial): i for i, trial in enumerate(trials)}
        try:
            while open_:
                for done in wait(open_, return_when=FIRST_COMPLETED).done:
                    i = open_.pop(done)
                    try:
                        yield i, done.result()
                    except BrokenProcessPool:
                        yield i, failed(trials[i], "a process that ran clips died (out of memory?)")
        finally:
            for future in open_:
                future.cancel()


def summaries(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per policy and disturbance.

    `runs` took place; `survived` stayed upright to the clip's end; `failures` fell or were never engaged. E_* are
    means over runs, the rest medians; a run that fell counts up to its fall.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault((row["policy"], row["perturbation"]), []).append(row)
    return [_summary(policy, name, members) for (policy, name), members in groups.items()]


def _summary(policy: str, name: str, members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    survived = sum(row["upright"] and row["engaged"] for row in members)
    judged = [row for row in members if row["tracking"] is not None]
    tracking: dict[str, Any] = {
        key: _middle([row["tracking"][key] for row in judged], mean=key.startswith("e_")) for key in TRACKING
    }
    tracking["key_body_error_mm"] = {
        part: _middle([row["tracking"]["key_body_error_mm"][part] for row in judged]) for part in ("median", "p95")
    }
    return {
        "policy": policy, "perturbation": name, "runs": len(members), "survived": survived,
        "failures": len(members) - survived, "tracking": tracking,
        "foot_slip_m_s": _middle([row["foot_slip_m_s"] for row in judged]),
        "torque_share": {
            part: _middle([row["torque_share"][part] for row in judged]) for part in ("rms", "max")
        },
        "energy_j": _middle([row["energy_j"] for row in judged]),
    }  # fmt: skip


def _middle(values: Sequence[float | None], *, mean: bool = False) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return float(np.mean(known) if mean else np.median(known))
