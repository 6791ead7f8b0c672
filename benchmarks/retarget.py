"""What retargeting costs, how well it follows and what is wrong with the motion, beside a GMR-style solver in one run.

    make bench-retarget            all clips, all frames, table
    python benchmarks/retarget.py [--quick] [--json FILE] [--robot R] [--noise-mm MM] [CLIP ...]

A row is a clip, a cell is ours / the baseline's. CPU time is the process's during the solver's call alone. Definitions
are in service/retarget/artifacts.py. Each solver is judged by its own targets: ours by the scaled person with heights
corrected for the ground, the baseline by the scaled person. With noise ours gets the motion as a live source gives it:
through the One-Euro filter (--unfiltered: as it is). Clips faster than 90 Hz are played at about 60 Hz, as
published figures have them; --native plays them as they are. A cell outside what this project demands of itself ends
with '!'.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
from gmr_style import TABLES, GmrStyle, installed_gmr
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.launch.registry import load
from teleopd.robots.model import RobotModel
from teleopd.service.dataset.retarget_clip import asked_of, pose_of, retarget_clip, source_of
from teleopd.service.one_euro import OneEuro
from teleopd.service.retarget import artifacts
from teleopd.service.retarget.artifacts import Asked
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.robot_shape import RobotShape
from teleopd.service.retarget.solver_choice import SOLVERS
from teleopd.service.retarget.tables import RetargetTable, load_table

BVH = Path(__file__).resolve().parents[2] / "shared" / "data" / "bvh"
FAST_HZ, PLAYED_HZ = 90.0, 60.0
COLD_STARTS, QUICK_COLD_STARTS, QUICK_FRAMES = 60, 10, 300
WARM_UP = 5
"""First frames, which are not counted in CPU time: acquisition, first use of everything."""


class Case(NamedTuple):
    """One figure to be judged."""

    ours: float
    base: float
    """nan where the baseline was left out: what is demanded against it then counts as held."""
    clip: MotionClip
    noisy: bool


@dataclass(frozen=True)
class Column:
    """A figure in a table, and whether it is what this project demands of itself."""

    title: str
    key: str
    digits: int
    must: Callable[[Case], bool] = lambda case: True


CALM = ("walk", "box", "stand", "fall", "wave", "reach", "turn", "step", "squat", "pickup")


def falls(case: Case) -> bool:
    return "fall" in case.clip.name.lower()


def slides_little(case: Case) -> bool:
    """cm/s: 1.0 for walking, boxing, standing and falls (in upright frames); 1.5 for livelier motion, 2.0 in noise."""
    calm = any(word in case.clip.name.lower() for word in CALM)
    return not case.ours > (1.0 if calm else 2.0 if case.noisy else 1.5)


def better_or(limit: float, factor: float = 1.0, plus: float = 0.0) -> Callable[[Case], bool]:
    """At most `factor` times the baseline plus `plus`, or at most `limit`."""
    return lambda case: not (case.ours > limit and case.ours > factor * case.base + plus)


def at_most(limit: float) -> Callable[[Case], bool]:
    return lambda case: not case.ours > limit


SPEED_AND_FEET = (
    Column("CPU ms", "cpu_ms_median", 2, at_most(0.40)),
    Column("p99", "cpu_ms_p99", 2, at_most(0.7)),
    Column("x", "times_faster", 1, lambda case: not case.ours < 8.0),
    Column("slide cm/s", "slide_cm_s", 2, lambda case: falls(case) or slides_little(case)),
    Column("upright", "slide_upright_cm_s", 2, slides_little),
    Column("> 10 cm/s %", "slide_above_10_percent", 1),
    Column("source", "source_slide_cm_s", 2),
    Column("sink cm", "penetration_cm", 2, lambda case: case.ours <= (2.0 if falls(case) else 0.5)),
    Column("> 1 cm %", "penetration_above_1_percent", 1),
    Column("sole cm", "stance_sole_cm", 2, lambda case: not abs(case.ours) > 0.5),
    Column("below floor cm", "below_floor_cm", 2, at_most(2.0)),
    Column("hand in body %", "hand_deep_percent", 1, at_most(2.0)),
    Column("rubber hand %", "rubber_hand_deep_percent", 1),
    Column("arms %", "arms_deep_percent", 1),
)
JOINTS_AND_ERRORS = (
    Column("rad/s", "joint_speed_max_rad_s", 1),
    Column("> 20", "above_20_rad_s", 0),
    Column("> 30", "above_30_rad_s", 0, at_most(0.0)),
    Column("> limit", "above_limit", 0, at_most(0.0)),
    Column("jerk rad/s3", "jerk_rad_s3", 0, better_or(600.0)),
    Column("saturated %", "saturated_percent", 1),
    Column("foot cm", "foot_cm", 2, better_or(1.5, 1.1)),
    Column("xy", "foot_xy_cm", 2, better_or(2.1)),
    Column("hand cm", "hand_cm", 2, better_or(4.5, 1.1)),
    Column("pelvis cm", "pelvis_cm", 2, better_or(1.0, 1.1)),
    Column("pelvis deg", "pelvis_deg", 1, better_or(0.0)),
    Column("all deg", "orientation_deg", 1, better_or(0.0, 1.0, 4.0)),
    Column("jumps", "root_jumps", 0, at_most(0.0)),
    Column("cold %", "cold_start_percent", 1, at_most(1.0)),
    Column("lag foot ms", "lag_foot_ms", 0, at_most(8.0)),
    Column("hand", "lag_hand_ms", 0, at_most(8.0)),
)


def played(clip: MotionClip, options: argparse.Namespace) -> MotionClip:
    """The clip at the rate and length to be measured."""
    step = 1 if options.native or clip.fps < FAST_HZ else max(1, round(clip.fps / PLAYED_HZ))
    stop = options.frames * step if options.frames else None
    return replace(clip, fps=clip.fps / step, pos_w=clip.pos_w[:stop:step], quat_w=clip.quat_w[:stop:step])


def noisy(clip: MotionClip, noise_mm: float, noise_deg: float, seed: int) -> MotionClip:
    """White noise on every coordinate of every position, and about a random axis on every orientation."""
    rng = np.random.default_rng(seed)
    half = np.radians(noise_deg) / 2.0 * rng.normal(size=(*clip.quat_w.shape[:2], 3))
    w, v = clip.quat_w[..., :1], clip.quat_w[..., 1:]
    quat = np.concatenate((w - np.sum(v * half, -1, keepdims=True), v + w * half + np.cross(v, half)), axis=-1)
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    return replace(clip, pos_w=clip.pos_w + 1e-3 * noise_mm * rng.normal(size=clip.pos_w.shape), quat_w=quat)


def filtered(clip: MotionClip) -> MotionClip:
    """The clip behind the filter that live motion passes."""
    smooth = OneEuro()
    poses = [smooth(pose_of(clip, i)) for i in range(clip.frames)]
    return replace(clip, pos_w=np.array([p.pos_w for p in poses]), quat_w=np.array([p.quat_w for p in poses]))


def times(cpu_ms: Any) -> dict[str, float]:
    counted = cpu_ms[WARM_UP:] if len(cpu_ms) > 2 * WARM_UP else cpu_ms
    return {"cpu_ms_median": float(np.median(counted)), "cpu_ms_p99": float(np.percentile(counted, 99))}


def ours(shape: RobotShape, seen: MotionClip, clip: MotionClip, chosen: Any, options: argparse.Namespace) -> Any:
    """Figures of this project's retargeter."""
    table = load_table(table_path(shape.robot))
    done = retarget_clip(shape.robot, seen, solver=options.solver)
    figures = artifacts.measure(
        shape, clip.fps, done.qpos, source_of(clip), done.asked, table.solver.joint_speed_limit_rad_s,
        table.narrowed(shape.robot).limits,
    )  # fmt: skip
    figures["cold_start_percent"] = cold_ours(shape, seen, done.qpos, done.asked, chosen, table)
    return figures | times(done.cpu_ms) | {"held": float(done.held)}


