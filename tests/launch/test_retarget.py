"""`teleop retarget` as a user meets it: what it writes and prints, what it refuses, and its exit status."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch import cli
from teleopd.service.dataset import retarget_files


@pytest.fixture(autouse=True)
def only_the_first_half_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every clip."""

    def load(motion: str, *, unit_m: float | None = None) -> MotionClip:
        clip = load_motion(motion, unit_m=unit_m)
        return replace(clip, pos_w=clip.pos_w[:61], quat_w=clip.quat_w[:61])

    monkeypatch.setattr(retarget_files, "load_motion", load)


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["retarget", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def test_files_become_npz_and_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    status, printed, _ = teleop(capsys, "stand", "wave", "--robot", "unitree_g1", "--out", str(out), "--jobs", "1")
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == ["stand.npz", "wave.npz"]
    assert "unitree_g1: quality of each motion" in printed
    lines = [line.split() for line in printed.splitlines()]
    for clip in ("stand", "wave"):
        assert ["61", "0"] in [line[1:3] for line in lines if line[:1] == [clip]]


def test_json_is_a_line_a_clip_and_a_bad_file_is_status_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, printed, err = teleop(
        capsys, "nothing.bvh", "stand", "--out", str(tmp_path), "--jobs", "1", "--json"
    )
    assert status == 1
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["clip"] for row in rows] == ["nothing", "stand"]
    assert set(rows[0]) == {"clip", "motion", "robot", "error"}
    assert rows[1]["frames"] == 61
    assert "not retargeted: nothing.bvh: no built-in motion and no file 'nothing.bvh'" in err
    assert [path.name for path in tmp_path.iterdir()] == ["stand.npz"]


def test_a_file_that_its_own_sentence_names_is_named_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.bvh").touch()
    status, _, err = teleop(capsys, "empty.bvh", "--out", "out", "--jobs", "1")
    assert status == 1
    assert err.endswith("\nnot retargeted: empty.bvh: not a BVH file: it does not begin with HIERARCHY\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "x"], "no files: give BVH files, folders of them, or built-in motions"),
        (["wave"], "no folder to write to: give one with --out DIR"),
        (["wave", "--out", "x", "--unit", "-1"], "--unit is -1; give metres per unit, as 0.01 for centimetres, or 0"),
        (["wave", "--out", "x", "--jobs", "-1"], "--jobs is -1; give 1 to 256, or 0 for one a core"),
        (["wave", "--out", "x", "--solver", "slow"], "--solver is 'slow'; choose one of: auto, fast, compiled, mink"),
        (
            ["wave", "--out", "x", "--robot", "unitree_g2"],
            "unknown robot 'unitree_g2'; did you mean 'unitree_g1'? Valid: unitree_g1, unitree_h1, unitree_h1_2",
        ),
        (
            ["a/walk.bvh", "b/walk.bvh", "--out", "x"],
            "a/walk.bvh and b/walk.bvh would both be written to x/walk.npz: retarget them one by one",
        ),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, printed, err = teleop(capsys, *arguments)
    assert status == 2
    assert err == f"teleop: {sentence}\n"
    assert printed == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("")
    status, _, err = teleop(capsys, "wave", "--out", str(file))
    assert status == 2
    assert err == f"teleop: --out {file} is a file; give a folder\n"
