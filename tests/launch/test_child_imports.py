"""A spawned child imports what its own target needs, not the parent's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROBE = """
import sys
from pathlib import Path

def main(out):
    import teleopd.service.robot_io_process
    Path(out).write_text(" ".join(sorted(sys.modules)))
"""
PARENT = """
import sys
import teleopd.launch.commands.serve
from teleopd.launch.processes import ProcessSpec, Processes

assert "mujoco" in sys.modules
processes = Processes(print)
process = processes._spawn(ProcessSpec("probe", "probe:main", "report", 0), {"out": sys.argv[1]})
process.join(30)
sys.exit(process.exitcode)
"""


def test_robot_io_child_loads_no_physics_inference_or_web(tmp_path: Path):
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "parent.py").write_text(PARENT)
    out = tmp_path / "modules"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, str(tmp_path / "parent.py"), str(out)], check=True, env=environment, timeout=60)
    loaded = {name.partition(".")[0] for name in out.read_text().split()}
    assert "teleopd" in loaded
    assert loaded & {"mujoco", "onnxruntime", "viser", "aiohttp", "av", "rich", "tyro", "mink", "msgspec"} == set()


def test_the_command_that_stops_a_robot_waits_for_no_physics_to_load():
    code = "import sys, teleopd.launch.cli as cli; cli.COMMANDS['ctl']; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "teleopd" in loaded and loaded & {"mujoco", "onnxruntime", "viser", "aiohttp", "numba", "scipy"} == set()