def cold_ours(shape: RobotShape, clip: MotionClip, qpos: Any, asked: Asked, chosen: Any, table: RetargetTable) -> float:
    """Percentage of frames, each acquired anew after another one, with a worse posture than the tracked one."""
    weights_of = table.for_family(clip.skeleton.family).stage.track
    weights = np.array([weights_of.get(name, (0.0, 0.0)) for name in asked.bodies])
    retargeter = Retargeter(shape.robot, clip.skeleton)
    retargeter.update(pose_of(clip, 0))
    alone, wanted_pos, wanted_quat, kept = [], [], [], []
    for i in chosen:
        retargeter.reset()
        reference = retargeter.update(pose_of(clip, int(i)))
        if reference is None:
            continue
        alone.append(np.concatenate((reference.root_pos_w, reference.root_quat_w, reference.q)))
        pos, quat = asked_of(retargeter, pose_of(clip, int(i)))
        wanted_pos.append(pos)
        wanted_quat.append(quat)
        kept.append(int(i))
    if not kept:
        return math.nan
    cold = _objective(shape, np.array(alone), asked.bodies, np.array(wanted_pos), np.array(wanted_quat), weights)
    tracked = _objective(shape, qpos[kept], asked.bodies, asked.pos[kept], asked.quat[kept], weights)
    return 100.0 * float(artifacts.cold_start_failed(cold, np.minimum(cold, tracked)).mean())


