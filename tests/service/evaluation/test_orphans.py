"""A run that is killed leaves no worker behind: each would keep a core for minutes."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

PROGRAM = """
import time
from teleopd.service.evaluation.run import run_all

if __name__ == "__main__":
    print("begun", flush=True)
    run_all([60.0, 60.0], 2, attempt=time.sleep)
"""


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 60
        process = psutil.Process(parent.pid)
        while len([c for c in process.children() if len(c.threads()) > 1]) < 2:  # its watching thread is there
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = process.children()
        parent.kill()
    _, left = psutil.wait_procs(workers, timeout=60)
    assert left == []
