"""Every benchmark, one after the other; `--quick` leaves out the end-to-end runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SLOW = {"bench_loop.py", "end_to_end.py", "dds_end_to_end.py"}


def main() -> int:
    quick = "--quick" in sys.argv
    worst = 0
    for script in sorted(FOLDER.glob("*.py"), key=lambda path: (path.name in SLOW, path.name)):
        if script.name in ("all.py", "gmr_style.py", "timed_robot_io.py") or (quick and script.name in SLOW):
            continue
        print(f"\n== {script.stem}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, str(script)]).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