def _objective(shape: RobotShape, qpos: Any, bodies: Any, pos: Any, quat: Any, weights: Any) -> Any:
    made, ids = shape.over(qpos), shape.body_ids(bodies)
    distance = np.linalg.norm(made.body_pos[:, ids] - pos, axis=-1)
    return artifacts.objective(distance, artifacts.angles(made.body_quat[:, ids], quat), weights)


def baseline(solver: Any, shape: RobotShape, seen: MotionClip, clip: MotionClip, chosen: Any, limit: float) -> Any:
    """Figures of a GMR-style solver, or of GMR."""
    solver.reset()
    qpos, pos, quat, cpu_ms, solves = [], [], [], [], []
    for i in range(seen.frames):
        pose = pose_of(seen, i)
        start = time.process_time_ns()
        qpos.append(solver.update(pose))
        cpu_ms.append((time.process_time_ns() - start) * 1e-6)
        pos.append(np.array(solver.pos))
        quat.append(np.array(solver.quat))
        solves.append(solver.solves)
    bodies = tuple(row.robot for row in solver.rows)
    asked = Asked(bodies, np.array(pos), np.array(quat), solver.groups)
    figures = artifacts.measure(shape, clip.fps, np.array(qpos), source_of(clip), asked, limit)
    alone = []
    for i in chosen:
        solver.reset()
        alone.append(solver.update(pose_of(seen, int(i))))
    cold, tracked = (
        _objective(shape, np.array(q), bodies, asked.pos[chosen], asked.quat[chosen], solver.weights)
        for q in (alone, np.array(qpos)[chosen])
    )
    failed = artifacts.cold_start_failed(cold, np.minimum(cold, tracked))
    return figures | times(np.array(cpu_ms)) | {
        "cold_start_percent": 100.0 * float(failed.mean()), "solves_median": float(np.median(solves)),
    }  # fmt: skip


def measure_clip(
    shape: RobotShape, baselines: dict[str, Any], clip: MotionClip, options: argparse.Namespace
) -> dict[str, Any]:
    """One line: figures of every solver."""
    chosen = np.random.default_rng(options.seed).integers(0, clip.frames, options.cold_starts)
    seen = noisy(clip, options.noise_mm, options.noise_deg, options.seed)
    is_noisy = options.noise_mm > 0.0 or options.noise_deg > 0.0
    line: dict[str, Any] = {
        "clip": clip.name, "robot": shape.robot.name, "fps": round(clip.fps, 3), "frames": clip.frames,
        "noise_mm": options.noise_mm, "noise_deg": options.noise_deg,
        "ours": ours(shape, filtered(seen) if is_noisy and not options.unfiltered else seen, clip, chosen, options),
    }  # fmt: skip
    limit = load_table(table_path(shape.robot)).solver.joint_speed_limit_rad_s
    for name, solver in baselines.items():
        figures = line[name] = baseline(solver, shape, seen, clip, chosen, limit)
        figures["times_faster"] = 1.0
        line["ours"].setdefault("times_faster", figures["cpu_ms_median"] / line["ours"]["cpu_ms_median"])
    return line


def cell(column: Column, line: dict[str, Any], names: list[str], clip: MotionClip) -> str:
    values = [line[name].get(column.key, math.nan) for name in names]
    held = column.must(Case(values[0], (*values, math.nan)[1], clip, line["noise_mm"] > 0.0))
    texts = [f"{round(v, column.digits) + 0.0:.{column.digits}f}" if not math.isnan(v) else "-" for v in values]
    return texts[0] + ("" if held else "!") + "".join(f" / {text}" for text in texts[1:])


def show(lines: list[tuple[MotionClip, dict[str, Any]]], names: list[str], console: Console) -> int:
    """Two tables: time and feet, joints and errors; returns how many figures are outside what is demanded."""
    for title, columns in (("time, feet, collisions", SPEED_AND_FEET), ("joints, errors", JOINTS_AND_ERRORS)):
        table = Table(title=f"{title}: {' / '.join(names)}", box=SIMPLE, pad_edge=False, padding=(0, 1))
        table.add_column("clip", no_wrap=True)
        for column in columns:
            table.add_column(column.title, justify="right", no_wrap=True)
        for clip, line in lines:
            table.add_row(clip.name[:24], *(cell(column, line, names, clip) for column in columns))
        console.print(table)
    misses = [
        f"{clip.name}: {column.title} {cell(column, line, names, clip)}"
        for clip, line in lines for column in (*SPEED_AND_FEET, *JOINTS_AND_ERRORS)
        if "!" in cell(column, line, names, clip)
    ]  # fmt: skip
    console.print(f"{len(misses)} figures outside what is demanded" + (":" if misses else ""))
    for miss in misses:
        console.print(f"  {miss}", markup=False)
    return len(misses)


