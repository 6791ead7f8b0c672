"""`teleop calibrate` stores an operator, and `teleop serve --operator` refuses who is not stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch.cli import main
from teleopd.launch.commands import calibrate
from teleopd.service.retarget.calibration import LEG_M
from teleopd.service.retarget.operator_file import load_operator


class Frames:
    """A source that delivers a clip's frames at once, on their own clock."""

    name, skeleton = "frames", MVN

    def __init__(self, motion: str, frames: int = 10_000) -> None:
        clip = load_motion(motion)
        clip = replace(clip, pos_w=clip.pos_w[:frames], quat_w=clip.quat_w[:frames])
        self.clip, self.opened, self.closed = clip, 0, 0

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def poses(self) -> AsyncIterator[HumanPose]:
        for k in range(self.clip.frames):
            yield self.clip.pose(k, seq=k, t_ns=10**9 + round(k * 1e9 / self.clip.fps))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the command will hear: put a `Frames` under 'it'."""
    heard: dict[str, Any] = {"it": Frames("stand")}
    monkeypatch.setattr(calibrate, "make_source", lambda *_: heard["it"])
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path))
    return heard


def teleop(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    return teleop(capsys, "calibrate", "--source", "motion_file", "--motion", "stand", "--operator", "anna", *words)


def test_a_standing_person_is_stored(source: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path):
    status, out, _ = run(capsys, "--delay", "1", "--json")
    told = json.loads(out)
    assert status == 0 and told["pose"] == "n" and told["operator"] == "anna"
    assert told["frames"] == 120  # 1 s of the clip's 120 Hz
    assert told["leg_m"] == pytest.approx(0.859, abs=1e-3) and told["arm_m"] == pytest.approx(0.581, abs=2e-3)
    kept = load_operator(tmp_path / "anna.toml")
    assert LEG_M[0] < kept.leg_m == pytest.approx(told["leg_m"], abs=1e-3)
    assert source["it"].opened == source["it"].closed == 1


def test_who_moves_is_refused_and_nothing_is_stored(
    source: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    source["it"] = Frames("walk")
    status, _, err = run(capsys, "--delay", "2")
    assert status == 2 and "teleop: the operator moved: " in err and "hold the pose and try again" in err
    assert not list(tmp_path.iterdir())


def test_the_other_pose_is_refused(source: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    status, _, err = run(capsys, "--pose", "t", "--delay", "1")
    assert status == 2 and "teleop: this is no T-pose: the left arm points 80 degrees away from straight out" in err


def test_a_motion_that_ends_too_soon_is_named(source: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    source["it"] = Frames("stand", frames=200)
    status, _, err = run(capsys)
    assert status == 2 and err.endswith("teleop: frames ended before 4 s; give a smaller --delay or --seconds\n")
    assert source["it"].closed == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seconds", "0.1"), "--seconds is 0.1; give 0.2 to 30 s"),
        (("--delay", "nan"), "--delay is nan; give 0 to 600 s"),
        (("--operator", "../anna"), "operator '../anna' cannot be a file name; use up to 64 letters, digits, dots, "
                                    "dashes and underscores"),
        (("--pose", "x"), "--pose is 'x'; choose one of: t, n, auto"),
        (("--source", "gamepad", "--motion", ""), "source gamepad has no person to calibrate; it commands velocities"),
    ],
)  # fmt: skip
def test_bad_words_are_one_sentence(
    source: dict[str, Any], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
):
    status, _, err = run(capsys, *words)
    assert (status, err) == (2, f"teleop: {sentence}\n")
    assert source["it"].opened == 0


def test_serve_refuses_an_operator_without_calibration(
    source: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    status, _, err = teleop(capsys, "preview", "--source", "motion_file", "--motion", "stand", "--operator", "bo")
    assert (status, err) == (
        2,
        f"teleop: operator 'bo' has no calibration ({tmp_path / 'bo.toml'}: No such file or directory); make one with: "
        "teleop calibrate --operator bo\n",
    )


def test_a_gmr_table_is_imported(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    told = {"ik_match_table1": {"pelvis": ["Hips", 100, 7, [0, 0, 0], [1, 0, 0, 0]]}}
    (tmp_path / "t.json").write_text(json.dumps(told))
    status, out, _ = teleop(capsys, "import-table", str(tmp_path / "t.json"), "--out", str(tmp_path / "r.toml"))
    assert status == 0 and "only ik_match_table1 is in use" in out
    assert "pelvis = [100.0, 7.0]" in (tmp_path / "r.toml").read_text()
    status, _, err = teleop(capsys, "import-table", str(tmp_path / "none.json"))
    assert (status, err) == (2, f"teleop: {tmp_path / 'none.json'} cannot be read: No such file or directory\n")
