"""One run of the battery: a trial of the evaluation, with a meter on robot-io."""

from __future__ import annotations

from typing import Any

from teleopd.service.evaluation.run import attempted
from teleopd.service.evaluation.trial import run_trial
from teleopd.service.lockstep import Lockstep
from teleopd.service.qualification.battery import Run
from teleopd.service.qualification.meter import Meter

KEPT = (
    "clip", "perturbation", "seed", "engaged", "upright", "fell_at_s", "duration_s", "active_s", "modes",
)  # fmt: skip
"""Of the row of a trial; how closely it followed is the business of `teleop eval`."""


def perform(run: Run) -> dict[str, Any]:
    """The run as one row of plain values; deterministic.

    Raises:
        NotAMotion, PolicyError, RuntimeError ...: as `run_trial`.
    """
    meters: list[Meter] = []
    loses = run.at_s if run.kind == "twin" else None

    def watch(session: Lockstep) -> None:
        meters.append(Meter(session, loses))

    row = run_trial(run, with_standby=run.kind == "twin", watch=watch)
    kept = {"kind": run.kind, **{key: row[key] for key in KEPT}}
    kept["key_body_error_mm"] = row["tracking"] and row["tracking"]["key_body_error_mm"]["median"]
    kept["gate"], kept["trip"] = meters[0].gate(), meters[0].trip()
    return kept | ({"loss": meters[0].loss()} if run.kind in ("dropout", "twin") else {})


def attempt(run: Run) -> dict[str, Any]:
    """`perform`, with what cannot be run as a row with `error` instead of figures."""
    return {"kind": run.kind, **attempted(run, perform)}
