"""The retargeting benchmark: what it plays, what it demands, and what a run leaves behind."""

from __future__ import annotations

import importlib
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion

pytestmark = pytest.mark.checkout
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("retarget")


def test_fast_clips_are_played_at_about_60_hz(bench: Any) -> None:
    clip = load_motion("walk")
    played = bench.played(clip, Namespace(native=False, frames=0))
    assert played.fps == 60.0
    assert np.array_equal(played.pos_w, clip.pos_w[::2])
    assert bench.played(clip, Namespace(native=True, frames=0)).fps == 120.0
    short = bench.played(clip, Namespace(native=False, frames=50))
    assert short.frames == 50
    assert np.array_equal(short.quat_w[-1], clip.quat_w[98])


def test_noise_has_the_size_it_is_asked_for(bench: Any) -> None:
    clip = load_motion("stand")
    noisy = bench.noisy(clip, 3.0, 0.5, seed=1)
    assert np.std(noisy.pos_w - clip.pos_w) == pytest.approx(0.003, rel=0.02)
    dot = np.abs(np.sum(noisy.quat_w * clip.quat_w, axis=-1))
    turned = np.degrees(2.0 * np.arccos(np.clip(dot, 0.0, 1.0)))
    assert np.sqrt(np.mean(turned**2)) == pytest.approx(0.5 * np.sqrt(3.0), rel=0.02)  # 0.5 about each axis
    assert np.linalg.norm(noisy.quat_w, axis=-1) == pytest.approx(1.0)
    assert np.array_equal(bench.noisy(clip, 3.0, 0.5, seed=1).pos_w, noisy.pos_w)


@pytest.mark.parametrize(
    ("title", "ours", "base", "clip", "noisy", "held"),
    [
        ("slide cm/s", 1.0, 5.0, "walk", False, True),
        ("slide cm/s", 1.01, 5.0, "walk", False, False),
        ("slide cm/s", 1.5, 5.0, "dance", False, True),
        ("slide cm/s", 1.6, 5.0, "dance", False, False),
        ("slide cm/s", 2.0, 5.0, "dance", True, True),
        ("slide cm/s", 9.0, 5.0, "fallAndGetUp", False, True),
        ("upright", 1.1, 5.0, "fallAndGetUp", False, False),
        ("sink cm", 0.51, 5.0, "walk", False, False),
        ("sink cm", 2.0, 5.0, "fallAndGetUp", False, True),
        ("sole cm", -0.51, 3.0, "walk", False, False),
        ("x", 7.9, 1.0, "walk", False, False),
        ("> limit", 1.0, 40.0, "walk", False, False),
        ("jerk rad/s3", 599.0, 100.0, "walk", False, True),
        ("jerk rad/s3", 900.0, 899.0, "walk", False, False),
        ("foot cm", 1.5, 0.5, "walk", False, True),
        ("foot cm", 2.2, 2.0, "walk", False, True),
        ("foot cm", 2.3, 2.0, "walk", False, False),
        ("pelvis deg", 4.1, 4.0, "walk", False, False),
        ("all deg", 8.0, 4.0, "walk", False, True),
        ("all deg", 8.1, 4.0, "walk", False, False),
        ("cold %", 1.7, 30.0, "walk", False, False),
        ("foot cm", 9.0, float("nan"), "walk", False, True),  # without a baseline there is nothing to compare with
        ("x", float("nan"), float("nan"), "walk", False, True),
        ("hand in body %", float("nan"), 30.0, "walk", False, True),
    ],
)
def test_demands_are_those_of_the_issue(
    bench: Any, title: str, ours: float, base: float, clip: str, noisy: bool, held: bool
) -> None:
    column = next(c for c in (*bench.SPEED_AND_FEET, *bench.JOINTS_AND_ERRORS) if c.title == title)
    assert bool(column.must(bench.Case(ours, base, Namespace(name=clip), noisy))) is held


def test_a_run_prints_both_tables_and_writes_json(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    arguments = ["retarget.py", "--quick", "--frames", "40", "--json", str(out), "wave", str(tmp_path / "none.bvh")]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(bench, "QUICK_COLD_STARTS", 2)
    assert bench.main() == 0
    printed = capsys.readouterr().out
    assert "time, feet, collisions: ours / baseline" in printed
    assert "joints, errors: ours / baseline" in printed
    assert "skipped: no built-in motion and no file" in printed
    document = json.loads(out.read_text())
    assert "NaN" not in out.read_text()
    (line,) = document["clips"]
    assert (line["clip"], line["frames"], line["fps"], line["noise_mm"]) == ("wave", 40, 60.0, 0.0)
    for column in (*bench.SPEED_AND_FEET, *bench.JOINTS_AND_ERRORS):
        assert column.key in line["ours"], column.key
        assert column.key in line["baseline"], column.key
    assert line["ours"]["times_faster"] == pytest.approx(
        line["baseline"]["cpu_ms_median"] / line["ours"]["cpu_ms_median"]
    )
    assert line["baseline"]["solves_median"] >= 2.0
    assert document["static_noise"]["joint_speed_rms_rad_s"] > 0.0
