"""The command line as a user meets it: help, and one sentence for every wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.launch import cli, registry
from teleopd.launch.cli import flags_given
from teleopd.launch.commands.preview import Preview
from teleopd.launch.commands.serve import Serve, serve
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError, sentence_of
from teleopd.robots.unitree_g1.model import MODEL

COMMANDS = ("serve", "demo", "preview", "emulate", "ctl", "policy", "eval", "failsafe")
TAKE = """HIERARCHY
ROOT Hips
{{
OFFSET 0 0 0
CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT Tentacle
{{
OFFSET 0 10 0
CHANNELS 3 Zrotation Xrotation Yrotation
End Site
{{
OFFSET 0 1 0
}}
}}
}}
MOTION
Frames: {frames}
Frame Time: 0.01
{motion}
"""


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str):
    code, out, err = teleop(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert f"teleop {command}" in out
    assert "--" in out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    code, out, _ = teleop(capsys, "--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_version():
    done = subprocess.run(
        [sys.executable, "-m", "teleopd.launch.cli", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("teleop ")


def valid(kind: str) -> str:
    return ", ".join(registry.names(kind))


WRONG: dict[str, tuple[list[str], str]] = {
    "robot": (["serve", "--robot", "qqqqqq"], f"unknown robot 'qqqqqq'; valid: {valid('robot')}"),
    "robot of preview": (["preview", "--robot", "qqqqqq"], f"unknown robot 'qqqqqq'; valid: {valid('robot')}"),
    "robot of ctl": (["ctl", "status", "--robot", "qqqqqq"], f"unknown robot 'qqqqqq'; valid: {valid('robot')}"),
    "robot of policy": (["policy", "list", "--robot", "qqqqqq"], f"unknown robot 'qqqqqq'; valid: {valid('robot')}"),
    "source": (["serve", "--source", "qqqqqq"], f"unknown source 'qqqqqq'; valid: {valid('source')}"),
    "link": (["serve", "--link", "qqqqqq"], f"unknown link 'qqqqqq'; valid: {valid('link')}"),
    "device": (["emulate", "qqqqqq"], f"unknown emulator 'qqqqqq'; valid: {valid('emulator')}"),
    "engaging a real robot": (
        ["serve", "--link", "dds", "--auto-engage"],
        "auto_engage is refused on link 'dds': only a virtual robot may engage by itself",
    ),
    "port": (["serve", "--port", "70000"], "port 70000 is not between 0 and 65535"),
    "no motion": (
        ["serve", "--source", "motion_file"],
        "source motion_file plays a motion; give one with --motion FILE or a built-in name",
    ),
    "no service": (
        ["ctl", "ready"], "no service runs for unitree_g1; start one with: teleop serve --robot unitree_g1 ..."
    ),
    "share of loss": (["emulate", "xsens", "--loss", "1.5"], "--loss is 1.5; give a share between 0 and 1"),
    "negative lead": (
        ["emulate", "xsens", "--lead-in", "-1"], "--lead-in, --lead-out and --jitter cannot be negative"
    ),
    "no time": (["emulate", "xsens", "--seconds", "0"], "--seconds is 0.0; give a positive number"),
    "endless time": (["emulate", "xsens", "--seconds", "nan"], "--seconds is nan; give a positive number"),
    "endless engaging": (["ctl", "engage", "--seconds", "nan"], "--seconds is nan; give 0 or more"),
    "rate": (["emulate", "xsens", "--rate", "0"], "rate is 0.0 Hz; give 1 to 1000"),
    "port of a device": (["emulate", "xsens", "--port", "0"], "port 0 is not between 1 and 65535"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_one_sentence_and_exit_status_2(capsys: pytest.CaptureFixture[str], what: str):
    arguments, sentence = WRONG[what]
    assert teleop(capsys, *arguments) == (2, "", f"teleop: {sentence}\n")


def test_a_loop_of_a_day_is_laid_out_in_memory_for_three_minutes_only(monkeypatch: pytest.MonkeyPatch):
    """A day of a suit at 60 Hz would be 6 GB."""
    frames = []

    class Sent(Exception):
        pass

    def made(clip: MotionClip, _options: object) -> None:
        frames.append(clip.frames)
        raise Sent

    monkeypatch.setattr(XsensEmulator, "__init__", lambda self, clip, options: made(clip, options))
    for seconds in ("86400", "30"):
        with pytest.raises(Sent):
            cli.main(["emulate", "xsens", "--motion", "wave", "--loop", "--seconds", seconds])
    fps = load_motion("wave").fps
    assert frames == [180 * fps, 30 * fps]


PARTLY: dict[str, tuple[list[str], str]] = {
    "policy": (["serve", "--policy", "qqqqqq"], "unknown policy 'qqqqqq' for robot 'unitree_g1'"),
    "policy shown": (["policy", "show", "qqqqqq"], "unknown policy 'qqqqqq' for robot 'unitree_g1'"),
    "motion": (["emulate", "xsens", "--motion", "wlak"], "no built-in motion and no file 'wlak' (did you mean walk?)"),
    "motion of demo": (["demo", "--motion", "wlak"], "no built-in motion and no file 'wlak' (did you mean walk?)"),
    "perturbation": (["serve", "--perturbation", "qqqqqq"], "unknown perturbation 'qqqqqq'"),
    "missing policy file": (["serve", "--policy", "/none.onnx"], "policy file /none.onnx does not exist"),
}


@pytest.mark.parametrize("what", PARTLY)
def test_wrong_names_list_what_there_is(
    capsys: pytest.CaptureFixture[str], what: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TELEOPD_POLICY_PATH", str(shared_data / "policies"))
    arguments, beginning = PARTLY[what]
    code, out, err = teleop(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"teleop: {beginning}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("joints", "skeletons read: Xsens, CMU"), ("frames", "it says 'Frames: 0'; at least one frame is needed"),
        ("empty", "does not begin with HIERARCHY"),
    ],
)
def test_a_bvh_that_is_no_persons_motion_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, word: str
):
    frames = 0 if content == "frames" else 3
    path = tmp_path / "take.bvh"
    text = TAKE.format(frames=frames, motion="\n".join(["0 0 0 0 0 0 0 0 0"] * frames))
    path.write_text("" if content == "empty" else text)
    code, out, err = teleop(capsys, "emulate", "xsens", "--motion", str(path), "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("teleop: take")
    assert word in err
    assert err.count("\n") == 1


def test_a_bvh_in_wrong_units_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, shared_data: Path):
    """A take whose skeleton was exported in metres while its family is in centimetres."""
    text = (shared_data / "bvh" / "xsens_hh_stand.bvh").read_text()
    lines = text.splitlines()
    small = tmp_path / "small.bvh"
    small.write_text("\n".join(
        " ".join([line.split("OFFSET")[0] + "OFFSET", *(str(float(v) / 100) for v in line.split()[1:])])
        if line.strip().startswith("OFFSET") else line
        for line in lines[: lines.index(next(row for row in lines if row.startswith("Frame Time"))) + 4]
    ).replace(next(row for row in lines if row.startswith("Frames:")), "Frames: 3"))  # fmt: skip
    code, out, err = teleop(capsys, "emulate", "xsens", "--motion", str(small), "--quiet")
    assert (code, out) == (2, "")
    assert "m tall" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["truncated", "other hash", "no ONNX"])
def test_a_policy_that_cannot_be_used_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, shared_data: Path, kind: str
):
    whole = (shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx").read_bytes()
    path = tmp_path / "mine.onnx"
    path.write_bytes({"truncated": whole[:-1000], "other hash": whole + b"\0", "no ONNX": b"hello"}[kind])
    if kind == "other hash":
        (tmp_path / "mine.toml").write_text((MODEL.mjcf.parent / "policies" / "twist2.toml").read_text())
    code, out, err = teleop(capsys, "serve", "--policy", str(path))
    assert (code, out) == (2, "")
    assert err.startswith("teleop: ")
    assert str(path) in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["report", "snapshot", "video"])
def test_a_target_that_could_not_be_written_is_refused_before_the_run(tmp_path: Path, name: str):
    missing = tmp_path / "none" / "file"
    with pytest.raises(CommandError) as error:
        serve(RunConfig(**{name: str(missing)}))  # type: ignore[arg-type]
    assert str(error.value) == f"--{name} {missing}: the folder {missing.parent} does not exist"
    with pytest.raises(CommandError) as error:
        serve(RunConfig(**{name: str(tmp_path)}))  # type: ignore[arg-type]
    assert str(error.value) == f"--{name} {tmp_path} is a folder; give a file"


@pytest.mark.parametrize("flag", ["--speed", "--workspace"])
@pytest.mark.parametrize("share", ["0.09", "1.01", "nan", "-1"])
def test_a_share_for_first_tries_is_a_tenth_to_one(capsys: pytest.CaptureFixture[str], flag: str, share: str):
    code, out, err = teleop(capsys, "serve", flag, share)
    assert (code, out, err) == (2, "", f"teleop: {flag} is {share}; give a share from 0.1 to 1\n")


def test_a_slip_in_a_run_file_names_the_key_that_was_meant(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text("secnods = 5\n")
    assert teleop(capsys, "serve", "--config", str(path)) == (
        2, "", f"teleop: {path}: unknown key 'secnods'; did you mean 'seconds'?\n",
    )  # fmt: skip


def test_a_loosened_safety_limit_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text("[safety]\nmotor_rate = 90.0\n")
    code, _, err = teleop(capsys, "preview", "--config", str(path))
    assert code == 2
    assert err.startswith("teleop: safety limit 'motor_rate' = 90 rad/s loosens the built-in 60")


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (["serve", "--port", "5", "--robot=unitree_g1"], {"port", "robot"}),
        (["serve", "--no-view", "--auto-engage"], {"view", "auto_engage"}),
        (["serve", "--view_port", "5", "--no_standby"], {"view_port", "standby"}),
        (["serve"], set()),
    ],
)
def test_only_typed_flags_count_as_given(typed: list[str], names: set[str]):
    assert flags_given(typed) == names


class Served:
    """Stands in for the service: keeps the configuration it was given."""

    config: RunConfig

    def __call__(self, config: RunConfig, **_: object) -> int:
        self.config = config
        return 0


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    stand_in = Served()
    monkeypatch.setattr("teleopd.launch.commands.serve.serve", stand_in)
    monkeypatch.setattr("teleopd.launch.commands.preview.serve", stand_in)
    return stand_in


def test_typed_flags_win_over_environment_and_file_and_defaults_over_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Served
):
    path = tmp_path / "run.toml"
    path.write_text('port = 1\nview_port = 1\nseconds = 1.0\nhost = "file"\nview = false\ncharacter = 4\n')
    monkeypatch.setenv("TELEOPD_PORT", "2")
    monkeypatch.setenv("TELEOPD_VIEW_PORT", "2")
    code, *_ = teleop(capsys, "serve", "--config", str(path), "--port", "3", "--view")
    assert code == 0
    config = served.config
    assert (config.port, config.view_port, config.seconds, config.host) == (3, 2, 1.0, "file")
    assert (config.view, config.character, config.standby) == (True, 4, True)


def test_a_flag_typed_with_its_default_still_overrides(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, served: Served
):
    path = tmp_path / "run.toml"
    path.write_text('source = "motion_file"\nmotion = "wave"\nport = 5\n')
    teleop(capsys, "serve", "--config", str(path), "--source", "xsens", "--port", "0")
    assert (served.config.source, served.config.port, served.config.motion) == ("xsens", 0, "wave")


def test_first_tries_and_tightened_limits_are_added_to_those_of_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, served: Served
):
    path = tmp_path / "run.toml"
    path.write_text("[safety]\njoint_speed = 30.0\nreference_speed = 0.9\n")
    code, *_ = teleop(
        capsys, "serve", "--config", str(path), "--speed", "0.5", "--freeze-legs", "--safety", "tilt_absolute=50"
    )
    assert code == 0
    assert served.config.safety == {
        "joint_speed": 30.0, "reference_speed": 0.5, "legs_follow": 0.0, "tilt_absolute": 50.0
    }  # fmt: skip


@pytest.mark.parametrize("word", ["tilt_absolute", "tilt_absolute=steep"])
def test_a_limit_that_is_no_pair_is_one_sentence(capsys: pytest.CaptureFixture[str], served: Served, word: str):
    code, _, err = teleop(capsys, "serve", "--safety", word)
    assert (code, err.strip()) == (2, f"teleop: safety limit '{word}' is not of the form name=number")


def test_failsafe_prints_the_limits_that_may_be_tightened(capsys: pytest.CaptureFixture[str]):
    code, out, _ = teleop(capsys, "failsafe", "--limits", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and (rows["tilt_absolute"]["value"], rows["tilt_absolute"]["strictest"]) == (60.0, 45.0)
    code, out, _ = teleop(capsys, "failsafe", "--limits")
    assert code == 0 and "source_stale_ceiling" in out and "60 deg" in out, "names are whole at any width"


def test_preview_is_kinematic_whatever_the_file_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, served: Served
):
    path = tmp_path / "run.toml"
    path.write_text("kinematic = false\nseconds = 2.0\n")
    teleop(capsys, "preview", "--config", str(path), "--no-view" if "view" in Preview.__annotations__ else "--loop")
    assert served.config.kinematic is True
    assert served.config.seconds == 2.0


@pytest.mark.parametrize("command", [Serve, Preview])
def test_flags_and_their_defaults_are_those_of_the_configuration(command: type):
    defaults = RunConfig()
    own = {"config", "json", "device", "camera", "compliance", "safety"}  # pairs typed, tables in a file
    own |= {"speed", "workspace", "freeze_legs"}  # other names of safety limits
    shown = {name: field.default for name, field in command.__dataclass_fields__.items() if name not in own}
    assert shown == {name: getattr(defaults, name) for name in shown}


def test_the_programs_own_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    assert sentence_of(ZeroDivisionError("oops")) is None
    assert sentence_of(CommandError("two\n  lines")) == "two lines"
    assert sentence_of(FileNotFoundError(2, "No such file or directory", "/x")) == "/x: No such file or directory"
    assert sentence_of(PermissionError("somebody else's folder")) == "somebody else's folder"

    def broken(_self: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("teleopd.launch.commands.failsafe.Failsafe.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["failsafe"])


def test_output_into_a_closed_pipe_is_silent():
    done = subprocess.run(
        f"{sys.executable} -m teleopd.launch.cli failsafe --json | true", shell=True, capture_output=True, text=True,
        env=dict(os.environ), timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
