"""Many files retargeted over several processes: an npz and a row of quality figures for each, or why there is none."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teleopd.drivers.home import expanded
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.drivers.source import SourceError
from teleopd.robots.catalog import load_robot
from teleopd.service.dataset.motion_npz import write_motion
from teleopd.service.dataset.retarget_clip import NothingRetargeted, Retargeted, retarget_clip, source_of
from teleopd.service.retarget import artifacts
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.robot_shape import RobotShape
from teleopd.service.retarget.solver_choice import NoCompiler, SolverName, chosen
from teleopd.service.retarget.tables import TableError, load_table

ENDINGS = (".bvh",)
"""Motions of people that can be read."""
BAD = (SourceError, TableError, CalibrationError, NoCompiler, NothingRetargeted, OSError, MemoryError)
"""What is wrong with a file or the disk, not with this program."""


class NoFiles(ValueError):
    """What was given cannot be a list of motions; one sentence."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to do; small enough to send to another process."""

    motion: str
    """File or name of a built-in motion."""
    robot: str
    out: Path
    """The npz to be written."""
    solver: SolverName = "fast"
    unit_m: float | None = None
    """Metres per unit of the file, where it is not that of its skeleton family."""


def find_jobs(
    given: Sequence[str], robot: str, folder: Path, *, solver: SolverName = "fast",
    unit_m: float | None = None,
) -> list[Job]:  # fmt: skip
    """A job for every file, built-in motion, and motion file in a given folder (sorted by name).

    Raises:
        NoFiles: a folder without motion files, or two motions that would be written to one npz.
    """
    motions: list[str] = []
    for text in given:
        path = expanded(text, NoFiles)
        if text in motion_names or not path.is_dir():
            motions.append(text)
            continue
        found = [str(file) for file in sorted(path.iterdir()) if file.suffix.lower() in ENDINGS]
        if not found:
            raise NoFiles(f"{text} holds no motion file; looked for {', '.join(f'*{end}' for end in ENDINGS)}")
        motions += found
    jobs: dict[Path, Job] = {}
    which = chosen(solver)
    for motion in dict.fromkeys(motions):
        out = folder / f"{Path(motion).stem}.npz"
        if out in jobs:
            raise NoFiles(f"{jobs[out].motion} and {motion} would both be written to {out}: retarget them one by one")
        jobs[out] = Job(motion, robot, out, which, unit_m)
    return list(jobs.values())


def run_job(job: Job) -> dict[str, Any]:
    """Retarget one file and write it; the row of its figures, or a row with `error`."""
    try:
        robot = load_robot(job.robot)
        clip = load_motion(job.motion, unit_m=job.unit_m)
        done = retarget_clip(robot, clip, solver=job.solver)
        figures = quality(RobotShape(robot), clip, done)
        source = Path(job.motion).name
        write_motion(job.out, robot, fps=done.fps, qpos=done.qpos, source=source, solver=job.solver)
    except BAD as error:
        return failed(job, " ".join(str(error).split()) or type(error).__name__)
    except Exception as error:  # a mistake of ours: it must not cost the other files
        return failed(job, f"this program failed: {type(error).__name__}: {' '.join(str(error).split())}")
    return _head(job) | {
        "out": str(job.out), "fps": done.fps, "frames": len(done.qpos),
        "seconds": round((len(done.qpos) - 1) / done.fps, 3), "held": done.held, "reasons": done.reasons, **figures,
    }  # fmt: skip


def failed(job: Job, sentence: str) -> dict[str, Any]:
    """The row of a motion that was not written."""
    return _head(job) | {"error": sentence}


def _head(job: Job) -> dict[str, Any]:
    return {"clip": Path(job.motion).stem, "motion": job.motion, "robot": job.robot}


def quality(shape: RobotShape, clip: MotionClip, done: Retargeted) -> dict[str, float | None]:
    """Figures of `artifacts.measure` and the CPU time of a frame; None where a clip gives none."""
    table = load_table(table_path(shape.robot))
    figures = artifacts.measure(
        shape, done.fps, done.qpos, source_of(clip), done.asked, table.solver.joint_speed_limit_rad_s,
        table.narrowed(shape.robot).limits,
    )  # fmt: skip
    figures["cpu_ms_median"] = float(np.median(done.cpu_ms))
    figures["cpu_ms_p99"] = float(np.percentile(done.cpu_ms, 99))
    return {key: None if math.isnan(value) else round(value, 6) for key, value in figures.items()}


def run_jobs(jobs: Sequence[Job], processes: int, on_row: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Rows in the order of `jobs`, from that many spawned processes (1: this one); `on_row` hears each at its end."""
    rows: list[dict[str, Any] | None] = [None] * len(jobs)
    for i, row in _in_turn(jobs) if processes <= 1 or len(jobs) < 2 else _spread(jobs, processes):
        rows[i] = row
        on_row(row)
    return [row for row in rows if row is not None]


def _in_turn(jobs: Sequence[Job]) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, job in enumerate(jobs):
        yield i, run_job(job)


def _spread(jobs: Sequence[Job], processes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    context = multiprocessing.get_context("spawn")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process a core is enough
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context, initializer=_end_with_the_parent) as pool:
        waiting: dict[Future[dict[str, Any]], int] = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    i = waiting.pop(future)
                    try:
                        yield i, future.result()
                    except BrokenProcessPool:
                        yield i, failed(jobs[i], "a process that retargeted died (out of memory?)")
        finally:
            for future in waiting:
                future.cancel()


def _end_with_the_parent() -> None:
    """A worker ends on Ctrl-C and when its parent is gone, through `finally`, so that nothing half written stays."""

    def end(_signal: int, _frame: object) -> None:
        raise SystemExit(130)

    def watch(parent: int) -> None:
        multiprocessing.connection.wait([parent])
        while True:  # the pool takes the first for a failed job
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    signal.signal(signal.SIGINT, end)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
