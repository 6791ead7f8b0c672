"""`serve --mode arms` and a virtual robot that its own controller (a stand-in) holds, over real DDS on loopback.

Paced in real time, so in `make test-long` only; `tests/robots/dds/test_arms.py` has the same chain without pacing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.scenarios.conftest import LONG_S, TELEOP, until

from teleopd.robots.catalog import load_robot
from teleopd.robots.ipc.session import Session
from teleopd.safety.words import Mode
from teleopd.service.streams import Bus

DOMAIN = str(1 + os.getpid() % 200)


@pytest.mark.long
@pytest.mark.xdist_group("scenarios")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("robot", ["unitree_g1", "unitree_h1"])
def test_the_arms_follow_and_are_given_back(robot: str, tmp_path: Path):
    report_path = tmp_path / "report.json"
    environment = {**os.environ, "TELEOPD_RUNTIME_DIR": str(tmp_path / "run")}
    virtual = subprocess.Popen(
        [*TELEOP, "robot", "--robot", robot, "--domain", DOMAIN, "--battery", "19"], stderr=subprocess.PIPE, text=True
    )
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(
            [*TELEOP, "serve", "--mode", "arms", "--robot", robot, "--source", "motion_file", "--motion", "wave",
             "--loop", "--link", "dds", "--interface", "lo", "--domain", DOMAIN, "--auto-engage-virtual", "--no-view",
             "--report", str(report_path)], env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    session = Session(robot, tmp_path / "run" / robot)

    def said() -> str:
        return (tmp_path / "log").read_text()

    def mode() -> Mode | None:
        assert service.poll() is None, said()
        if not session.path("safety_status").exists():
            return None
        status = Bus(session, load_robot(robot).n).slot("safety_status").read()
        return None if status is None else Mode(status.mode)

    try:
        until(lambda: mode() is Mode.ACTIVE, "the arms follow", 3 * LONG_S)
        service.send_signal(signal.SIGINT)
        assert service.wait(LONG_S) == 0, said()
        virtual.send_signal(signal.SIGINT)
        words = virtual.communicate(timeout=LONG_S)[1].splitlines()[-1]
    finally:
        service.kill()
        virtual.kill()
    report = json.loads(report_path.read_text())
    assert report["upright"] and report["policy"] is None and report["link"]["battery_percent"] == 19
    assert "battery low: 19 %" in said().replace("\n", " ")
    assert words.startswith("obeyed 0 commands; refused: 0 ") and words.endswith(" for the arms")
    assert report["modes"][-1][1:] == ["DAMPED", "OPERATOR_DAMP"]
