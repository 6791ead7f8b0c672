"""What retargeting costs and how well it follows: one row a clip, over the built-in motions and the shared BVH clips.

    python benchmarks/retarget.py [--json FILE] [--frames N] [--solver fast|mink] [CLIP ...]

CPU time is the thread's, of `Retargeter.update` alone. Errors are against the solver's own targets. Definitions:
joint speed = largest |difference| * fps; jerk = mean |third difference| * fps^3; saturation = joint-frames within 0.5 %
of the range of either bound; sole = lowest sole corner of the robot, median and minimum over frames.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from rich.console import Console
from rich.table import Table

from teleopd.drivers.human_pose import MVN
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.launch.registry import load
from teleopd.robots.model import RobotModel
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.retarget.retargeter import Retargeter

BVH = Path(__file__).resolve().parents[2] / "shared" / "data" / "bvh"
COLUMNS = (
    "frames", "rejected", "cpu_ms_median", "cpu_ms_p99", "foot_cm", "hand_cm", "pelvis_cm", "sole_mm_median",
    "sole_mm_min", "joint_speed_max_rad_s", "jerk_rad_s3", "saturated_percent",
)  # fmt: skip


def measure(robot: RobotModel, clip: MotionClip, frames: int, solver: Any) -> dict[str, Any]:
    """One clip through frame checks and retargeter."""
    checks, retargeter = FrameChecks(MVN), Retargeter(robot, MVN, solver=solver)
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data = mujoco.MjData(model)
    soles = [model.site(name).id for name in robot.sole_sites]
    cpu_ms, errors, lowest, joints = [], [], [], []
    ids: list[int] = []
    for i in range(min(clip.frames, frames)):
        t_ns = 1 + round(i * 1e9 / clip.fps)
        pose = clip.pose(i, seq=i + 1, t_ns=t_ns)
        verdict = checks.check(pose, t_ns)
        if not verdict.accepted:
            continue
        if verdict.restarted:
            retargeter.reset()
        start = time.thread_time_ns()
        reference = retargeter.update(pose, verdict.t_content_ns)
        cpu_ms.append((time.thread_time_ns() - start) * 1e-6)
        if reference is None or retargeter.targets is None or retargeter.target_map is None:
            raise SystemExit(f"{clip.name}: {retargeter.problem}")
        if not ids:
            rows = [m.robot for m in retargeter.target_map.matches]
            ids = [model.body(name).id for name in rows]
        data.qpos[:7] = np.concatenate((reference.root_pos_w, reference.root_quat_w))
        data.qpos[[int(model.joint(name).qposadr[0]) for name in robot.joint_names]] = reference.q
        mujoco.mj_kinematics(model, data)
        errors.append(np.linalg.norm(data.xpos[ids] - retargeter.targets.pos, axis=1))
        lowest.append(float(data.site_xpos[soles, 2].min()))
        joints.append(reference.q)
    return summarize(robot, clip, checks, np.array(cpu_ms), np.array(errors), rows, np.array(lowest), np.array(joints))


def summarize(
    robot: RobotModel, clip: MotionClip, checks: FrameChecks, cpu_ms: Any, errors: Any, rows: list[str], lowest: Any,
    q: Any,
) -> dict[str, Any]:  # fmt: skip
    """The figures of one clip under stable names."""

    def error_cm(*parts: str) -> float:
        return float(errors[:, [i for i, row in enumerate(rows) if any(p in row for p in parts)]].mean() * 100.0)

    lower, upper = robot.limits.q_lower, robot.limits.q_upper
    margin = 0.005 * (upper - lower)
    speed = np.abs(np.diff(q, axis=0)) * clip.fps
    return {
        "clip": clip.name, "fps": clip.fps, "frames": len(q), "rejected": sum(checks.rejected.values()),
        "cpu_ms_median": float(np.median(cpu_ms)), "cpu_ms_p99": float(np.percentile(cpu_ms, 99)),
        "foot_cm": error_cm("ankle_roll", "ankle_link"), "hand_cm": error_cm("wrist_yaw"),
        "pelvis_cm": error_cm("pelvis"),
        "sole_mm_median": float(np.median(lowest) * 1e3), "sole_mm_min": float(lowest.min() * 1e3),
        "joint_speed_max_rad_s": float(speed.max()) if len(speed) else 0.0,
        "jerk_rad_s3": float(np.abs(np.diff(q, 3, axis=0)).mean() * clip.fps**3) if len(q) > 3 else 0.0,
        "saturated_percent": float(((q < lower + margin) | (q > upper - margin)).mean() * 100.0),
    }  # fmt: skip


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="*", help="built-in names or BVH files; default: all")
    parser.add_argument("--frames", type=int, default=1000, help="at most this many frames a clip")
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--solver", choices=("fast", "mink"), default="fast")
    parser.add_argument("--json", type=Path, help="also write the figures here; '-' for standard output")
    options = parser.parse_args()
    clips = options.clips or [*motion_names, *(str(p) for p in sorted(BVH.glob("*.bvh")))]
    robot = load("robot", options.robot)
    console = Console(stderr=str(options.json) == "-", width=200)
    table = Table("clip", *(c.replace("_", " ") for c in COLUMNS), title=f"retarget, {options.solver} solver")
    figures = []
    for name in clips:
        try:
            clip = load_motion(name)
        except MotionFileError as error:
            console.print(f"skipped: {error}")
            continue
        figures.append(measure(robot, clip, options.frames, options.solver))
        row = figures[-1]
        table.add_row(clip.name[:28], *(f"{row[c]:.3g}" if isinstance(row[c], float) else str(row[c]) for c in COLUMNS))
    console.print(table)
    if options.json is not None:
        text = json.dumps({"schema": 1, "robot": options.robot, "solver": options.solver, "clips": figures}, indent=1)
        if str(options.json) == "-":
            print(text)
        else:
            options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
