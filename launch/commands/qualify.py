"""`teleop qualify`: what a policy has to survive in simulation before a real robot may run it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from teleopd.drivers.source import SourceError
from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_file
from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.service.evaluation.clips import find_clips, open_clip
from teleopd.service.evaluation.kept import KeptRows, NotKept
from teleopd.service.evaluation.robot_motion import NotAMotion
from teleopd.service.evaluation.run import run_all
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve
from teleopd.service.policy.lookahead import with_lookahead
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.qualification import record
from teleopd.service.qualification.battery import Profile, Run, battery
from teleopd.service.qualification.criteria import CRITERIA
from teleopd.service.qualification.figures import STEPS, figures
from teleopd.service.qualification.run import attempt

WIDE = 170
"""Characters a line of a table that goes into a file or a pipe."""


@dataclass(frozen=True, slots=True)
class Qualify:
    """Run a policy through the battery that comes before hardware: nominal motions, loss of the source and of the
    policy process mid-walk, pushes, latency, noise, errors of gains and rotor inertia, and falls.

    Every run goes through frame checks, retargeting, guard, policy, supervisor and gate in lock step. The result is a
    table of lines that pass or not, and a record (JSON) that a real link asks for. Exit status 1 when a line fails.
    """

    policy: str = ""
    """Name of a card or an ONNX file; the robot's default when not given."""
    robot: RobotFlag = "unitree_g1"
    quick: bool = False
    """Less than half of the runs, for a first look; its record is no proof for hardware."""
    clips: tuple[str, ...] = ()
    """More nominal clips beside the built-in motions: folders and motion files, at most 30 s of each."""
    lookahead: Literal["", "hold", "extrapolate", "delay"] = ""
    """How a policy that looks ahead is served, as for `teleop serve`; as its card says when not given."""
    seed: int = 0
    """First seed of the runs; equal seeds give equal runs."""
    jobs: int = 0
    """Processes; 0: one for each core."""
    out: Path | None = None
    """File for the record; the user's data folder when not given ($XDG_DATA_HOME/teleopd/qualification)."""
    resume: bool = False
    """Go on with a run that was stopped: what FILE.part beside the record holds is not run again."""
    json: bool = False
    """Print JSON: one line for each run, one for each line of the table, then the verdict."""

    def run(self) -> int:
        """Run, print and keep the record; 0 when every line passed."""
        out = self._check()
        model: RobotModel = registry.load("robot", self.robot)
        policy = self._resolved(model)
        who = record.identity(policy, model)
        profile: Profile = "quick" if self.quick else "full"
        clips = self._clips(model)
        runs = battery(profile, policy, self.robot, VirtualRobot(model).mass_kg, clips, self.seed)
        file = out or record.user_folder() / record.file_name(who, profile)
        kept = self._kept(file, {"identity": msgspec.to_builtins(who), "profile": profile})
        try:
            rows = _run(runs, self.jobs or len(os.sched_getaffinity(0)), kept)
        except KeyboardInterrupt:
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"stopped; {kept.path} keeps the runs that are over: go on with --resume", markup=False
            )
            raise
        finally:
            kept.close()
        found, counts = figures(rows)
        made = record.make(who, profile, self.seed, clips, rows, found, counts, version("teleopd"))
        kept.done(msgspec.to_builtins(made))
        if self.json:
            _print_json(made, file)
        else:
            _show(made)
            Console(stderr=True, highlight=False, soft_wrap=True).print(f"wrote {file}", markup=False)
        return 0 if made.passed else 1

    def _kept(self, file: Path, settings: Mapping[str, Any]) -> KeptRows:
        """Where finished runs are kept until the record is written."""
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return KeptRows(file, settings, resume=self.resume)
        except NotKept as error:
            raise CommandError(str(error)) from None

    def _check(self) -> Path | None:
        """The file for the record, when one is given."""
        if not 0 <= self.seed <= 1_000_000:
            raise CommandError(f"--seed is {self.seed}; give 0 to 1000000")
        if not 0 <= self.jobs <= 256:
            raise CommandError(f"--jobs is {self.jobs}; give 1 to 256, or 0 for one a core")
        return None if self.out is None else output_file("--out", self.out, drafted=True)

    def _resolved(self, model: RobotModel) -> ResolvedPolicy:
        """The policy, loaded once so that what does not run is refused before the first run."""
        policy = resolve(self.policy or None, model)
        if policy is None:
            raise CommandError(absent_sentence(model))
        policy = policy._replace(card=with_lookahead(policy.card, self.lookahead))
        PolicyRuntime(policy.card, policy.onnx_path, model, link="sim")
        return policy

    def _clips(self, model: RobotModel) -> list[str]:
        try:
            clips = find_clips(self.clips)
            for clip in clips:
                open_clip(clip, model, 1.0)
        except (NotAMotion, SourceError) as error:
            raise CommandError(f"--clips: {' '.join(str(error).split())}") from None
        return clips


