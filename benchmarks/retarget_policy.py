"""What a tracking policy makes of two retargeters: the same clips through ours and through the GMR-style baseline.

    python benchmarks/retarget_policy.py --policy twist2_1017_20k.onnx [--runs 5] [--seconds S] [--json FILE] [CLIP ...]

Each clip is retargeted by both, whole, at the rate of `benchmarks/retarget.py`, and each motion is then played to the
policy on the virtual robot in lock step, as `teleop eval` plays it: run 0 undisturbed, every other run with the push of
its seed as it engages. Figures, mean over the runs in ACTIVE:

    delivered   distance of the robot's elbows, hands, knees and feet from where the person has them, relative to the
                pelvis and its heading, at the delay that fits best (0 to 200 ms) [mm]; by the baseline's targets and by
                ours, because each retargeter follows its own
    reference   the same with the reference in place of the robot, by its own targets, no delay
    key         key-body error against the reference, median [mm]
    slide       horizontal speed of the simulated toes while the person's toe stands [cm/s]; of the reference's toes
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
from gmr_style import GmrStyle
from retarget import BVH, played
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch.registry import load
from teleopd.robots.model import Array, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.dataset.motion_npz import write_motion
from teleopd.service.dataset.retarget_clip import pose_of, retarget_clip, source_of
from teleopd.service.evaluation.clips import LEAD_IN_S
from teleopd.service.evaluation.disturbances import disturbances
from teleopd.service.evaluation.robot_motion import leading_glitches
from teleopd.service.evaluation.trial import Trial, run_trial
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.errors import TooSlow
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.retarget import artifacts
from teleopd.service.retarget import quaternions as quat
from teleopd.service.retarget.robot_shape import RobotShape

BODIES = ("elbow_link", "wrist_yaw_link", "knee_link", "ankle_roll_link")
"""Left and right of each are compared."""
LONGEST_LAG = 10
"""Policy ticks."""
TICK_S = 0.02
TRIES = 20
"""Times a policy is loaded again on a busy machine."""


@dataclass(frozen=True, slots=True)
class Motion:
    """One clip by one retargeter."""

    qpos: Array
    """(N, 7 + n), as `artifacts.measure`."""
    wanted: Array
    """Where the person has the bodies, from the pelvis in its heading [m], (N, 8, 3)."""


@dataclass(slots=True)
class Heard:
    """What one run delivered, one entry a policy tick in ACTIVE."""

    frames: list[int] = field(default_factory=list)
    """Of the clip; negative before it."""
    qpos: list[Array] = field(default_factory=list)


def compared() -> tuple[str, ...]:
    return tuple(f"{side}_{body}" for body in BODIES for side in ("left", "right"))


def from_pelvis(pos: Array, root: Array, turn: Array) -> Array:
    """Points (N, k, 3) from a root (N, 3), in the heading of its orientation (N, 4)."""
    yaw = np.array([quat.yaw(q) for q in turn])
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    d = pos - root[:, None]
    return np.stack((c * d[..., 0] + s * d[..., 1], c * d[..., 1] - s * d[..., 0], d[..., 2]), axis=-1)


def by_ours(robot: RobotModel, clip: MotionClip) -> Motion:
    done = retarget_clip(robot, clip)
    at = [done.asked.bodies.index(name) for name in compared()]
    root = done.asked.bodies.index("pelvis")
    wanted = from_pelvis(done.asked.pos[:, at], done.asked.pos[:, root], done.asked.quat[:, root])
    return Motion(done.qpos, wanted)


def by_baseline(robot: RobotModel, clip: MotionClip) -> Motion:
    solver = GmrStyle(robot)
    names = [row.robot for row in solver.rows]
    at, root = [names.index(name) for name in compared()], names.index("pelvis")
    qpos, pos, turn = [], [], []
    for i in range(clip.frames):
        qpos.append(solver.update(pose_of(clip, i)))
        pos.append(np.array(solver.pos))
        turn.append(np.array(solver.quat))
    wanted = from_pelvis(np.array(pos)[:, at], np.array(pos)[:, root], np.array(turn)[:, root])
    return Motion(np.array(qpos), wanted)


def listen(session: Lockstep, heard: Heard, first: int) -> None:
    """Remember what the robot does; `first`: the motion's frame that is the clip's first."""
    joints = [int(session.robot.mj_model.joint(name).qposadr[0]) for name in session.model.joint_names]
    ticks = 0

    def hear(_tick: Any) -> None:
        nonlocal ticks
        ticks += 1
        newest = session.last_tick
        if ticks % 10 or newest is None or session.mode is not Mode.ACTIVE or newest.targets.reference_seq <= 0:
            return
        data = session.robot.mj_data
        heard.frames.append(int(newest.targets.reference_seq) - 1 - first)
        heard.qpos.append(np.concatenate((data.qpos[:7], data.qpos[joints])))

    session.on_robot_io = hear


def delivered(shape: RobotShape, heard: Heard, wanted: Array) -> tuple[float, float]:
    """Mean distance at the best delay [mm], and that delay [ms]."""
    frames = np.array(heard.frames)
    made = shape.over(np.array(heard.qpos))
    points = from_pelvis(made.body_pos[:, shape.body_ids(compared())], np.array(heard.qpos)[:, :3],
                         np.array(heard.qpos)[:, 3:7])  # fmt: skip
    best = (np.inf, 0.0)
    for lag in range(LONGEST_LAG + 1):
        asked, seen = frames[: len(frames) - lag], points[lag:]
        inside = (asked >= 0) & (asked < len(wanted))
        if inside.any():
            error = float(np.linalg.norm(seen[inside] - wanted[asked[inside]], axis=-1).mean())
            best = min(best, (1e3 * error, 1e3 * TICK_S * lag))
    return best


def simulated_slide(shape: RobotShape, heard: Heard, standing: Array) -> float:
    """Of the robot's toes while the person's stand [cm/s]."""
    frames = np.array(heard.frames)
    inside = (frames >= 0) & (frames < len(standing))
    if inside.sum() < 3:
        return float("nan")
    toes = shape.over(np.array(heard.qpos)[inside]).toes
    return 100.0 * artifacts.slide(toes, standing[frames[inside]], 1.0 / TICK_S)[0]


def run(
    robot: RobotModel, policy: ResolvedPolicy, path: Path, motion: Motion, fps: float, seed: int
) -> tuple[dict[str, Any], Heard]:  # fmt: skip
    heard = Heard()
    first = round(LEAD_IN_S * fps) - leading_glitches(motion.qpos, fps)
    trial = Trial(robot.name, policy.card.name, policy, str(path), disturbances(["none"])[0], seed)
    for _ in range(TRIES):
        try:
            return run_trial(trial, watch=lambda session: listen(session, heard, first)), heard
        except TooSlow:  # judged by the clock as it warms up; in lock step only a busy machine is the reason
            time.sleep(2.0)
    raise SystemExit("the policy does not load fast enough on this machine; run this when it is quiet")


def measure_clip(
    robot: RobotModel, policy: ResolvedPolicy, clip: MotionClip, runs: int, folder: Path
) -> dict[str, Any]:
    """One line: both retargeters."""
    shape, source = RobotShape(robot), source_of(clip)
    standing = artifacts.stance(source.toes, clip.fps)
    motions = {"ours": by_ours(robot, clip), "baseline": by_baseline(robot, clip)}
    line: dict[str, Any] = {"clip": clip.name, "seconds": round(clip.frames / clip.fps, 2), "runs": runs}
    for name, motion in motions.items():
        path = folder / f"{name}.npz"
        write_motion(path, robot, fps=clip.fps, qpos=motion.qpos, source=clip.name, solver=name, digest=name)
        rows = [run(robot, policy, path, motion, clip.fps, seed) for seed in range(runs)]
        made = shape.over(motion.qpos)
        reached = from_pelvis(made.body_pos[:, shape.body_ids(compared())], motion.qpos[:, :3], motion.qpos[:, 3:7])
        told = [row["tracking"] for row, _ in rows if row["tracking"]]
        found = {key: [delivered(shape, heard, motions[key].wanted) for _, heard in rows if heard.frames]
                 for key in motions}  # fmt: skip
        line[name] = {
            "falls": sum(not row["upright"] for row, _ in rows),
            "not_engaged": sum(not row["engaged"] for row, _ in rows),
            "active_s": [row["active_s"] for row, _ in rows],
            "delivered_mm_by_ours": _mean([mm for mm, _ in found["ours"]]),
            "delivered_mm_by_baseline": _mean([mm for mm, _ in found["baseline"]]),
            "lag_ms": _mean([ms for _, ms in found[name]]),
            "reference_mm": 1e3 * float(np.linalg.norm(reached - motion.wanted, axis=-1).mean()),
            "key_body_mm": _mean([t["key_body_error_mm"]["median"] for t in told]),
            "simulated_slide_cm_s": _mean([simulated_slide(shape, heard, standing) for _, heard in rows]),
            "reference_slide_cm_s": 100.0 * artifacts.slide(made.toes, standing, clip.fps)[0],
            "slip_of_soles_cm_s": _mean([100.0 * (row["foot_slip_m_s"] or np.nan) for row, _ in rows]),
            "torque_rms_share": _mean([row["torque_share"]["rms"] for row, _ in rows if row["torque_share"]]),
        }
    return line


def _mean(values: list[float]) -> float | None:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else None


COLUMNS = (
    ("falls", "falls", 0), ("delivered mm, by ours", "delivered_mm_by_ours", 1),
    ("by the baseline", "delivered_mm_by_baseline", 1), ("lag ms", "lag_ms", 0), ("reference mm", "reference_mm", 1),
    ("key mm", "key_body_mm", 1), ("slide cm/s", "simulated_slide_cm_s", 1),
    ("of the reference", "reference_slide_cm_s", 1), ("slip of soles", "slip_of_soles_cm_s", 1),
    ("torque", "torque_rms_share", 3),
)  # fmt: skip


def show(lines: list[dict[str, Any]], console: Console) -> None:
    table = Table(title="ours / baseline", box=SIMPLE, pad_edge=False, padding=(0, 1))
    for title in ("clip", *(title for title, _, _ in COLUMNS)):
        table.add_column(title, justify="left" if title == "clip" else "right", no_wrap=True)
    for line in lines:
        cells = []
        for _, key, digits in COLUMNS:
            values = [line[name][key] for name in ("ours", "baseline")]
            cells.append(" / ".join("-" if v is None else f"{v:.{digits}f}" for v in values))
        table.add_row(line["clip"][:24], *cells)
    console.print(table)
    runs = sum(line["runs"] for line in lines)
    falls = [sum(line[name]["falls"] for line in lines) for name in ("ours", "baseline")]
    console.print(f"falls: {falls[0]} of {runs} with ours, {falls[1]} of {runs} with the baseline")


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", help="built-in names or BVH files; default: the BVH clips")
    parser.add_argument("--policy", default=None, help="name or ONNX file; default: the robot's own")
    parser.add_argument("--runs", type=int, default=5, help="a clip and retargeter; each has its seed")
    parser.add_argument("--seconds", type=float, default=12.0, help="longest part of a clip")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    robot: RobotModel = load("robot", "unitree_g1")
    policy = resolve(options.policy, robot)
    if policy is None:
        print("the policy's weights are not here; give --policy FILE", file=sys.stderr)
        return 1
    console, lines = Console(width=200, highlight=False), []
    options.native, options.frames = False, 0
    names = options.clips or [str(path) for path in sorted(BVH.glob("*.bvh"))]
    with tempfile.TemporaryDirectory() as folder:
        for name in track(names, "clips", console=Console(stderr=True), transient=True):
            clip = played(load_motion(name), options)
            count = max(2, round(options.seconds * clip.fps) + 1)
            clip = replace(clip, pos_w=clip.pos_w[:count], quat_w=clip.quat_w[:count])
            lines.append(measure_clip(robot, policy, clip, options.runs, Path(folder)))
            if options.json:
                options.json.write_text(json.dumps({"schema": 1, "policy": policy.card.name, "clips": lines}, indent=1))
    show(lines, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
