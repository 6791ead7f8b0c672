"""`teleop qualify` as a user meets it: what it runs, prints, keeps and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from teleopd.launch import cli
from teleopd.launch.commands import qualify as command
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.library import resolve
from teleopd.service.qualification import record
from teleopd.service.qualification.battery import Run
from teleopd.service.qualification.criteria import CRITERIA

STEPS = dict.fromkeys(("not_finite", "blend", "box", "rate", "torque", "gain_scale", "whitelist", "refused"), 0)


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["qualify", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def row_of(run: Run, fell: bool) -> dict[str, Any]:
    fall = run.kind == "fall" or fell
    row = {
        "kind": run.kind, "clip": run.clip, "perturbation": run.disturbance.name, "seed": run.seed, "engaged": True,
        "upright": not fall, "fell_at_s": 3.25 if fall else None, "modes": [[0.0, "ACTIVE", ""]],
        "gate": {"ticks": 1000, "changed": 250, "largest_rad": 0.5, "steps": {**STEPS, "box": 200}},
        "trip": {"tilt": fall, "damped": fall, "lead_s": 0.2 if fall else None},
    }  # fmt: skip
    loss = {"hold_ms": 62.0, "return_ms": 84.0, "drift_m": 0.2, "stood": not fall}
    return row | ({"loss": loss} if run.kind in ("dropout", "twin") else {})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Sequence[Run], int]]:
    """Runs and jobs that would have been; with seed 13 the robot falls when it is pushed hard."""
    calls: list[tuple[Sequence[Run], int]] = []

    def run_all(
        runs: Sequence[Run], jobs: int, on_row: Callable[[Run, dict[str, Any]], None], attempt: object
    ) -> list[dict[str, Any]]:
        assert attempt is command.attempt
        calls.append((runs, jobs))
        rows = [row_of(run, run.seed == 13 and run.kind == "hard push") for run in runs]
        for run, row in zip(runs, rows, strict=True):
            on_row(run, row)
        return rows

    monkeypatch.setattr(command, "run_all", run_all)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return calls


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "data" / "teleopd" / "qualification").glob("*"))


def test_a_policy_that_passes_is_recorded_under_its_key(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], tmp_path: Path
):
    status, out, err = teleop(capsys, "--jobs", "2")
    assert status == 0
    assert told[0][1] == 2 and len(told[0][0]) > 100
    (file,) = kept(tmp_path)
    made = record.load(file)
    default = resolve(None, MODEL)
    assert default is not None
    assert made.identity == record.identity(default, MODEL)
    assert made.passed and made.profile == "full" and file.name == record.file_name(made.identity, made.profile)
    assert f"wrote {file}" in err
    assert f"{len(CRITERIA)} of {len(CRITERIA)} lines passed: qualified" in out
    assert "box 20.0 %" in out and "largest change 0.50 rad" in out


def test_a_line_that_fails_is_shown_with_the_runs_and_ends_with_status_1(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], tmp_path: Path
):
    status, out, _ = teleop(capsys, "--quick", "--seed", "13", "--out", str(tmp_path / "mine.json"))
    assert status == 1
    assert "FAIL" in out and "NOT qualified" in out
    assert "hard push, walk, push 0.9 m/s@0, seed 13: fell 3.25 s after engaging" in out
    made = record.load(tmp_path / "mine.json")
    assert [line.name for line in made.failures()] == ["hard_push_upright"]
    assert (made.profile, made.seed) == ("quick", 13)
    assert kept(tmp_path) == [], "--out is the only place"


def test_json_is_one_line_a_run_one_a_line_of_the_table_and_the_verdict(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], tmp_path: Path
):
    status, out, _ = teleop(capsys, "--quick", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and len(lines) == len(told[0][0]) + len(CRITERIA) + 1
    assert [line["name"] for line in lines[len(told[0][0]) : -1]] == [one.name for one in CRITERIA]
    assert lines[-1]["passed"] is True and lines[-1]["record"] == str(kept(tmp_path)[0])


def test_a_run_that_was_stopped_goes_on_where_it_was(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    whole = command.run_all

    def stopped(runs: Sequence[Run], jobs: int, on_row: Callable[[Run, Any], None], attempt: object) -> None:
        for run in runs[:5]:
            on_row(run, row_of(run, False))
        raise KeyboardInterrupt

    out = tmp_path / "mine.json"
    monkeypatch.setattr(command, "run_all", stopped)
    status, _, err = teleop(capsys, "--quick", "--out", str(out))
    assert status == 130 and f"stopped; {out}.part keeps the runs that are over" in err and not out.exists()
    monkeypatch.setattr(command, "run_all", whole)
    status, _, err = teleop(capsys, "--quick", "--out", str(out))
    assert status == 2 and "go on with --resume, or delete it" in err
    status, _, err = teleop(capsys, "--quick", "--seed", "0", "--out", str(out), "--resume")
    assert status == 0
    made = record.load(out)
    assert len(made.runs) == len(told[0][0]) + 5 and made.passed
    assert not Path(f"{out}.part").exists()


def test_more_clips_are_nominal_runs(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], shared_data: Path
):
    walk = str(shared_data / "bvh" / "bandai1_walk_normal_001.bvh")
    teleop(capsys, "--quick", "--clips", walk)
    assert [run.clip for run in told[0][0] if run.kind == "nominal"][-1] == walk


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--policy", "defualt"], "unknown policy 'defualt' for robot 'unitree_g1'; did you mean 'default'?"),
        (["--policy", "no/where.onnx"], "policy file no/where.onnx does not exist"),
        (["--robot", "unitree_g2"], "unknown robot 'unitree_g2'"),
        (["--jobs", "-1"], "--jobs is -1; give 1 to 256, or 0 for one a core"),
        (["--seed", "-1"], "--seed is -1; give 0 to 1000000"),
        (["--clips", "nowhere.bvh"], "--clips: "),
        (["--out", "/none/a.json"], "--out /none/a.json: the folder /none does not exist"),
        (["--out", "/"], "--out / is a folder; give a file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(
    capsys: pytest.CaptureFixture[str], told: list[tuple[Sequence[Run], int]], arguments: list[str], sentence: str
):
    status, out, err = teleop(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"teleop: {sentence}") and err.count("\n") == 1
    assert told == []
