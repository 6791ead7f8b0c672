"""The service over real UDP with an emulated suit and the virtual robot: survival, tracking, latency, CPU, per clip.

    python benchmarks/end_to_end.py [--motions walk,wave] [--json out.json]

Prints one row a clip. Figures depend on the machine: run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "data" / "bvh"
DEFAULT = [
    str(CLIPS / f"{name}.bvh")
    for name in ("xsens_gmr_boxing_120Hz", "xsens_hh_stand", "cmu_12_01_walk", "cmu_131_01_startwalkstop")
]
LEAD_IN_S, LEAD_OUT_S, START_S = 6.0, 3.0, 4.0


def run_clip(motion: str, extra: list[str]) -> dict[str, Any]:
    """Serve one clip; returns the run report."""
    from teleopd.drivers.motion_file.library import load_motion

    clip = load_motion(motion)
    seconds = START_S + LEAD_IN_S + len(clip.pos_w) / clip.fps + LEAD_OUT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "TELEOPD_RUNTIME_DIR": str(Path(folder) / "run")}
        teleop = [sys.executable, "-m", "teleopd.launch.cli"]
        serve = subprocess.Popen(
            [*teleop, "serve", "--source", "xsens", "--robot", "unitree_g1", "--link", "sim", "--host", "127.0.0.1",
             "--port", str(port), "--auto-engage", "--no-view", "--seconds", str(seconds), "--report", str(report),
             *extra],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(START_S)
        emulate = subprocess.Popen(
            [*teleop, "emulate", "xsens", "--motion", motion, "--port", str(port), "--lead-in", str(LEAD_IN_S),
             "--lead-out", str(LEAD_OUT_S), "--quiet"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        serve.wait(seconds + 60)
        emulate.terminate()
        emulate.wait(10)
        result: dict[str, Any] = json.loads(report.read_text())
    return result


def row(name: str, report: dict[str, Any]) -> str:
    """One line of the table."""
    key, latency = report["tracking"]["key_body_error_mm"], report["latency_ms"]
    target, retarget = latency["receipt_to_target"], latency["retarget"]
    active = next((t for t, mode, _ in report["modes"] if mode == "ACTIVE"), None)
    cells = [
        f"{name:28s}", "upright" if report["upright"] else f"fell {report['fell_at_s']:.1f}",
        f"{active if active is not None else float('nan'):7.2f}",
        *(f"{value if value is not None else float('nan'):8.2f}" for value in (
            key["median"], key["p95"], target["p50"], target["p99"], retarget["p50"], latency["policy"]["p50"],
        )),
        f"{report['loop'].get('control', {}).get('cpu_percent', float('nan')):6.1f}",
        f"{report['loop'].get('robot_io', {}).get('cpu_percent', float('nan')):6.1f}",
    ]  # fmt: skip
    return "  ".join(cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", help="comma-separated files or built-in names")
    parser.add_argument("--json", type=Path)
    parser.add_argument("extra", nargs="*", help="further flags for teleop serve, after --")
    arguments = parser.parse_args()
    motions = arguments.motions.split(",") if arguments.motions else DEFAULT
    if not arguments.motions and not CLIPS.is_dir():
        motions = ["walk_and_turn", "wave", "squat"]
        print(f"{CLIPS} is absent: built-in motions instead")
    print("clip                          outcome   ACTIVE s  key mm    p95 mm  rcpt->target p50, p99 ms   retarget  "
          "policy ms  control %  robot-io %")  # fmt: skip
    reports, fallen = {}, 0
    for motion in motions:
        name = Path(motion).stem
        reports[name] = run_clip(motion, arguments.extra)
        fallen += not reports[name]["upright"]
        print(row(name, reports[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(reports, indent=2))
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
