"""A JSON in GMR's layout, written here, becomes a table: weights by stage, bodies by name, the rest listed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teleopd.launch import registry
from teleopd.robots.model import RobotModel
from teleopd.service.retarget.gmr_table import import_gmr, segment_of, table_toml
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.tables import RetargetTable, TableError, load_table, parse_table

ONE, ZERO = [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0]


def entry(human: str, position: float, rotation: float, offset: Any = ZERO, turn: Any = ONE) -> list[Any]:
    return [human, position, rotation, offset, turn]


def example() -> dict[str, Any]:
    return {
        "robot_root_name": "pelvis", "human_root_name": "Hips", "ground_height": 0.0,
        "human_height_assumption": 1.8, "use_ik_match_table1": True, "use_ik_match_table2": True,
        "human_scale_table": {"Hips": 0.9, "LeftArm": 0.75},
        "ik_match_table1": {
            "pelvis": entry("Hips", 0, 10, turn=[0.5, 0.5, 0.5, 0.5]),
            "torso_link": entry("Spine2", 0, 100),
            "left_toe_link": entry("LeftFootMod", 50, 10),
        },
        "ik_match_table2": {
            "pelvis": entry("Hips", 100, 5),
            "torso_link": entry("Spine2", 0, 11),
            "left_toe_link": entry("LeftFootMod", 60, 12, offset=[0.05, 0.0, 0.0]),
            "left_hip_yaw_link": entry("LeftUpLeg", 10, 5),
            "left_wrist_yaw_link": entry("LeftHand", 13, 6),
            "antenna": entry("Hat", 1, 1),
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def base(robot: RobotModel) -> RetargetTable:
    return load_table(table_path(robot))


def test_weights_come_by_stage_and_bodies_by_name(base: RetargetTable):
    table, notes = import_gmr(json.dumps(example()), base)
    stage = table.for_family("mvn").stage
    assert stage.acquire == {"pelvis": (0, 10), "torso_link": (0, 100), "left_ankle_roll_link": (50, 10)}
    assert stage.track == {
        "pelvis": (100, 5), "torso_link": (0, 11), "left_ankle_roll_link": (60, 12), "left_hip_yaw_link": (0, 5),
        "left_wrist_yaw_link": (13, 6),
    }  # fmt: skip
    assert table.for_family("mvn").match == base.for_family("mvn").match and table.solver == base.solver
    assert notes == (
        "'left_toe_link' becomes 'left_ankle_roll_link'",
        "'left_hip_yaw_link': its position weight 10 (stage 2) is left out, it only turns",
        "'antenna' is left out: this robot's table has no match for it",
        "rotation offsets are computed from the robot's T-pose instead",
        "position offsets are left out: left_toe_link",
        "human_scale_table is left out: scales are measured from the operator's legs and arms",
        "human_height_assumption 1.8 is left out: floor and size are measured from the operator",
    )


def test_an_unused_stage_is_served_by_the_other(base: RetargetTable):
    told = example() | {"use_ik_match_table1": False}
    table, notes = import_gmr(json.dumps(told), base)
    assert table.for_family("mvn").stage.acquire == table.for_family("mvn").stage.track
    assert notes[0] == "only ik_match_table2 is in use; it serves both stages"


def test_a_body_that_follows_another_one_is_listed(base: RetargetTable):
    told = example()
    told["ik_match_table2"]["torso_link"] = entry("Head", 0, 10)
    assert "'torso_link' follows T8 here, 'Head' in the file" in import_gmr(json.dumps(told), base).notes


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("Hips", "Pelvis"), ("pelvis", "Pelvis"), ("Spine2", "T8"), ("spine3", "T8"), ("Chest", "T8"),
        ("LeftUpLeg", "LeftUpperLeg"), ("left_hip", "LeftUpperLeg"), ("Left_Hip", "LeftUpperLeg"),
        ("Left_UpperLeg", "LeftUpperLeg"), ("RightLeg", "RightLowerLeg"), ("right_knee", "RightLowerLeg"),
        ("LeftFootMod", "LeftFoot"), ("left_foot", "LeftFoot"), ("LeftToeBase", "LeftToe"),
        ("LeftArm", "LeftUpperArm"), ("left_shoulder", "LeftUpperArm"), ("Right_UpperArm", "RightUpperArm"),
        ("LeftForeArm", "LeftForeArm"), ("left_elbow", "LeftForeArm"), ("Right_Wrist", "RightHand"),
        ("RightHand", "RightHand"), ("L5", "L5"), ("Hat", None), ("Left", None),
    ],
)  # fmt: skip
def test_human_bodies_of_every_naming_are_known(name: str, segment: str | None):
    assert segment_of(name) == segment


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"robot_root_name": "base"}, "g: robot_root_name is 'base'; the root of 'unitree_g1' is 'pelvis'"),
        ({"ik_match_tabel1": {}}, "g: unknown key 'ik_match_tabel1'; the nearest is 'ik_match_table1'"),
        ({"ik_match_table1": {}, "ik_match_table2": {}}, "g: neither ik_match_table1 nor ik_match_table2 is there"
                                                         " and in use"),
        ({"ik_match_table1": {"pelvis": [0, "Hips", 10, ZERO, ONE]}},
         "g: ik_match_table1: entry of 'pelvis' is not [human body, position weight, rotation weight, [x, y, z], "
         "[w, x, y, z]]"),
        ({"ik_match_table1": {"pelvis": entry("Hips", 0, 10, ONE, ZERO)}},
         "g: ik_match_table1: entry of 'pelvis' is not [human body, position weight, rotation weight, [x, y, z], "
         "[w, x, y, z]]"),
        ({"ik_match_table1": {"pelvis": entry("Hips", 0, 10, ZERO, [1, 1, 0, 0])}},
         "g: ik_match_table1: the rotation offset of 'pelvis' has norm 1.41; it must be 1"),
        ({"ik_match_table1": {"pelvis": entry("Hips", -1, 10)}},
         "g: ik_match_table1: weights of 'pelvis' must lie between 0 and 10000"),
        ({"ik_match_table1": {"antenna": entry("Hat", 1, 1)}},
         "g: none of its bodies has a weight on a body that 'unitree_g1' matches"),
        ({"ik_match_table1": []}, "g: ik_match_table1 is no object of robot body -> entry"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_in_one_sentence(base: RetargetTable, change: dict[str, Any], sentence: str):
    told = example() | change
    with pytest.raises(TableError) as error:
        import_gmr(json.dumps(told), base, where="g")
    assert str(error.value) == sentence


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_table_is_refused(base: RetargetTable, text: str):
    with pytest.raises(TableError, match=r"^g: (not valid JSON|a GMR table is one JSON object)"):
        import_gmr(text, base, where="g")


@pytest.mark.parametrize("name", registry.names("robot"))
def test_a_written_table_reads_back_the_same(name: str):
    table = load_table(table_path(registry.load("robot", name)))
    assert parse_table(table_toml(table)) == table
