"""Short runs: the second Ctrl-C, no policy weights, a port that is taken, a policy that does not fit."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode

from .conftest import LONG_S, TELEOP, StartService, until

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.slow]

WITHOUT_WEIGHTS = """
import teleopd.service.policy.library as library
library.search_folders = lambda *_: [library.Path("/nowhere")]
every = library.shipped_cards
library.shipped_cards = lambda robot: {name: path for name, path in every(robot).items() if name != "default"}
from teleopd.launch.cli import main
main()
"""


def test_second_ctrl_c_damps_at_once(start_service: StartService):
    service = start_service("--auto-engage", "--source", "motion_file", "--motion", "wave", "--loop", "--no-standby")
    service.wait_mode(Mode.ACTIVE)
    time.sleep(0.3)
    service.interrupt()
    service.wait_mode(Mode.RETURN)
    service.interrupt()
    assert service.end() == 0
    report = service.report()
    assert [(mode, cause) for _, mode, cause in report["modes"][-2:]] == [
        ("RETURN", "OPERATOR_STOP"), ("DAMPED", "OPERATOR_DAMP"),
    ]  # fmt: skip
    assert "standby" not in report["loop"]
    assert report["upright"] is True
    assert service.left() == []
    assert not service.session.folder.exists()


def test_without_weights_serve_says_so_in_one_sentence_and_shows_the_motion(start_service: StartService):
    service = start_service(
        "--source", "motion_file", "--motion", "wave", "--loop", program=(sys.executable, "-c", WITHOUT_WEIGHTS)
    )
    until(lambda: service.bus.slot("source_status").read() is not None, "the source is up")
    until(lambda: service.bus.slot("source_status").read().used > 60, "references are made")
    assert sorted(child.name() for child in service.see_children() if child.name() != "python") == ["teleop:source"]
    service.interrupt()
    assert service.end() == 0
    said = " ".join(service.log().split())
    assert said.startswith(
        "no policy weights for unitree_g1 were found, so the robot is shown kinematically and does not balance; put "
    )
    assert said.count("no policy weights") == 1
    report = service.report()
    assert report["policy"] is None
    assert report["frames"]["used"] > 10
    assert report["modes"] == []
    assert set(report["loop"]) == {"source"}
    assert not service.session.folder.exists()


def test_a_port_in_use_is_one_sentence_and_nothing_is_left(tmp_path: Path, shared_data: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*TELEOP, "serve", "--host", "127.0.0.1", "--port", str(port), "--no-view", "--policy",
             str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx")],
            env={**os.environ, "TELEOPD_RUNTIME_DIR": str(tmp_path / "run")}, capture_output=True, text=True,
            timeout=LONG_S,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"teleop: UDP port {port} on 127.0.0.1 is in use by another program; "
        "stop it, or choose another port with --port"
    )
    assert not (tmp_path / "run").exists()


def test_a_policy_of_another_width_is_one_sentence(tmp_path: Path, shared_data: Path):
    """A card that says TWIST2 beside a model that is something else: only the policy process can find out."""
    found = next((shared_data / "policies" / "unitree_rl_lab" / "velocity").rglob("*.onnx"))
    model = tmp_path / "foreign.onnx"
    model.write_bytes(found.read_bytes())
    card = (MODEL.mjcf.parent / "policies" / "twist2.toml").read_text()
    for old, new in (
        ('file = "twist2_1017_20k.onnx"', 'file = "foreign.onnx"'), ('input = "input"', 'input = "obs"'),
        ('output = "output"', 'output = "actions"'),
    ):  # fmt: skip
        assert old in card
        card = card.replace(old, new, 1)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    (tmp_path / "foreign.toml").write_text(re.sub('sha256 = "[0-9a-f]{64}"', f'sha256 = "{sha256}"', card, count=1))
    done = subprocess.run(
        [*TELEOP, "serve", "--source", "motion_file", "--motion", "stand", "--no-view", "--policy", str(model)],
        env={**os.environ, "TELEOPD_RUNTIME_DIR": str(tmp_path / "run")}, capture_output=True, text=True,
        timeout=LONG_S,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert re.fullmatch(r"teleop: .*1432.*", done.stderr.splitlines()[-1]), done.stderr
    assert not (tmp_path / "run").exists()
