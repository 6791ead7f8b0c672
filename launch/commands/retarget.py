"""`teleop retarget`: files of a person's motion -> files of a robot's motion, with quality figures for each."""

from __future__ import annotations

import json
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

from teleopd.drivers.home import expanded
from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_folder
from teleopd.service.dataset.retarget_files import Job, NoFiles, find_jobs, run_jobs
from teleopd.service.retarget.solver_choice import SolverName

WIDE = 190
"""Characters a line of a table that goes into a file or a pipe."""
COLUMNS = (
    ("frames", "frames", 0), ("held", "held", 0), ("slide cm/s", "slide_cm_s", 2), ("sink cm", "penetration_cm", 2),
    ("sole cm", "stance_sole_cm", 2), ("below floor cm", "below_floor_cm", 1),
    ("hand in body %", "hand_deep_percent", 1), ("rad/s", "joint_speed_max_rad_s", 1),
    ("jerk rad/s3", "jerk_rad_s3", 0), ("saturated %", "saturated_percent", 1), ("foot cm", "foot_cm", 1),
    ("hand cm", "hand_cm", 1), ("pelvis cm", "pelvis_cm", 1), ("ms/frame", "cpu_ms_median", 2),
)  # fmt: skip
"""Heading, key of a row, decimals."""


@dataclass(frozen=True, slots=True)
class Retarget:
    """Turn files of a person's motion into motions of a robot, with the code that retargets live.

    Each becomes DIR/NAME.npz with fps [Hz], qpos (root position [m], root orientation wxyz, joints in motor order
    [rad]), root_pos [m], root_rot (xyzw), dof_pos [rad], local_body_pos [m] and local_body_rot (xyzw) in the root's
    frame, body_names, joint_names, source and config_sha256; existing files are replaced. The table says how good it
    is: slide is the mean speed of standing toes [cm/s], sink the deepest sole in the floor [cm], sole the height of
    standing soles [cm], hand in body the share of frames with a hand over 5 mm inside hip, thigh or torso, rad/s the
    fastest joint, saturated the share of joints at a limit, foot, hand and pelvis the mean distance to their targets
    [cm], held the frames that were refused and stand still. Exit status 1 when a file could not be retargeted.
    """

    files: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...")] = ()
    """BVH files, folders of them, and built-in motions."""
    robot: RobotFlag = "unitree_g1"
    out: Path | None = None
    """Folder for the npz files; made where it is missing."""
    solver: SolverName = "auto"
    """Retargeting solver: auto (compiled where numba is installed, else fast), fast, compiled or mink."""
    unit: float = 0.0
    """Metres per unit of the files; 0: that of the skeleton they are written for."""
    jobs: int = 0
    """Processes; 0: one for each core."""
    json: bool = False
    """Print one JSON line for each file instead of the table."""

    def run(self) -> int:
        """Retarget, write and print; 0 when every file was written."""
        jobs = self._jobs()
        rows = _run(jobs, self.jobs or len(os.sched_getaffinity(0)))
        bad = [row for row in rows if "error" in row]
        if self.json:
            for row in rows:
                print(json.dumps(row))
        else:
            _show([row for row in rows if "error" not in row])
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        for row in bad:
            named = row["error"].startswith(f"{row['motion']}: ")
            errors.print(f"not retargeted: {'' if named else row['motion'] + ': '}{row['error']}", markup=False)
        return 1 if bad else 0

    def _jobs(self) -> list[Job]:
        if not self.files:
            raise CommandError("no files: give BVH files, folders of them, or built-in motions")
        if self.out is None:
            raise CommandError("no folder to write to: give one with --out DIR")
        if not 0.0 <= self.unit <= 1000.0:
            raise CommandError(f"--unit is {self.unit:g}; give metres per unit, as 0.01 for centimetres, or 0")
        if not 0 <= self.jobs <= 256:
            raise CommandError(f"--jobs is {self.jobs}; give 1 to 256, or 0 for one a core")
        registry.check("robot", self.robot)
        folder = expanded(self.out, CommandError, "--out ")
        try:
            jobs = find_jobs(self.files, self.robot, folder, solver=self.solver, unit_m=self.unit or None)
        except NoFiles as error:
            raise CommandError(str(error)) from None
        output_folder("--out", folder)
        return jobs


def _run(jobs: Sequence[Job], processes: int) -> list[dict[str, Any]]:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*parts, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("retargeting", total=len(jobs))

        def on_row(row: dict[str, Any]) -> None:
            bar.update(task, advance=1, description=row["clip"])

        return run_jobs(jobs, processes, on_row)


def _show(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    table = Table(title=f"{rows[0]['robot']}: quality of each motion", box=SIMPLE, pad_edge=False)
    table.add_column("clip", no_wrap=True)
    for heading, _, _ in COLUMNS:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row["clip"], *(_cell(row[key], decimals) for _, key, decimals in COLUMNS))
    console.print(table)


def _cell(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
