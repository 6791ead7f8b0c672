"""`teleop eval`: how well policies follow clips, through the whole pipeline, with and without disturbances."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from teleopd.drivers.source import SourceError
from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.outputs import output_file
from teleopd.robots.model import RobotModel
from teleopd.service.evaluation.clips import clip_name, find_clips, open_clip
from teleopd.service.evaluation.disturbances import BadDisturbance, Disturbance, disturbances
from teleopd.service.evaluation.kept import KeptRows, NotKept
from teleopd.service.evaluation.robot_motion import NotAMotion
from teleopd.service.evaluation.run import SCHEMA, run_all, summaries
from teleopd.service.evaluation.trial import Trial
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve
from teleopd.service.policy.runtime import PolicyRuntime

WIDE = 190
"""Characters a line of a table that goes into a file or a pipe."""
COLUMNS = (
    ("key mm", ("tracking", "key_body_error_mm", "median"), 1), ("p95", ("tracking", "key_body_error_mm", "p95"), 1),
    ("wrists", ("tracking", "wrist_error_mm"), 1), ("E_mpkpe mm", ("tracking", "e_mpkpe_mm"), 1),
    ("E_mpjpe rad", ("tracking", "e_mpjpe_rad"), 3), ("rmse rad", ("tracking", "joint_rmse_rad"), 3),
    ("E_vel m/s", ("tracking", "e_vel_m_s"), 2), ("drift m", ("tracking", "root_drift_m"), 2),
    ("yaw deg", ("tracking", "yaw_drift_deg"), 1), ("lag ms", ("tracking", "lag_ms"), 0),
    ("slip m/s", ("foot_slip_m_s",), 3), ("torque", ("torque_share", "rms"), 2), ("J", ("energy_j",), 0),
)  # fmt: skip
"""Heading, where the figure lies in a row, decimals."""


@dataclass(frozen=True, slots=True)
class Eval:
    """Run clips in lock step through the whole pipeline (frame checks, retargeting, guard, policy, safety, virtual
    robot) and say how well each policy follows them and whether the robot stays up.

    E_vel [m/s], E_mpkpe [mm] and E_mpjpe [rad] are the field's mean errors of root velocity, key points and joints;
    key and wrists [mm] are the median errors of key bodies and of wrists, drift [m] and yaw [deg] are those at the
    end, lag [ms] is the delay of the joints, slip [m/s] the speed of soles on the floor, torque the root mean square
    share of the limits, J the mechanical work. Exit status 1 when a clip could not be run.
    """

    clips: tuple[str, ...] = ()
    """Folders, motion files (BVH of a person; pkl or npz of the robot itself) and built-in motions."""
    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A policy: NAME, FILE or LABEL=FILE; repeat the flag to compare several. The robot's default when not given."""
    perturbation: tuple[str, ...] = ("none",)
    """Disturbances, each run by itself: a preset (none, nominal_delay_20ms, smap, sensors, pushes, harsh), or
    push=N@DEG (push=N: from eight sides), gains=K, armature=K, payload=KG, torso=KG, friction=MU, latency=MS, noise=K,
    reference=RAD, dropouts=TICKS/TICKS; 'battery' is a list of them."""
    seeds: int = 1
    """Runs of each clip and disturbance. Seed 0 starts undisturbed, the others with a push to 0.15 m/s."""
    seconds: float = 60.0
    """Play at most so much of each clip [s]."""
    jobs: int = 0
    """Processes; 0: one for each core."""
    robot: str = "unitree_g1"
    """The robot."""
    out: Path | None = None
    """Write everything to this JSON file too; until the end every run that is over is kept in FILE.part."""
    resume: bool = False
    """Go on with an evaluation that was stopped: what FILE.part of --out holds is not run again."""
    json: bool = False
    """Print JSON: one line for each run, then one for each policy and disturbance."""

    def run(self) -> int:
        """Run and print; 0 when every clip was run."""
        self._check()
        model: RobotModel = registry.load("robot", self.robot)
        policies = _policies(self.policy, model)
        try:
            hard = disturbances(self.perturbation)
            clips, skipped = _usable(find_clips(self.clips), model, self.seconds)
        except (BadDisturbance, NotAMotion) as error:
            raise CommandError(str(error)) from None
        trials = [
            Trial(self.robot, label, policy, clip, disturbance, seed, self.seconds)
            for clip in clips for disturbance in hard for label, policy in policies for seed in range(self.seeds)
        ]  # fmt: skip
        kept = self._kept(policies)
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        try:
            rows = _run(trials, self.jobs or len(os.sched_getaffinity(0)), kept)
        except KeyboardInterrupt:
            if kept is not None:
                errors.print(f"stopped; {kept.path} keeps the runs that are over: go on with --resume", markup=False)
            raise
        finally:
            if kept is not None:
                kept.close()
        told = summaries(rows)
        skipped += [{"clip": row["clip"], "error": row["error"]} for row in rows if "error" in row]
        if kept is not None:
            kept.done(self._document(policies, hard, rows, told, skipped))
        if self.json:
            for line in [*rows, *told]:
                print(json.dumps(line))
        else:
            _show(rows, told)
        for row in skipped:
            errors.print(f"not run: {row['clip']}: {row['error']}", markup=False)
        return 1 if skipped else 0

    def _check(self) -> None:
        if not self.clips:
            raise CommandError("no clips: give folders, motion files or built-in motions with --clips")
        if not 1 <= self.seeds <= 1000:
            raise CommandError(f"--seeds is {self.seeds}; give 1 to 1000")
        if not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds:g}; give a positive number")
        if not 0 <= self.jobs <= 256:
            raise CommandError(f"--jobs is {self.jobs}; give 1 to 256, or 0 for one a core")
        if self.out is not None:
            output_file("--out", self.out, drafted=True)
        if self.resume and self.out is None:
            raise CommandError("--resume needs the --out of the evaluation that was stopped")

    def _kept(self, policies: Sequence[tuple[str, ResolvedPolicy]]) -> KeptRows | None:
        """Where finished runs are kept; None without --out."""
        if self.out is None:
            return None
        out = output_file("--out", self.out, drafted=True)
        settings = {"schema": SCHEMA, "robot": self.robot, "seconds": self.seconds, "policies": _named(policies)}
        try:
            return KeptRows(out, settings, resume=self.resume)
        except NotKept as error:
            raise CommandError(str(error)) from None

    def _document(
        self, policies: Sequence[tuple[str, ResolvedPolicy]], hard: Sequence[Disturbance],
        rows: list[dict[str, Any]], told: list[dict[str, Any]], skipped: list[dict[str, str]],
    ) -> dict[str, Any]:  # fmt: skip
        return {
            "schema": SCHEMA, "robot": self.robot, "seeds": self.seeds, "seconds": self.seconds,
            "policies": [
                {**one, "onnx": str(found.onnx_path)}
                for one, (_, found) in zip(_named(policies), policies, strict=True)
            ],
            "perturbations": [one.name for one in hard], "runs": rows, "summary": told, "not_run": skipped,
        }  # fmt: skip


