"""`teleop policy fetch|train|eval|export`: what they pass on, what they ask, what they refuse."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from teleopd.launch import cli
from teleopd.launch.commands import policy_fetch, policy_train
from teleopd.service.policy.weights import Published, WeightFile


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["policy", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


# -- fetch ------------------------------------------------------------------------------------------------------


CONTENT = b"weights"
ENTRY = Published(
    title="A tracker", licence="MIT", terms="keep the notice", page="https://a.example", card="twist2",
    robot="unitree_g1",
    files=(WeightFile(
        file="w.onnx", url="https://a.example/w.onnx", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT)
    ),),
)  # fmt: skip


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders into which something was downloaded; the network is left out."""
    folders: list[Path] = []

    def fetch(file: WeightFile, folder: Path, on_bytes: object) -> Path:
        folders.append(folder)
        return folder / file.file

    monkeypatch.setattr(policy_fetch, "fetch", fetch)
    monkeypatch.setattr(policy_fetch, "published", lambda _name: ENTRY)
    return folders


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nobody_agrees(
    capsys: pytest.CaptureFixture[str], fetched: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, out, err = teleop(capsys, "fetch", "a")
    assert (code, out, fetched) == (2, "", [])
    assert err == (
        "A tracker; https://a.example\nlicence: MIT: keep the notice\n"
        "teleop: nobody is there to agree to the licence: give --yes if you do\n"
    )


@pytest.mark.parametrize(
    ("answer", "agrees"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_person_is_asked(
    capsys: pytest.CaptureFixture[str], fetched: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    answer: str, agrees: bool,
):  # fmt: skip
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, out, err = teleop(capsys, "fetch", "a", "--to", str(tmp_path))
    assert "download it under these terms? [y/N]" in err
    assert fetched == ([tmp_path] if agrees else [])
    assert code == (0 if agrees else 2)
    assert ("nothing was downloaded" in err) is not agrees
    if agrees:
        assert out == (
            f"{tmp_path / 'w.onnx'}: sha256 {ENTRY.files[0].sha256}, as pinned\ntry it: teleop policy check twist2\n"
        )


def test_a_script_agrees_with_yes_and_reads_json(
    capsys: pytest.CaptureFixture[str], fetched: list[Path], tmp_path: Path
):
    code, out, _ = teleop(capsys, "fetch", "a", "--yes", "--to", str(tmp_path), "--json")
    assert (code, fetched) == (0, [tmp_path])
    assert json.loads(out) == {
        "policy": "a", "file": str(tmp_path / "w.onnx"), "sha256": ENTRY.files[0].sha256, "licence": "MIT"
    }  # fmt: skip


def test_what_is_not_pinned_says_what_to_put_where(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out, err = teleop(capsys, "fetch", "sonic", "--yes", "--to", str(tmp_path))
    assert (code, out) == (2, "")
    assert "no sha256 of it is known here to pin: get 'model_encoder.onnx' and 'model_decoder.onnx' from http" in err
    assert f"put it into {tmp_path}" in err and "layouts/sonic_low_latency.toml" in err


def test_without_a_name_they_are_listed(capsys: pytest.CaptureFixture[str]):
    code, out, _ = teleop(capsys, "fetch")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["twist2", "gentle_humanoid", "sonic"]


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]):
    code, _, err = teleop(capsys, "fetch", "twist", "--yes")
    assert code == 2 and err.startswith("teleop: no published weights 'twist'; did you mean 'twist2'?")


# -- train, eval, export ----------------------------------------------------------------------------------------


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Argument lists that reached the training module, which is left out."""
    calls: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        calls.append(arguments)
        return 3

    monkeypatch.setattr(policy_train.importlib.util, "find_spec", lambda _name: object())
    real, trainer = policy_train.importlib.import_module, SimpleNamespace(main=main)
    monkeypatch.setattr(
        policy_train.importlib, "import_module",
        lambda name: trainer if name.startswith("teleopd.service.policy.train") else real(name),
    )  # fmt: skip
    return calls


def test_training_is_passed_on(capsys: pytest.CaptureFixture[str], passed: list[list[str]], tmp_path: Path):
    code, _, _ = teleop(
        capsys, "train", "--out", "run", "--minutes", "2.5", "--resume", "--finetune", "--robots", "8", "--data",
        str(tmp_path), "--seed", "4", "--keep-buffer",
    )  # fmt: skip
    assert code == 3, "the trainer's own status"
    assert passed == [[
        "--out", "run", "--seed", "4", "--threads", "2", "--iterations", "0", "--buffer", "3000000", "--finetune",
        "--resume", "--keep-buffer", "--minutes", "2.5", "--robots", "8", "--data", str(tmp_path),
    ]]  # fmt: skip


def test_every_flag_of_the_trainer_is_offered(monkeypatch: pytest.MonkeyPatch):
    """And each is understood by it: nothing that is passed on can be refused as unknown."""
    pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
    from teleopd.service.policy.train import cli as trainer

    every = policy_train.Train(
        Path("run"), finetune=True, widen=Path("other"), minutes=1.0, resume=True, robots=4, keep_buffer=True,
        data=Path("data"),
    )
    seen: list[list[str]] = []
    monkeypatch.setattr(policy_train, "trainer", lambda arguments: seen.append(arguments) or 0)
    every.run()
    parsed = vars(trainer._arguments(seen[0]))
    offered = {name.lstrip("-").replace("-", "_") for name in seen[0] if name.startswith("--")}
    assert set(parsed) - offered == {"evaluate", "export", "blend"}, "two verbs of their own, and a flag of one"


def test_export_and_a_folders_evaluation_are_passed_on(
    capsys: pytest.CaptureFixture[str], passed: list[list[str]], tmp_path: Path
):
    teleop(capsys, "export", str(tmp_path), "--to", "there")
    teleop(capsys, "export", str(tmp_path), "--to", "there", "--widened-from", "first")
    teleop(capsys, "eval", str(tmp_path), "--threads", "1")
    teleop(capsys, "eval", str(tmp_path), "--widened-from", "first", "--blend", "0.4")
    assert passed == [
        ["--out", str(tmp_path), "--export", "there"],
        ["--out", str(tmp_path), "--export", "there", "--widen", "first"],
        ["--out", str(tmp_path), "--evaluate", "--threads", "1"],
        ["--out", str(tmp_path), "--evaluate", "--threads", "2", "--widen", "first", "--blend", "0.4"],
    ]


@pytest.mark.parametrize("arguments", [["train", "--out", "x"], ["export", "x", "--to", "y"], ["eval", "/"]])
def test_without_torch_it_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
):
    monkeypatch.setattr(policy_train.importlib.util, "find_spec", lambda _name: None)
    assert teleop(capsys, *arguments) == (2, "", "teleop: training needs torch: pip install 'teleopd[train]'\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "--out", "x", "--minutes", "0"], "--minutes is 0; give a positive number"),
        (["train", "--out", "x", "--minutes", "nan"], "--minutes is nan; give a positive number"),
        (["train", "--out", "x", "--robots", "-3"], "--robots is -3; give a positive number"),
        (["train", "--out", "x", "--iterations", "-1"], "--iterations is -1; give 0 or more"),
        (["train", "--out", "x", "--seed", "-1"], "--seed is -1; give 0 or more"),
        (["train", "--out", "x", "--buffer", "0"], "--buffer is 0; give 1 or more"),
        (["eval", "default", "--threads", "0"], "--threads is 0; give a positive number"),
    ],
)
def test_wrong_numbers(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str):
    assert teleop(capsys, *arguments) == (2, "", f"teleop: {sentence}\n")


def test_the_command_line_loads_no_torch():
    code = "import sys; from teleopd.launch import cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_policy_that_the_suite_cannot_show(capsys: pytest.CaptureFixture[str], shared_data: Path):
    code, _, err = teleop(capsys, "eval", str(shared_data / "policies/beyondmimic/Jump_wose.onnx"))
    assert code == 2
    assert (
        "teleop: policy 'beyondmimic_jump' takes 154 values on unitree_g1; the training suite shows 600 (ours) or 1432 "
        "(TWIST2) on unitree_g1: use teleop eval\n"
    ) in err
