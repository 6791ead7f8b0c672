from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from teleopd.drivers.human_pose import MVN
from teleopd.robots.model import RobotModel
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.tables import NoTable, TableError, check_names, load_table, parse_table

MINIMAL = """
schema = 1
robot = "r"
sole_below_foot_m = 0.03
[t_pose]
[skeleton.mvn]
pelvis = "Pelvis"
hips = ["LH", "RH"]
feet = ["LF", "RF"]
toes = ["LT", "RT"]
[skeleton.mvn.robot]
pelvis = "base"
hips = ["lh", "rh"]
feet = ["lf", "rf"]
[[skeleton.mvn.match]]
robot = "base"
human = "Pelvis"
position = "root"
[[skeleton.mvn.match]]
robot = "lf"
human = "LF"
position = "foot"
[[skeleton.mvn.match]]
robot = "chest"
human = "T8"
[skeleton.mvn.stage.acquire]
base = [0, 10]
[skeleton.mvn.stage.track]
base = [100, 5]
lf = [50, 10]
"""


def test_the_g1_table_names_only_bodies_that_exist(robot: RobotModel):
    table = load_table(table_path(robot))
    check_names(table, "mvn", Kinematics(robot).body_names, MVN.body_names)
    assert table.robot == robot.name
    assert table.solver.iterations == 2 and table.solver.damping == 0.5
    assert set(table.t_pose) <= set(robot.joint_names)


def test_minimal_table_has_the_documented_defaults():
    table = parse_table(MINIMAL)
    assert table.solver.joint_speed_limit_rad_s == 20.0
    assert table.for_family("mvn").scale.legs == 1.0
    assert table.for_family("mvn").stage.track["lf"] == (50.0, 10.0)
    assert table.for_family("mvn").match[2].position == "none"