def _named(policies: Sequence[tuple[str, ResolvedPolicy]]) -> list[dict[str, str]]:
    return [{"policy": label, "sha256": found.card.model.sha256} for label, found in policies]


def _policies(given: Sequence[str], model: RobotModel) -> list[tuple[str, ResolvedPolicy]]:
    """Label and policy, each loaded once so that what does not run is refused before the first clip."""
    found: dict[str, ResolvedPolicy] = {}
    for text in given or ("",):
        label, named, path = text.partition("=")
        if not named or os.sep in label:
            label, path = Path(text).stem if os.sep in text or text.endswith(".onnx") else text, text
        policy = resolve(path or None, model)
        if policy is None:
            raise CommandError(absent_sentence(model))
        label = label or policy.card.name
        if label in found:
            raise CommandError(f"two policies are called '{label}': tell them apart with --policy LABEL=FILE")
        PolicyRuntime(policy.card, policy.onnx_path, model, link="sim")
        found[label] = policy
    return list(found.items())


def _usable(clips: Sequence[str], model: RobotModel, seconds: float) -> tuple[list[str], list[dict[str, str]]]:
    """Clips that can be played, and why the others cannot."""
    good: list[str] = []
    bad: list[dict[str, str]] = []
    for clip in clips:
        try:
            open_clip(clip, model, seconds)
        except (NotAMotion, SourceError) as error:
            bad.append({"clip": clip_name(clip), "error": " ".join(str(error).split())})
        else:
            good.append(clip)
    return good, bad


def _run(trials: Sequence[Trial], jobs: int, kept: KeptRows | None) -> list[dict[str, Any]]:
    """Rows of all trials, in order; those kept from before are not run again."""
    before = [None if kept is None else kept.row(trial) for trial in trials]
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("clips", total=len(trials), completed=sum(row is not None for row in before))

        def on_row(trial: Trial, row: dict[str, Any]) -> None:
            if kept is not None:
                kept.add(trial, row)
            bar.update(task, advance=1, description=f"{row['policy']}: {row['clip']}, {row['perturbation']}")

        waiting = [trial for trial, row in zip(trials, before, strict=True) if row is None]
        new = iter(run_all(waiting, jobs, on_row))
        return [next(new) if row is None else row for row in before]


def _show(rows: Sequence[dict[str, Any]], told: Sequence[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    one = Table(title="runs, from engaging to the end of the clip or the fall", box=SIMPLE, pad_edge=False)
    for heading in ("clip", "perturbation", "seed", "policy", "outcome"):
        one.add_column(heading, no_wrap=True)
    all_ = Table(
        title="per policy and disturbance: E_* are means over the runs, the rest medians", box=SIMPLE, pad_edge=False
    )
    for heading in ("policy", "perturbation", "upright"):
        all_.add_column(heading, no_wrap=True)
    for heading, _, _ in COLUMNS:
        one.add_column(heading, justify="right")
        all_.add_column(heading, justify="right")
    for row in rows:
        if "error" not in row:
            head = (row["clip"], row["perturbation"], str(row["seed"]), row["policy"], outcome(row))
            one.add_row(*head, *_cells(row))
    for row in told:
        all_.add_row(row["policy"], row["perturbation"], f"{row['survived']}/{row['runs']}", *_cells(row))
    if one.row_count:
        console.print(one)
        console.print(all_)


def outcome(row: dict[str, Any]) -> str:
    """What became of a run, in a few words."""
    if not row["engaged"]:
        return "not engaged"
    if not row["upright"]:
        return f"fell at {row['fell_at_s']:.1f} s"
    stopped = next((mode for _, mode, cause in row["modes"] if cause and mode != "HOLD"), None)
    return "upright" if stopped is None else f"upright, {stopped}"


def _cells(row: dict[str, Any]) -> list[str]:
    return [_cell(row, path, decimals) for _, path, decimals in COLUMNS]


def _cell(row: dict[str, Any], path: Sequence[str], decimals: int) -> str:
    value: Any = row
    for key in path:
        value = None if value is None else value[key]
    return "-" if value is None else f"{value:.{decimals}f}"
