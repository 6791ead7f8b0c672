"""Clips in lock step: survival, key-body error against the reference consumed that tick, and how much faster than life.

The runs are those of `teleop eval`, one after the other in this process, so that the speed means something.

    python benchmarks/lockstep.py [--motions walk,FILE.bvh] [--perturbation NAME] [--seed N] [--json out.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from teleopd.drivers.motion_file.library import motion_names
from teleopd.launch import registry
from teleopd.launch.commands.eval import outcome
from teleopd.service.evaluation.disturbances import disturbances
from teleopd.service.evaluation.trial import Trial, run_trial
from teleopd.service.policy.library import absent_sentence, resolve

CLIPS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "bvh"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", help="comma-separated files or built-in names; default: all clips and built-ins")
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--policy", default=None)
    parser.add_argument("--perturbation", default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = registry.load("robot", arguments.robot)
    resolved = resolve(arguments.policy, model)
    if resolved is None:
        raise SystemExit(absent_sentence(model))
    every = [*motion_names, *map(str, sorted(CLIPS.glob("*.bvh")))]
    motions = arguments.motions.split(",") if arguments.motions else every
    heads = f"{'key mm':>8s} {'p95':>8s} {'rmse':>7s} {'drift m':>8s} {'yaw deg':>8s} {'x real':>7s} refused"
    print(f"{'motion':32s} {'outcome':>16s} {heads}")
    rows = []
    for motion in motions:
        for disturbance in disturbances([arguments.perturbation]):
            row = run_trial(Trial(arguments.robot, resolved.card.name, resolved, motion, disturbance, arguments.seed))
            rows.append(row)
            told = row["tracking"] or {}
            key = told.get("key_body_error_mm", {})
            figures = (
                key.get("median"), key.get("p95"), told.get("joint_rmse_rad"), told.get("root_drift_m"),
                told.get("yaw_drift_deg"), row["real_time_factor"],
            )  # fmt: skip
            layout = "{:8.1f} {:8.1f} {:7.3f} {:8.2f} {:8.1f} {:7.1f}"
            shown = layout.format(*(np.nan if f is None else f for f in figures))
            print(f"{row['clip']:32s} {outcome(row):>16s} {shown} {row['frames']['rejected']}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