def test_a_pair_without_a_table_is_refused_by_name():
    with pytest.raises(NoTable) as error:
        parse_table(MINIMAL).for_family("smpl")
    assert str(error.value) == (
        "there is no retargeting table from skeleton 'smpl' to robot 'r'; 'r' has tables for: mvn"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("schema = 1", "shema = 1"), "t: unknown key 'shema' at the top level; the nearest is 'schema'"),
        (
            ('pelvis = "Pelvis"', 'pelvs = "Pelvis"'),
            "t: unknown key 'pelvs' in [skeleton.mvn]; the nearest is 'pelvis'",
        ),
        (
            ('human = "T8"', 'human = "T8"\nanker = "x"'),
            "t: unknown key 'anker' in [skeleton.mvn.match]; the nearest is 'anchor'",
        ),
        (
            ("[t_pose]", "[solver]\niteration = 3\n[t_pose]"),
            "t: unknown key 'iteration' in [solver]; the nearest is 'iterations'",
        ),
        (
            ("[skeleton.mvn.robot]", "[skeleton.mvn.scale]\nleg = 1\n[skeleton.mvn.robot]"),
            "t: unknown key 'leg' in [skeleton.mvn.scale]; the nearest is 'legs'",
        ),
        (("schema = 1", "schema = 2"), "t: schema is 2; this version reads schema 1"),
        (("schema = 1", "schema = '1'"), "t: Expected 'int', got 'str' - at '$.schema'"),
        (
            ('position = "foot"', 'position = "feet"'),
            "t: Invalid enum value 'feet' - at '$.skeleton[...].match[1].position'",
        ),
        (("base = [100, 5]", "base = [100]"), "Expected 'array' of length 2"),
        (("base = [100, 5]", "base = [-1, 5]"), "weights of 'base' must lie between 0 and 10000"),
        (("base = [100, 5]", "base = [nan, 5]"), "weights of 'base' must lie between 0 and 10000"),
        (("base = [100, 5]", "bas = [100, 5]"), "'bas' has weights but no match; the nearest is 'base'"),
        (("base = [100, 5]\nlf = [50, 10]", "base = [0, 0]"), "stage.track: every weight is 0"),
        (("lf = [50, 10]", "chest = [5, 1]"), "'chest' has a position weight, but its match has position 'none'"),
        (
            ('position = "root"', 'position = "none"'),
            "needs exactly one match with position 'root': 'base' to 'Pelvis'",
        ),
        (('robot = "chest"', 'robot = "lf"'), "matches robot body 'lf' twice"),
        (
            ('human = "T8"', 'human = "T8"\nposition = "chain"'),
            "match 'chest': 'anchor' and 'frame' go with position 'chain', both of them",
        ),
        (
            ('human = "T8"', 'human = "T8"\nposition = "chain"\nanchor = "Head"\nframe = "T8"'),
            "match 'chest': anchor 'Head' has no position match before it",
        ),
        (
            ("[t_pose]", "[solver]\njoint_speed_limit_rad_s = 0\n[t_pose]"),
            "t: solver.joint_speed_limit_rad_s is 0; it must lie between 0.1 and 100",
        ),
        (
            ("sole_below_foot_m = 0.03", "sole_below_foot_m = nan"),
            "sole_below_foot_m is nan; it must lie between 0 and 0.5",
        ),
        (("schema = 1", "schema = "), "t: not valid TOML"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(change: tuple[str, str], sentence: str):
    assert change[0] in MINIMAL
    with pytest.raises(TableError) as error:
        parse_table(MINIMAL.replace(*change), "t")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_do_not_exist_are_refused_with_the_nearest():
    table = parse_table(MINIMAL)
    humans = ["Pelvis", "LH", "RH", "LF", "RF", "LT", "RT", "T8"]
    with pytest.raises(TableError, match="robot 'r' has no body 'chest'; the nearest is 'chestplate'"):
        check_names(table, "mvn", ["base", "lh", "rh", "lf", "rf", "chestplate"], humans)
    with pytest.raises(TableError, match="skeleton 'mvn' has no body 'T8'"):
        check_names(table, "mvn", ["base", "lh", "rh", "lf", "rf", "chest"], humans[:-1])


def test_a_joint_range_narrows_the_robots_own(robot: RobotModel):
    table = msgspec.structs.replace(load_table(table_path(robot)), joint_range={})
    assert table.narrowed(robot) is robot
    narrow = msgspec.structs.replace(table, joint_range={"*_knee_joint": (0.1, 9.0)}).narrowed(robot)
    knee = robot.joint_names.index("left_knee_joint")
    assert (narrow.limits.q_lower[knee], narrow.limits.q_upper[knee]) == (0.1, robot.limits.q_upper[knee])
    others = [i for i, name in enumerate(robot.joint_names) if "knee" not in name]
    assert (narrow.limits.q_lower[others] == robot.limits.q_lower[others]).all()
    assert robot.limits.q_lower[knee] < 0.1


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"*_nee_joint": (0.0, 1.0)}, "joint_range '*_nee_joint' fits no joint; the nearest is 'left_knee_joint'"),
        ({"left_knee_joint": (8.0, 9.0)}, "joint_range 'left_knee_joint' lies outside the range of 'left_knee_joint'"),
    ],
)
def test_a_joint_range_that_cannot_be_is_refused(robot: RobotModel, told: dict, sentence: str):
    table = msgspec.structs.replace(load_table(table_path(robot)), joint_range=told)
    with pytest.raises(TableError) as error:
        table.narrowed(robot)
    assert str(error.value) == sentence


def test_a_missing_file_says_what_belongs_there(tmp_path: Path):
    with pytest.raises(TableError, match="a robot folder holds its retarget.toml"):
        load_table(tmp_path / "retarget.toml")


def test_a_missing_file_is_named(tmp_path: Path):
    path = tmp_path / "retarget.toml"
    with pytest.raises(TableError) as error:
        load_table(path)
    reason = "cannot be read (No such file or directory); a robot folder holds its retarget.toml"
    assert str(error.value) == f"{path}: {reason}"
