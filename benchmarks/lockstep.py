"""Clips in lock step: survival, key-body error against the reference consumed that tick, and how much faster than life.

    python benchmarks/lockstep.py [--motions walk,FILE.bvh] [--perturbation NAME] [--seed N] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.launch import registry
from teleopd.robots.virtual.perturbation import perturbation
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.lockstep import Lockstep, PoseStream
from teleopd.service.policy.library import absent_sentence, resolve
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.source_process import SourceStage
from teleopd.service.telemetry.tracking import TrackingMeter

CLIPS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "bvh"
LEAD_S = 4.0


def run_clip(motion: str, robot: str, policy: str | None, perturbed: str, seed: int) -> dict[str, Any]:
    """One clip from ACTIVE to its end."""
    model = registry.load("robot", robot)
    resolved = resolve(policy, model)
    if resolved is None:
        raise SystemExit(absent_sentence(model))
    clip = with_leads(load_motion(motion), LEAD_S, 1.0)
    session = Lockstep(model, resolved, perturbation=perturbation(perturbed), seed=seed)
    stage = SourceStage(FrameChecks(clip.skeleton), Retargeter(model, clip.skeleton), source_id=1)
    started = time.perf_counter()
    session.arm()
    stream = PoseStream(stage, lambda i: clip.pose(i, seq=i, t_ns=0), clip.fps, len(clip.pos_w), session.now_ns)
    session.run(stream, 1.2)
    engaged = session.engage(stream)
    while not stream.ended and session.fell_at_s is None:
        session.step(stream(session.now_ns))
    took_s = time.perf_counter() - started
    meter = TrackingMeter(model)
    meter.add_ticks(session.ticks)
    result = meter.result()
    return {
        "motion": Path(motion).stem, "engaged": engaged, "upright": session.fell_at_s is None,
        "fell_at_s": session.fell_at_s, "key_body_median_mm": result.key_body_median_mm,
        "key_body_p95_mm": result.key_body_p95_mm, "joint_rmse_rad": result.joint_rmse_rad,
        "root_drift_m": result.root_drift_m, "yaw_drift_deg": result.yaw_drift_deg,
        "modes": [[round(c.t_s, 2), c.mode.name, c.cause] for c in session.changes],
        "real_time_factor": session.time_s / took_s, "rejected": stage.rejected,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", help="comma-separated files or built-in names; default: all clips and built-ins")
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--policy", default=None)
    parser.add_argument("--perturbation", default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    every = [*motion_names, *map(str, sorted(CLIPS.glob("*.bvh")))]
    motions = arguments.motions.split(",") if arguments.motions else every
    heads = f"{'key mm':>8s} {'p95':>8s} {'rmse':>7s} {'drift m':>8s} {'yaw deg':>8s} {'x real':>7s} refused"
    print(f"{'motion':32s} {'outcome':>12s} {heads}")
    rows = []
    for motion in motions:
        row = run_clip(motion, arguments.robot, arguments.policy, arguments.perturbation, arguments.seed)
        rows.append(row)
        outcome = "upright" if row["upright"] else f"fell {row['fell_at_s']:.1f}"
        figures = [row[k] if row[k] is not None else np.nan for k in (
            "key_body_median_mm", "key_body_p95_mm", "joint_rmse_rad", "root_drift_m", "yaw_drift_deg",
            "real_time_factor",
        )]  # fmt: skip
        outcome = outcome if row["engaged"] else "not engaged"
        shown = "{:8.1f} {:8.1f} {:7.3f} {:8.2f} {:8.1f} {:7.1f}".format(*figures)
        print(f"{row['motion']:32s} {outcome:>12s} {shown} {row['rejected']}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
