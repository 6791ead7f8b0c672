"""Paths with ~ as users type them: results go where they were checked, and a home folder of nobody is one sentence."""

from __future__ import annotations

import contextlib
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from teleopd.drivers.home import expanded
from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.tap.source import TapSource
from teleopd.launch import cli
from teleopd.launch.bug_report import _tail, collect
from teleopd.launch.commands import demo, lcm_bridge
from teleopd.launch.commands import eval as evaluate
from teleopd.launch.commands.qualify import Qualify
from teleopd.launch.config import RunConfig
from teleopd.launch.config_resolution import resolve
from teleopd.launch.service_run import ServiceRun
from teleopd.launch.telemetry import broker
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.console import render
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.operator_file import operator_path

NOBODYS = "~no-such-user/x"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def teleop(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return int(ended.value.code or 0)


def test_a_path_is_expanded_or_refused_with_the_callers_own_error(home: Path, monkeypatch: pytest.MonkeyPatch):
    assert expanded("~/a", ValueError) == home / "a"
    assert expanded("a/~b", ValueError) == Path("a/~b")
    with pytest.raises(SourceUnavailable) as refused:
        expanded(NOBODYS, SourceUnavailable, "--file ")
    assert str(refused.value) == f"--file {NOBODYS}: there is no user 'no-such-user' here; write the path in full"
    monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(ValueError, match=r"^~/a: your home folder is not known \(set HOME\); write the path in full$"):
        expanded("~/a", ValueError)


MOTION = ("serve", "--source", "motion_file", "--no-view", "--motion")
REFUSED = {
    "report": ("serve", "--report"), "snapshot": ("serve", "--snapshot"), "video": ("serve", "--video"),
    "motion": MOTION, "capture": ("serve", "--source", "tap", "--file"), "tap": ("serve", "--tap"),
    "run file": ("serve", "--config"), "certificate": ("serve", "--view-certificate"),
    "recording": (*MOTION, "wave", "--record"), "log folder": (*MOTION, "wave", "--log-folder"),
    "password": (*MOTION, "wave", "--mqtt", "x", "--mqtt-password-file"),
    "authority": (*MOTION, "wave", "--mqtt", "x", "--mqtt-ca"),
    "preview": ("preview", "--report"), "demo": ("demo", "--motion", "wave", "--out"),
    "bridge": ("lcm-bridge", "--report"), "emulate": ("emulate", "xsens", "--motion"), "decode": ("decode", "xsens"),
    "retarget": ("retarget", "--out", "o"), "retarget to": ("retarget", "wave", "--out"),
    "table": ("import-table",), "qualify": ("qualify", "--out"), "eval": ("eval", "--clips", "wave", "--out"),
    "episode": ("capture", "info"), "torn": ("capture", "recover"), "play": ("capture", "play"),
    "export": ("capture", "export", "--to"), "export from": ("capture", "export", "--to", "o"),
    "policy": ("policy", "show"), "weights": ("policy", "fetch", "--yes", "twist2", "--to"),
    "archive": ("bugreport", "--out"), "run file of an archive": ("bugreport", "--config"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_home_folder_of_nobody_is_one_sentence_in_every_option(
    what: str, home: Path, capsys: pytest.CaptureFixture[str]
):
    assert teleop(*REFUSED[what], NOBODYS) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("teleop: ") and err.endswith(
        f"{NOBODYS}: there is no user 'no-such-user' here; write the path in full\n"
    )
    assert [path for path in home.iterdir() if path.name not in ("run", "state")] == []


@pytest.mark.parametrize("words", [("serve", "--policy"), ("eval", "--clips"), ("qualify", "--clips")])
def test_wherever_else_one_is_typed_it_is_one_sentence_too(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert teleop(*words, f"{NOBODYS}.onnx") == 2
    assert capsys.readouterr().err == (
        "teleop: a path begins with ~, and the home folder it means is not known; write the path in full, or set HOME\n"
    )


def test_a_source_and_an_operators_folder_refuse_it_themselves(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SourceUnavailable, match="no user 'no-such-user'"):
        TapSource(file=NOBODYS)
    monkeypatch.setenv("TELEOPD_OPERATORS", NOBODYS)
    with pytest.raises(CalibrationError, match=rf"^TELEOPD_OPERATORS {NOBODYS}: there is no user"):
        operator_path("anna")


def test_pictures_go_to_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[Path] = []
    monkeypatch.setattr(render, "snapshot", lambda _model, _state, path: made.append(path))
    monkeypatch.setattr(render, "render_video", lambda _model, _trace, path, **_: made.append(path))
    run = ServiceRun.__new__(ServiceRun)
    run.config = RunConfig(snapshot="~/a.png", video="~/a.mp4")
    run.parts = SimpleNamespace(model=None)  # type: ignore[assignment]
    run._trace = SimpleNamespace(still=lambda: None, trace=lambda: None)  # type: ignore[assignment]
    assert run.write_pictures() == made == [home / "a.png", home / "a.mp4"]


def test_an_archive_goes_to_the_home_folder(home: Path, capsys: pytest.CaptureFixture[str]):
    (home / "run.toml").write_text("port = 5\n")
    assert teleop("bugreport", "--out=~/a.tar.gz", "--config=~/run.toml", "--log-folder", "none") == 0
    assert f"wrote {home}/a.tar.gz" in capsys.readouterr().out
    with tarfile.open(home / "a.tar.gz") as archive:
        assert "teleopd-bugreport/config/run.toml" in archive.getnames()
    assert _tail(Path("a\0b")).startswith("cannot be read")
    (home / "run.toml").write_text(f'mqtt_password_file = "{NOBODYS}"\n')
    assert collect(MODEL, home / "run.toml", "none"), "a file that is not there is no reason to have no archive"


def test_a_demonstration_goes_to_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch):
    def ran(config: RunConfig) -> int:
        report: dict[str, Any] = {"frames": {"received": 1}, "modes": [[1.0, "ACTIVE", None]]}
        Path(config.report).write_text(json.dumps(report))
        return 0

    monkeypatch.setattr(demo, "serve", ran)
    monkeypatch.setattr(demo, "_emulator", lambda *_: contextlib.nullcontext())
    assert demo.Demo(source="xsens", motion="wave", out=Path("~/demo")).run() == 0
    assert [path.name for path in (home / "demo").iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    "words", [("--policy", "qqqqqq"), ("--view-port", "70000"), ("--camera", "x"), ("--robot", "qqqqqq")]
)
def test_a_demonstration_that_is_refused_leaves_no_folder(home: Path, words: tuple[str, ...]):
    assert teleop("demo", "--motion", "wave", "--out", "a/b", "--record", "c", *words) == 2
    assert [path for path in home.iterdir() if path.name not in ("run", "state")] == []


def test_records_and_evaluations_go_to_the_home_folder(home: Path):
    assert Qualify(out=Path("~/q.json"))._check() == home / "q.json"
    kept = evaluate.Eval(clips=("wave",), out=Path("~/e.json"))._kept([])
    assert kept is not None and kept.path == home / "e.json.part"
    kept.close()


def test_a_bridge_writes_its_report_where_it_was_checked(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    report = {"upright": True}
    monkeypatch.setattr(lcm_bridge, "BridgeRun", lambda *_, **__: SimpleNamespace(run=lambda: report))
    assert teleop("lcm-bridge", "--report=~/r.json", "--json") == 0
    assert json.loads((home / "r.json").read_text()) == report
    monkeypatch.setattr(lcm_bridge, "BridgeRun", lambda *_, **__: pytest.fail("it ran"))
    capsys.readouterr()
    assert teleop("lcm-bridge", "--report", "none/r.json") == 2
    assert capsys.readouterr().err == f"teleop: --report {home}/none/r.json: the folder {home}/none does not exist\n"


def test_files_that_are_read_are_found_there_too(home: Path):
    (home / "run.toml").write_text("port = 5\n")
    assert resolve({}, Path("~/run.toml"), {}).port == 5
    (home / "ca.pem").write_text("-----BEGIN\n")
    assert broker("x", user="", password_file="", tls=True, ca_file="~/ca.pem").ca_file == f"{home}/ca.pem"
