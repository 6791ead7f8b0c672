"""The training command: what it refuses, and that it leaves a folder from which it can go on and export."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train import cli, harder


@pytest.fixture
def folder(tmp_path, swaying):
    """A run's folder that already holds its clips, so that nothing is retargeted."""
    np.savez_compressed(tmp_path / cli.CLIPS, swaying=swaying.channels)
    return tmp_path


def train(folder, shared_data, *more):
    return cli.main(["--out", str(folder), "--data", str(shared_data), "--robots", "4", "--threads", "1",
                     "--buffer", "1000", *more])  # fmt: skip


def test_no_teacher_is_a_sentence(tmp_path, capsys):
    assert cli.main(["--out", str(tmp_path / "run"), "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"the teacher {tmp_path}/policies/twist2/twist2_1017_20k.onnx is absent; "
        "give the folder of public data with --data\n"
    )


@pytest.mark.parametrize("act", [["--resume"], ["--evaluate"], ["--export", "somewhere"], ["--finetune"]])
def test_nothing_to_go_on_from_is_a_sentence(tmp_path, capsys, act):
    assert cli.main(["--out", str(tmp_path), *act]) == 2
    assert "holds no checkpoint.pt" in capsys.readouterr().err


def test_a_run_is_logged_resumed_and_exported(folder, shared_data, capsys):
    """One iteration, then the checkpoint's own settings: the run is over at once and can be exported."""
    assert train(folder, shared_data, "--iterations", "1") == 0
    assert train(folder, shared_data, "--resume", "--iterations", "50") == 0
    lines = [json.loads(line) for line in (folder / cli.PROGRESS).read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1]
    assert lines[0]["samples"] == 4 * 24 and lines[0]["loss"] is None and lines[0]["share_done"] == 1.0
    assert cli.main(["--out", str(folder), "--export", str(folder / "policy")]) == 0
    assert "Not evaluated yet" in (folder / "policy" / "default.md").read_text()
    assert f"{folder}/policy/default.onnx: " in capsys.readouterr().out


def test_an_old_evaluation_is_not_exported(folder, shared_data, capsys):
    assert train(folder, shared_data, "--iterations", "1") == 0
    (folder / cli.EVALUATION).write_text('{"student": {}, "teacher": {}, "training": {}}')
    assert cli.main(["--out", str(folder), "--export", str(folder / "policy")]) == 2
    assert "is of an older version; run the training module with `--evaluate` again" in capsys.readouterr().err


def test_a_folder_is_widened_from_another(folder, shared_data, tmp_path, monkeypatch):
    """It begins with the other's network and normalisation, and says so in its settings."""
    assert train(folder, shared_data, "--iterations", "1") == 0
    monkeypatch.setattr(harder, "mode_track", lambda rng: harder.walk_track(rng, 120))
    other = tmp_path / "wide"
    other.mkdir()
    (other / cli.CLIPS).write_bytes((folder / cli.CLIPS).read_bytes())
    assert train(other, shared_data, "--iterations", "1", "--widen", str(folder)) == 0
    wide, narrow = cli.read_checkpoint(other), cli.read_checkpoint(folder)
    assert wide["settings"]["widened"] and not narrow["settings"]["widened"]
    assert wide["normalised"] and wide["settings"]["learning_rate"] == 4e-4
    for name, value in narrow["average"].items():
        np.testing.assert_array_equal(wide["average"][name].numpy(), value.numpy())
