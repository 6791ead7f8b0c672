"""`teleop eval` as a user meets it: which trials it runs, what it prints and writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from teleopd.launch import cli
from teleopd.launch.commands import eval as command
from teleopd.service.evaluation.run import failed, run_all
from teleopd.service.evaluation.trial import Trial


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def row_of(trial: Trial, mm: float) -> dict[str, Any]:
    """What a trial that stayed up looks like; it fell with a disturbance."""
    hard = trial.disturbance.name != "none"
    return {
        "policy": trial.label, "clip": Path(trial.clip).stem, "perturbation": trial.disturbance.name,
        "seed": trial.seed, "engaged": True, "upright": not hard, "fell_at_s": 3.25 if hard else None,
        "duration_s": 9.0, "active_s": 9.0, "modes": [[0.0, "ACTIVE", ""]],
        "frames": {"rejected": 0, "left_out": 0},
        "tracking": {
            "e_vel_m_s": 0.25, "e_mpkpe_mm": mm, "e_mpjpe_rad": 0.05, "joint_rmse_rad": 0.08, "root_drift_m": 0.5,
            "yaw_drift_deg": 1.5, "lag_ms": None, "wrist_error_mm": 7.0,
            "key_body_error_mm": {"median": mm, "p95": 2 * mm},
        },
        "foot_slip_m_s": 0.1, "torque_share": {"rms": 0.12, "max": 0.9}, "energy_j": 1234.0, "real_time_factor": 1.0,
    }  # fmt: skip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[Trial], int]]:
    """Trials and jobs that would have been run; the clip 'wave' dies on the way."""
    calls: list[tuple[Sequence[Trial], int]] = []

    def run_all(
        trials: Sequence[Trial], jobs: int, on_row: Callable[[Trial, dict[str, Any]], None]
    ) -> list[dict[str, Any]]:
        calls.append((trials, jobs))
        rows = [failed(t, "out of memory?") if t.clip == "wave" else row_of(t, 10.0 + i) for i, t in enumerate(trials)]
        for trial, row in zip(trials, rows, strict=True):
            on_row(trial, row)
        return rows

    monkeypatch.setattr(command, "run_all", run_all)
    return calls


def test_every_combination_is_run(capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Trial], int]]):
    arguments = ("--policy", "default", "--clips", "stand", "walk", "--perturbation", "none", "push=200@90",
                 "--seeds", "2", "--jobs", "3", "--seconds", "7")  # fmt: skip
    code, out, _ = teleop(capsys, *arguments)
    ((trials, jobs),) = told
    assert (code, jobs) == (0, 3)
    assert [(t.label, t.clip, t.disturbance.name, t.seed, t.seconds) for t in trials] == [
        ("default", clip, name, seed, 7.0)
        for clip in ("stand", "walk") for name in ("none", "push=200@90") for seed in (0, 1)
    ]  # fmt: skip
    assert "fell at 3.2 s" in out and "upright" in out
    summary = [line.split() for line in out.splitlines() if line.startswith(" default")]
    assert [words[:3] for words in summary] == [["default", "none", "4/4"], ["default", "push=200@90", "0/4"]]


def test_policies_have_labels(capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Trial], int]]):
    shipped = str(command.resolve("default", command.registry.load("robot", "unitree_g1")).onnx_path)
    code, _, _ = teleop(capsys, "--policy", f"mine={shipped}", "--policy", shipped, "--policy", "default=default",
                        "--clips", "stand")  # fmt: skip
    assert code == 2, "the file is called default too"
    code, _, _ = teleop(capsys, "--policy", f"mine={shipped}", "--policy", shipped, "--clips", "stand")
    assert code == 0
    assert [trial.label for trial in told[0][0]] == ["mine", "default"]


def test_json_is_a_line_a_run_and_a_line_a_summary(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Trial], int]], tmp_path: Path
):
    out = tmp_path / "e.json"
    code, text, err = teleop(capsys, "--clips", "stand", "wave", "./nowhere.bvh", "--json", "--out", str(out))
    assert code == 1, "two clips could not be run"
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["policy"], line.get("clip")) for line in lines] == [
        ("default", "stand"), ("default", "wave"), ("default", None)
    ]  # fmt: skip
    assert lines[1]["error"] == "out of memory?"
    assert lines[2]["survived"] == 1 and lines[2]["runs"] == 1
    refused = [line for line in err.splitlines() if line.startswith("not run: ")]
    assert refused[0].startswith("not run: nowhere: no built-in motion and no file './nowhere.bvh'")
    assert refused[1] == "not run: wave: out of memory?"
    document = json.loads(out.read_text())
    assert document["schema"] == 2 and document["runs"] == lines[:2] and document["summary"] == lines[2:]
    assert [entry["clip"] for entry in document["not_run"]] == ["nowhere", "wave"]
    assert document["policies"][0]["sha256"] == told[0][0][0].policy.card.model.sha256


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ctrl-C while the third run is under way, once; what was run."""
    ran: list[str] = []

    def attempted(trial: Trial) -> dict[str, Any]:
        if len(ran) == 2:
            ran.append("stop")
            raise KeyboardInterrupt
        ran.append(f"{trial.clip} {trial.seed}")
        return failed(trial, "no memory") if trial.clip == "wave" else row_of(trial, 10.0)

    monkeypatch.setattr(command, "run_all", partial(run_all, attempt=attempted))
    return ran


