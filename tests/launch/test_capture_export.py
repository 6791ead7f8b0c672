"""`teleop capture export` as a user meets it: what it prints, what it refuses, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from teleopd.launch import cli
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

T0_NS = 7_000_000_000


def record(folder: Path, name: str, robot: str = H1.name, **metadata: str) -> Path:
    """One second of a robot that stands, as the recorder writes it."""
    header = EpisodeHeader(robot, tuple(H1.joint_names), (), {"task": "stand", **metadata})
    writer = EpisodeWriter(PartFile(folder, name), header, T0_NS, 1_790_000_000_000_000_000)
    table = channels(H1.joint_names, ())
    for stream, step_ms in (("state", 2), ("target", 20), ("reference", 10)):
        t_ns = T0_NS + np.arange(0, 1000, step_ms, dtype=np.int64) * 1_000_000
        arrays = [np.zeros((len(t_ns), column.size)) for column in table[stream].columns]
        for column, array in zip(table[stream].columns, arrays, strict=True):
            if "quat" in column.name:
                array[:, 0] = 1.0
        writer.write(stream, t_ns, arrays)
    writer.flush()
    return writer.finish({}, {})


def teleop(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["capture", "export", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code or 0)), out, err


def test_a_folder_becomes_a_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    record(tmp_path, "a")
    record(tmp_path, "b")
    record(tmp_path, "c", verdict="maybe")
    status, out, err = teleop(capsys, str(tmp_path), "--to", str(tmp_path / "ds"))
    assert status == 0
    assert out.splitlines() == [
        f"2 episodes of unitree_h1, 98 frames, 2.0 s at 50 Hz: {tmp_path / 'ds'}",
        "largest skew 5.0 ms; 0 frames with the action of the frame before",
        f"left out: {tmp_path / 'c.mcap'}: it was judged maybe; export it too with --include maybe",
    ]
    assert "3/3" in err
    assert json.loads((tmp_path / "ds/meta/info.json").read_text())["total_frames"] == 98


def test_a_bad_recording_is_named_and_the_status_is_1(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    record(tmp_path, "a")
    bad = tmp_path / "z.mcap"
    bad.write_bytes(b"")
    arguments = (str(tmp_path), "--format", "npz", "--rate", "25", "--to")
    status, out, err = teleop(capsys, *arguments, str(tmp_path / "one"))
    assert status == 1 and "1 episodes of unitree_h1, 25 frames, 1.0 s at 25 Hz" in out
    assert f"not exported: {bad}: {bad} is empty" in err
    status, out, _ = teleop(capsys, *arguments, str(tmp_path / "two"), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and [set(row) & {"name", "error", "left_out"} for row in rows] == [{"name"}, {"error"}]
    assert rows[0]["frames"] == 25
    status, _, err = teleop(capsys, str(bad), "--to", str(tmp_path / "three"))
    assert status == 1 and "nothing was exported" in err and not (tmp_path / "three").exists()


def test_parts_of_the_state_are_chosen(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = record(tmp_path, "a")
    status, _, _ = teleop(
        capsys, str(path), "--to", str(tmp_path / "ds"), "--state", "joint_pos", "--joint-names", "unitree"
    )
    assert status == 0
    named = json.loads((tmp_path / "ds/meta/info.json").read_text())["features"]["observation.state"]["names"]
    assert len(named) == 19 and named[0] == "kRightHipRoll.q"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.mcap",), "no folder to write to: give one with --to DIR"),
        (("--to", "ds"), "no recordings: give files (*.mcap) or folders of them"),
        (("no", "--to", "ds"), "no does not exist; give recordings (*.mcap) or folders of them"),
        (("a.mcap", "--to", "ds", "--rate", "29.97"), "a rate of 29.97 Hz; LeRobot counts whole frames a second"),
        (("a.mcap", "--to", "ds", "--rate", "0"), "a rate of 0 Hz; give 1 to 500 Hz"),
        (("a.mcap", "--to", "ds", "--state", "feet"), "the state has no part 'feet'; its parts are joint_pos,"),
        (("a.mcap", "--to", "ds", "--include", "good"), "there is no verdict 'good'; there are keep, maybe, drop"),
        (("a.mcap", "--to", "ds", "--jobs", "-1"), "--jobs is -1; give 1 to 256, or 0 to let the program choose"),
        (("a.mcap", "--to", "ds", "--format", "zarr"), "zarr"),
        (("a.mcap", "--to", "a.mcap"), "a.mcap exists: give the name of a folder that does not, or delete it"),
        (("a.mcap", "h.mcap", "--to", "ds"), "a.mcap is of unitree_h1 and h.mcap of toy: export each robot by itself"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    sentence: str,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    record(tmp_path, "a")
    record(tmp_path, "h", robot="toy")
    status, _, err = teleop(capsys, *arguments)
    assert status == 2
    assert sentence in err and "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mcap", "h.mcap"]