def still(shape: RobotShape, options: argparse.Namespace) -> dict[str, float]:
    """A person who stands still under 3 mm and 0.5 deg of white noise at 60 Hz, 300 frames."""
    clip = load_motion("stand")
    clip = replace(clip, fps=60.0, pos_w=np.repeat(clip.pos_w[:1], 300, 0), quat_w=np.repeat(clip.quat_w[:1], 300, 0))
    done = retarget_clip(shape.robot, noisy(clip, 3.0, 0.5, options.seed), solver=options.solver)
    speed, spread = artifacts.static_noise(done.qpos[:, 7:], clip.fps)
    return {"joint_speed_rms_rad_s": speed, "joint_spread_deg": math.degrees(spread)}


def without_nan(line: dict[str, Any]) -> dict[str, Any]:
    """null where a clip gives no figure: NaN is no JSON."""
    return {
        key: without_nan(value) if isinstance(value, dict)
        else None if isinstance(value, float) and math.isnan(value) else value
        for key, value in line.items()
    }  # fmt: skip


def write(
    options: argparse.Namespace, lines: list[tuple[MotionClip, dict[str, Any]]], noise: dict[str, float] | None
) -> None:  # fmt: skip
    """The JSON that was asked for, if any; `noise` is None until the end."""
    if options.json is None:
        return
    document = {
        "schema": 2, "robot": options.robot, "solver": options.solver, "static_noise": noise,
        "clips": [without_nan(line) for _, line in lines],
    }  # fmt: skip
    text = json.dumps(document, indent=1)
    if str(options.json) == "-":
        print(text)
    else:
        options.json.write_text(text + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("clips", nargs="*", help="built-in names or BVH files; default: all of both")
    parser.add_argument("--robot", default="unitree_g1", choices=sorted(TABLES))
    parser.add_argument("--solver", choices=SOLVERS, default="fast", help="of ours")
    parser.add_argument("--noise-mm", type=float, default=0.0, help="white noise on every coordinate [mm]")
    parser.add_argument("--noise-deg", type=float, default=0.0, help="white noise on every orientation [deg]")
    parser.add_argument("--unfiltered", action="store_true", help="leave out the filter of live motion under noise")
    parser.add_argument("--frames", type=int, default=0, help="at most this many frames a clip; 0: all")
    parser.add_argument("--native", action="store_true", help="keep the rate of clips above 90 Hz")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FRAMES} frames a clip, fewer cold starts")
    parser.add_argument("--alone", action="store_true", help="leave the baseline out")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a figure is outside what is demanded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures here; '-' for standard output")
    options = parser.parse_args()
    options.cold_starts = QUICK_COLD_STARTS if options.quick else COLD_STARTS
    if options.quick and not options.frames:
        options.frames = QUICK_FRAMES
    return options


def main() -> int:
    """Measure, print, and write JSON where asked."""
    options = parse()
    console = Console(stderr=str(options.json) == "-", width=240, highlight=False)
    robot: RobotModel = load("robot", options.robot)
    shape = RobotShape(robot)
    baselines: dict[str, Any] = {} if options.alone else {"baseline": GmrStyle(robot)}
    if not options.alone and (gmr := installed_gmr(robot)) is not None:
        baselines["gmr"] = gmr
    lines: list[tuple[MotionClip, dict[str, Any]]] = []
    names = options.clips or [*motion_names, *(str(p) for p in sorted(BVH.glob("*.bvh")))]
    for name in track(names, "clips", console=Console(stderr=True), transient=True):
        try:
            clip = played(load_motion(name), options)
        except MotionFileError as error:
            console.print(f"skipped: {error}", markup=False)
            continue
        lines.append((clip, measure_clip(shape, baselines, clip, options)))
        if str(options.json) != "-":
            write(options, lines, None)  # what is measured stays, should the rest be interrupted
    solvers = ["ours", *baselines]
    missed = show(lines, solvers, console)
    noise = still(shape, options)
    console.print(
        "standing still under 3 mm and 0.5 deg of noise: joints "
        f"{noise['joint_speed_rms_rad_s']:.2f} rad/s rms, spread {noise['joint_spread_deg']:.2f} deg"
    )
    write(options, lines, noise)
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