def test_what_was_run_before_a_stop_is_kept_and_not_run_again(
    capsys: pytest.CaptureFixture[str], stopped: list[str], tmp_path: Path
):
    out, part = tmp_path / "e.json", tmp_path / "e.json.part"
    arguments = ("--clips", "stand", "wave", "walk", "--jobs", "1", "--out", str(out))
    code, text, err = teleop(capsys, *arguments)
    assert (code, text, stopped) == (130, "", ["stand 0", "wave 0", "stop"])
    assert f"stopped; {part} keeps the runs that are over: go on with --resume" in err.replace("\n", " ")
    assert not out.exists()
    kept = [json.loads(line) for line in part.read_text().splitlines()]
    assert [line.get("key") for line in kept] == [
        None, ["default", "stand", "none", 0], ["default", "wave", "none", 0]
    ]  # fmt: skip

    again = teleop(capsys, *arguments)
    assert again == (
        2, "", f"teleop: {part} is there from a run that was stopped: go on with --resume, or delete it\n"
    )  # fmt: skip
    other = teleop(capsys, *arguments, "--resume", "--seconds", "7")
    assert other[0] == 2 and other[2].startswith(f"teleop: {part} is of a run of another robot, other policies or")

    with part.open("a") as file:
        file.write('{"key": ["default", "walk", "no')  # it was killed while it wrote
    code, _, _ = teleop(capsys, *arguments, "--resume")
    assert (code, stopped[3:]) == (1, ["wave 0", "walk 0"]), "what failed is tried again, what went well is not"
    document = json.loads(out.read_text())
    assert [row["clip"] for row in document["runs"]] == ["stand", "wave", "walk"]
    assert document["summary"][0]["runs"] == 2
    assert not part.exists() and list(tmp_path.iterdir()) == [out]


def test_a_part_that_is_something_else_is_left_alone(
    capsys: pytest.CaptureFixture[str], stopped: list[str], tmp_path: Path
):
    (tmp_path / "e.json.part").write_bytes(b"\xff\n")
    code, _, err = teleop(capsys, "--clips", "stand", "--out", str(tmp_path / "e.json"), "--resume")
    assert code == 2 and "is of a run of another robot" in err
    assert (tmp_path / "e.json.part").read_bytes() == b"\xff\n" and not stopped


def test_clips_that_all_cannot_be_played_are_named_and_nothing_runs(capsys: pytest.CaptureFixture[str]):
    code, out, err = teleop(capsys, "--clips", "./nowhere.bvh", "--jobs", "2")
    assert (code, out) == (1, "")
    assert "not run: nowhere: no built-in motion and no file './nowhere.bvh'" in err


WRONG = {
    "no clips": ([], "no clips: give folders, motion files or built-in motions with --clips"),
    "seeds": (["--clips", "walk", "--seeds", "0"], "--seeds is 0; give 1 to 1000"),
    "seconds": (["--clips", "walk", "--seconds", "nan"], "--seconds is nan; give a positive number"),
    "jobs": (["--clips", "walk", "--jobs", "-1"], "--jobs is -1; give 1 to 256, or 0 for one a core"),
    "disturbance": (
        ["--clips", "walk", "--perturbation", "gains=9"],
        "--perturbation gains=9 has '9'; it must be a number from 0.1 to 5",
    ),
    "twice": (
        ["--clips", "walk", "--policy", "default", "--policy", "default"],
        "two policies are called 'default': tell them apart with --policy LABEL=FILE",
    ),
    "file": (["--clips", "walk", "--policy", "a=/none.onnx"], "policy file /none.onnx does not exist"),
    "resume": (["--clips", "walk", "--resume"], "--resume needs the --out of the evaluation that was stopped"),
    "out": (["--clips", "walk", "--out", "/"], "--out / is a folder; give a file"),
    "folder": (["--clips", "walk", "--out", "/none/e.json"], "--out /none/e.json: the folder /none does not exist"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_one_sentence(capsys: pytest.CaptureFixture[str], what: str):
    arguments, sentence = WRONG[what]
    assert teleop(capsys, *arguments) == (2, "", f"teleop: {sentence}\n")


def test_outcomes_in_words():
    base = {"engaged": True, "upright": True, "fell_at_s": None, "modes": [[0.0, "ACTIVE", ""]]}
    assert command.outcome(base) == "upright"
    assert command.outcome(base | {"engaged": False}) == "not engaged"
    assert command.outcome(base | {"upright": False, "fell_at_s": 1.26}) == "fell at 1.3 s"
    lost = [[0.0, "ACTIVE", ""], [0.5, "HOLD", "SOURCE_STALE"], [0.9, "RETURN", "SOURCE_LOST"], [2.0, "ARMED", ""]]
    assert command.outcome(base | {"modes": lost}) == "upright, RETURN"
