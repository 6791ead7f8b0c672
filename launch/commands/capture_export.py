"""`teleop capture export`: recorded episodes -> a data set to train on."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from teleopd.drivers.home import expanded
from teleopd.launch.errors import CommandError

if TYPE_CHECKING:
    from teleopd.service.capture.export.run import Summary

WORTH_PROCESSES = 8
"""Recordings from which on it pays to start further processes."""


@dataclass(frozen=True, slots=True)
class Export:
    """Turn recorded episodes into a data set at one constant rate, in a new folder.

    lerobot: a LeRobotDataset v3.0 with meta/modality.json for GR00T. npz: one motion of the robot a file, as `teleop
    retarget` writes them, for tracking policies. csv: one table a file. hdf5: data.hdf5 as robomimic reads it. Frame k
    is the instant t_0 + k / rate; the state is the measured sample nearest to it, the action the first one issued
    within the period that begins there, or the one still in force. Positions [m], angles [rad], orientations wxyz (in
    npz root_rot and local_body_rot xyzw). Pictures are those taken nearest to a frame. Recordings that cannot be
    exported are listed, each with a sentence, and cost the others nothing; exit status 1 then. A stopped export goes on
    with --resume.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE|DIR ...")] = ()
    """Recordings (MCAP), and folders of them; also data.json of xr_teleoperate and TWIST2, with --state joint_pos."""
    to: Path | None = None
    """Folder of the data set; it may not exist yet."""
    format: Literal["lerobot", "npz", "csv", "hdf5"] = "lerobot"
    """What to write."""
    rate: float = 50.0
    """Frames a second [Hz]; 1 to 500, for lerobot a whole number."""
    state: tuple[str, ...] = ("joint_pos", "joint_vel", "imu_quat_w", "imu_gyro_b")
    """Parts of the state: joint_pos, joint_vel, joint_torque, imu_quat_w, imu_gyro_b, imu_acc_b. Not for npz."""
    state_rule: Literal["nearest", "linear"] = "nearest"
    """The measured sample nearest to a frame, or the line between the two around it (slerp for orientations)."""
    action: Literal["target", "command", "reference"] = "target"
    """What the policy wanted, what the safety gate let through, or what the operator asked for. Not for npz."""
    motion: Literal["measured", "reference", "shaped"] = "measured"
    """npz: measured joints on the root of the reference (no robot measures its root), the reference of the operator
    itself, or what the policy tracked."""
    joint_names: Literal["mjcf", "unitree"] = "mjcf"
    """left_knee_joint.q or kLeftKnee.q."""
    on_gap: Literal["refuse", "split"] = "refuse"
    """A recording with a gap or clock jump is refused, or cut there into several episodes."""
    include: tuple[str, ...] = ("keep",)
    """Verdicts to export: keep, maybe, drop; maybe and drop are never in the split train."""
    cameras: tuple[str, ...] = ("all",)
    """Cameras of the data set, for lerobot: all, none, or names."""
    resume: bool = False
    """Go on with an export to the same folder that was stopped."""
    jobs: int = 0
    """Processes; 0: one for each core from eight recordings on, else one."""
    json: bool = False
    """Print one JSON line for each episode and each recording that is not in the set, instead of a summary."""

    def run(self) -> int:
        """Export and say what became of every recording; 0 when none failed."""
        from teleopd.launch.commands.capture import _needs_mcap

        _needs_mcap()
        from teleopd.service.capture.export.errors import ExportError

        if self.to is None:
            raise CommandError("no folder to write to: give one with --to DIR")
        if not 0 <= self.jobs <= 256:
            raise CommandError(f"--jobs is {self.jobs}; give 1 to 256, or 0 to let the program choose")
        try:
            summary = self._export(expanded(self.to, CommandError, "--to "))
        except ExportError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            print(f"stopped; the same command with --resume goes on ({self.to}.part)", file=sys.stderr)
            raise
        if self.json:
            _print_json(summary)
        else:
            _print(summary, self.rate)
        return summary.status

    def _export(self, to: Path) -> Summary:
        from teleopd.service.capture.export.recordings import common_cameras, find_recordings, is_peers
        from teleopd.service.capture.export.run import export_episodes
        from teleopd.service.capture.export.settings import Settings

        paths = find_recordings([expanded(path, CommandError) for path in self.paths])
        cameras = self.cameras if self.cameras != ("none",) else ()
        if cameras == ("all",):
            cameras = common_cameras([path for path in paths if not is_peers(path)]) if self.format == "lerobot" else ()
        settings = Settings(
            self.format, self.rate, self.state, self.state_rule, self.action, self.motion, self.joint_names,
            self.on_gap, self.include, cameras,
        )  # fmt: skip
        cores = len(os.sched_getaffinity(0)) if len(paths) >= WORTH_PROCESSES else 1
        parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*parts, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("exporting", total=len(paths))

            def progress(done: int, _all: int, name: str) -> None:
                bar.update(task, completed=done, description=escape(name) or "exporting")

            processes = self.jobs or cores
            return export_episodes(paths, to, settings, resume=self.resume, processes=processes, progress=progress)


def _print(summary: Summary, rate_hz: float) -> None:
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    if summary.episodes:
        robot = summary.episodes[0]["robot"]
        worst = max(skew["max"] for row in summary.episodes for skew in row["skew_ms"].values())
        held = sum(row["held"] for row in summary.episodes)
        console.print(
            f"{len(summary.episodes)} episodes of {robot}, {summary.frames} frames, {summary.frames / rate_hz:.1f} s "
            f"at {rate_hz:g} Hz: {summary.to}", markup=False,
        )  # fmt: skip
        console.print(f"largest skew {worst:.1f} ms; {held} frames with the action of the frame before", markup=False)
    for path, reason in summary.left_out:
        console.print(f"left out: {path}: {reason}", markup=False)
    for path, sentence in summary.failed:
        errors.print(f"not exported: {path}: {sentence}", markup=False, style="red")
    if not summary.episodes:
        errors.print("nothing was exported", markup=False)


def _print_json(summary: Summary) -> None:
    for row in summary.episodes:
        print(json.dumps({"to": str(summary.to), **row}))
    for path, reason in summary.left_out:
        print(json.dumps({"path": str(path), "left_out": reason}))
    for path, sentence in summary.failed:
        print(json.dumps({"path": str(path), "error": sentence}))
