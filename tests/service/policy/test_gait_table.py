"""`gait.toml`: between its rows it is straight, and what cannot be is refused with the value."""

from __future__ import annotations

from pathlib import Path

import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.policy.gait_table import GaitTableError, Said, gait_table, read_gait_table

GOOD = """
schema = 1
[shape]
cycle_s = 0.7
cycle_side_s = 0.6
swing = 0.38
lift_m = 0.08
sway_m = 0.025
drop_m = 0.03
lean_rad_per_mps = 0.05
arm_rad_per_mps = 0.3
apart_m = 0.06
start_s = 0.5
[limits]
speed = [0.6, 0.6, 0.8]
change = [0.6, 0.6, 1.2]
[policy.mine]
measured = "by hand"
forward = [[-0.4, -0.8, 0.1], [0.2, 0.3, 0.0], [0.4, 0.4, -0.1]]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "gait.toml"
    path.write_text(text)
    return path


def test_the_g1_has_one_and_the_h1_none():
    table = gait_table(MODEL)
    assert table is not None and "default" in table.said
    assert table.limits.speed == (0.6, 0.6, 0.8)
    assert gait_table(H1) is None


def test_rows_are_joined_by_straight_lines_through_zero_and_held_at_the_ends(tmp_path: Path):
    correct = read_gait_table(written(tmp_path, GOOD)).corrector("mine")
    assert correct(0.0, 0.0, 0.0) == (0.0, 0.0)
    assert correct(0.3, 0.0, 0.0) == pytest.approx((0.35, -0.05))
    assert correct(0.1, 0.0, 0.0) == pytest.approx((0.15, 0.0))
    assert correct(-0.2, 0.0, 0.0) == pytest.approx((-0.4, 0.05))
    assert correct(0.6, 0.0, 0.0) == pytest.approx((0.4, -0.1))


def test_axes_without_rows_and_policies_without_a_table_are_told_the_truth(tmp_path: Path):
    table = read_gait_table(written(tmp_path, GOOD))
    assert table.corrector("mine")(0.2, 0.5, 0.7) == pytest.approx((0.3, 0.5))
    assert table.corrector("theirs")(0.2, 0.5, 0.7) == (0.2, 0.5)
    assert table.said["mine"] == Said("by hand", ((-0.4, -0.8, 0.1), (0.2, 0.3, 0.0), (0.4, 0.4, -0.1)))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("schema = 1", "schema = 2", "schema is 2; this version reads 1"),
        ("swing = 0.38", "swing = 0.5",
         "cycle_s 0.7, cycle_side_s 0.6, swing 0.5, start_s 0.5; give 0.3 to 3 s (both), 0.1 to below 0.5, and 0.1 to "
         "3 s"),
        ("speed = [0.6", "speed = [0.0", "limits must be above 0, they are (0.0, 0.6, 0.8) and (0.6, 0.6, 1.2)"),
        ("change = [0.6", "change = [nan", "limits must be above 0, they are (0.6, 0.6, 0.8) and (nan, 0.6, 1.2)"),
        ("lift_m = 0.08", "lift_m = inf", "lift_m is inf; give a finite number"),
        ("[-0.4, -0.8, 0.1]", "[0.3, -0.8, 0.1]",
         "policy mine, forward: speeds [0.3, 0.2, 0.4] must rise, without 0"),
        ("[-0.4, -0.8, 0.1]", "[-0.4, -1.8, 0.1]",
         "policy mine, forward: row [-0.4, -1.8, 0.1] is not within 1.5 m/s"),
        ("[-0.4, -0.8, 0.1]", "[-0.4, nan, 0.1]",
         "policy mine, forward: row [-0.4, nan, 0.1] is not within 1.5 m/s"),
        ("lift_m = 0.08", "", "Object missing required field `lift_m` - at `$.shape`"),
        ("[limits]", "[limits]\nspeeds = 1", "unknown key 'speeds' in [limits]; known: speed, change"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tmp_path: Path, old: str, new: str, sentence: str):
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(GaitTableError) as error:
        read_gait_table(path)
    assert str(error.value) == f"{path}: {sentence}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(GaitTableError, match=rf"^{tmp_path} cannot be read: Is a directory$"):
        read_gait_table(tmp_path)
    (tmp_path / "gait.toml").write_bytes(b"\xff")
    with pytest.raises(GaitTableError, match=r"gait\.toml: 'utf-8' codec can't decode byte 0xff"):
        read_gait_table(tmp_path / "gait.toml")
