"""The units as systemd's own tools judge them, and installing them below a folder."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from teleopd.launch import cli, deploy
from teleopd.launch.config_resolution import resolve
from teleopd.launch.errors import CommandError
from teleopd.service.robot_io_process import PRIORITY

UNITS = ("teleopd@.service", "teleopd-lcm-bridge@.service", "teleopd.target")
MOST_EXPOSED = 2.5
NEVER = ("auto_engage", "auto-engage", "auto_arm", "auto-arm", "latched", "release", "unqualified", "ctl ")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `teleop deploy` installs; its program exists there, as systemd wants it."""
    program = tmp_path / "opt" / "teleop"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(deploy, "program", lambda: program)
    return tmp_path / "root"


def teleop(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["deploy", *words])
    return int(ended.value.code or 0)


@pytest.fixture
def installed(root: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert teleop("install", "--root", str(root)) == 0
    capsys.readouterr()
    return root / "etc/systemd/system"


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed: launch/setup.sh installs it"
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def instances(installed: Path) -> Iterator[list[Path]]:
    """The units as instances: systemd judges no template."""
    made = []
    for name in UNITS:
        made.append(installed / name.replace("@", "@unitree_g1"))
        if "@" in name:
            shutil.copy(installed / name, made[-1])
    yield made


def test_systemd_finds_nothing_to_say_about_the_units(instances: list[Path]):
    """A misspelt key is only a line of output, with exit status 0: any output fails."""
    for unit in instances:
        done = analyze("verify", str(unit))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), unit.name
    broken = instances[0].with_name("teleopd@broken.service")
    broken.write_text(instances[0].read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", str(broken)).stderr, "the judge sees mistakes"


def test_the_exposure_of_the_services_is_low(instances: list[Path]):
    for unit in instances[:2]:
        done = analyze("security", "--offline=true", f"--threshold={10 * MOST_EXPOSED:.0f}", str(unit))
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        assert found and float(found[1]) <= MOST_EXPOSED and done.returncode == 0, done.stdout[-400:]


@pytest.mark.parametrize("unit", UNITS[:2])
def test_a_service_comes_up_disarmed_and_is_watched(installed: Path, unit: str):
    text = (installed / unit).read_text()
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    assert not any(word in lines["ExecStart"] for word in NEVER)
    assert (lines["Type"], lines["NotifyAccess"], lines["Restart"]) == ("notify", "main", "on-failure")
    assert (lines["KillMode"], lines["SendSIGKILL"]) == ("mixed", "no")
    assert lines["ExecStopPost"].endswith(" deploy settle")
    assert int(lines["LimitRTPRIO"]) >= PRIORITY
    assert float(lines["TimeoutStopSec"]) > deploy.SETTLE_S
    assert "DAMPED" not in text and "ExecStartPost" not in text


def test_the_run_file_it_starts_with_is_one_that_the_service_takes(root: Path, installed: Path):
    config = resolve({}, root / "etc/teleopd/unitree_g1.toml", {})
    assert (config.robot, config.link, config.view) == ("unitree_g1", "sim", False)
    assert not (config.auto_engage or config.auto_arm or config.latched_engage)


def test_installing_twice_keeps_the_run_file_and_uninstalling_leaves_it(
    root: Path, installed: Path, capsys: pytest.CaptureFixture[str]
):
    run_file = root / "etc/teleopd/unitree_g1.toml"
    run_file.write_text("# mine\n")
    assert teleop("install", "--root", str(root)) == 0
    assert f"kept   {run_file}" in capsys.readouterr().out and run_file.read_text() == "# mine\n"
    assert teleop("uninstall", "--root", str(root)) == 0
    left = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert left == [Path("etc/teleopd/unitree_g1.toml")]


def test_a_unit_of_somebody_else_is_neither_overwritten_nor_removed(
    root: Path, installed: Path, capsys: pytest.CaptureFixture[str]
):
    target = installed / "teleopd.target"
    target.write_text("[Unit]\n")
    assert teleop("uninstall", "--root", str(root)) == 0
    assert f"left   {target}: it was changed by somebody else" in capsys.readouterr().out
    assert teleop("install", "--root", str(root)) == 2
    said = capsys.readouterr().err
    assert said == f"teleop: {target} is not of `teleop deploy install`; move it away first\n"
    assert target.read_text() == "[Unit]\n"


def test_a_dry_run_prints_everything_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]):
    assert teleop("install", "--dry-run") == 0
    out = capsys.readouterr().out
    for unit in UNITS:
        assert f"# would write /etc/systemd/system/{unit}" in out
    assert "# would run systemd-sysusers" in out and "# would run systemctl daemon-reload" in out
    assert "@TELEOP@" not in out and not root.exists()


def test_a_program_in_a_home_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "teleop").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/home/anna/.pyenv/bin/python3")
    with pytest.raises(CommandError, match=r"^/home/anna/.pyenv/bin/python3 lies in a home folder"):
        deploy.program()


def test_settling_waits_for_the_process_that_writes_to_the_motors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    assert deploy.settle() == []
    lock = tmp_path / "unitree_g1" / "motors.lock"
    lock.parent.mkdir()
    file = lock.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    assert deploy.settle(0.0) == ["unitree_g1"]
    waiting = threading.Thread(target=deploy.settle)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    file.close()
    waiting.join(60)
    assert not waiting.is_alive() and deploy.motors_held() == []


def test_nothing_outside_a_unit_of_ours_is_ever_killed():
    assert deploy.kill_rest() == []