def _run(runs: Sequence[Run], jobs: int, kept: KeptRows) -> list[dict[str, Any]]:
    """Rows of all runs, in order; those kept from before are not run again."""
    before = [kept.row(run) for run in runs]
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("runs", total=len(runs), completed=sum(row is not None for row in before))

        def on_row(run: Run, row: dict[str, Any]) -> None:
            kept.add(run, row)
            bar.update(task, advance=1, description=f"{run.kind}: {run.disturbance.name}")

        waiting = [run for run, row in zip(runs, before, strict=True) if row is None]
        new = iter(run_all(waiting, jobs, on_row, attempt))
        return [next(new) if row is None else row for row in before]


def _print_json(made: record.Record, file: Path) -> None:
    for row in made.runs:
        print(json.dumps(row))
    for line in made.lines:
        print(json.dumps({name: getattr(line, name) for name in line.__struct_fields__}))
    print(json.dumps({
        "schema": made.schema, "robot": made.identity.robot, "policy": made.identity.policy, "key": made.identity.key,
        "profile": made.profile, "passed": made.passed, "figures": made.figures, "record": str(file),
    }))  # fmt: skip


def _show(made: record.Record) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    who = made.identity
    table = Table(title=f"{who.policy} on {who.robot}, {made.profile} profile", box=SIMPLE, pad_edge=False)
    table.add_column("line", no_wrap=True)
    for heading in ("measured", "wanted", "of", ""):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("wanted because")
    for one, line in zip(CRITERIA, made.lines, strict=True):
        measured = "-" if line.measured is None else f"{line.measured:.4g}"
        verdict = "[green]pass[/]" if line.passed else "[red]FAIL[/]"
        wanted = f"{one.direction} {one.limit:g} {one.unit}"
        table.add_row(one.text, measured, wanted, line.count, verdict, one.provenance)
    console.print(table)
    shares = ", ".join(f"{step} {100 * (made.figures.get(f'gate_{step}') or 0.0):.1f} %" for step in STEPS)
    largest = made.figures.get("gate_largest_rad")
    if largest is not None:
        console.print(f"the gate on nominal clips: {shares} of the ticks; largest change {largest:.2f} rad")
    for row in made.runs:
        told = _complaint(row)
        if told:
            console.print(told, markup=False)
    passed = sum(line.passed for line in made.lines)
    console.print(f"{passed} of {len(made.lines)} lines passed: {'qualified' if made.passed else 'NOT qualified'}")


def _complaint(row: dict[str, Any]) -> str:
    """One line about a run that did not go as wanted; empty for the others and for falls that were meant."""
    head = f"{row['kind']}, {row['clip']}, {row['perturbation']}, seed {row['seed']}"
    if "error" in row:
        return f"not run: {head}: {row['error']}"
    if row["kind"] == "fall" or (row["engaged"] and row["upright"]):
        return ""
    return f"{head}: " + (f"fell {row['fell_at_s']:.2f} s after engaging" if row["engaged"] else "not engaged")
