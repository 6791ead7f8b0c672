"""A second of standing -> an operator's body; what is no T- or N-pose, moves or is not whole is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.robots.model import RobotModel
from teleopd.service.retarget.calibration import Calibration, CalibrationError
from teleopd.service.retarget.operator_file import load_operator, operator_path, save_operator
from teleopd.service.retarget.operator_pose import MVN_BODIES, Operator, calibrate
from teleopd.service.retarget.retargeter import Retargeter

Person = Callable[..., HumanPose]
AT = {name: i for i, name in enumerate(MVN.body_names)}
DOWN = {"Left": -np.pi / 2, "Right": np.pi / 2}


def with_arms(p: HumanPose, degrees: float, yaw: float = 0.0) -> HumanPose:
    """The T-posed person with both arms lowered by an angle, about the axis they face along."""
    pos, quat = p.pos_w.copy(), p.quat_w.copy()
    ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    for side, sign in (("Left", -1.0), ("Right", 1.0)):
        half = sign * np.deg2rad(degrees) / 2.0
        turn = np.concatenate(([np.cos(half)], np.sin(half) * ahead))
        shoulder = pos[AT[side + "UpperArm"]].copy()
        for part in ("UpperArm", "ForeArm", "Hand"):
            i = AT[side + part]
            pos[i] = shoulder + rotated(turn, pos[i] - shoulder)
            quat[i] = product(turn, quat[i])
    return p._replace(pos_w=pos, quat_w=quat)


def product(a: Any, b: Any) -> np.ndarray:
    w, x, y, z = a
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]) @ b


def rotated(q: Any, v: Any) -> np.ndarray:
    return product(product(q, np.concatenate(([0.0], v))), np.asarray(q) * [1, -1, -1, -1])[1:]


def second(p: HumanPose, count: int = 60, noise_m: float = 0.0) -> list[HumanPose]:
    """The same pose 60 times a second, with white noise."""
    rng = np.random.default_rng(5)
    made = []
    for k in range(count):
        pos = p.pos_w + rng.normal(0.0, noise_m, p.pos_w.shape)
        t_ns = 10**9 + round(k * 1e9 / 60.0)
        made.append(p._replace(seq=k + 1, t_ns=t_ns, t_source_ns=t_ns, pos_w=pos))
    return made


def refused(poses: Sequence[HumanPose], wanted: Any = "auto") -> str:
    with pytest.raises(CalibrationError) as error:
        calibrate(poses, wanted=wanted)
    return str(error.value)


@pytest.mark.parametrize(("degrees", "kind"), [(0.0, "t"), (15.0, "t"), (80.0, "n"), (90.0, "n")])
@pytest.mark.parametrize("yaw", [0.0, 3.0])
def test_both_poses_are_recognised_and_give_the_same_body(person: Person, degrees: float, kind: str, yaw: float):
    found = calibrate(second(with_arms(person(yaw=yaw, xy=(2.0, -1.0), z=0.3), degrees, yaw), noise_m=0.003))
    assert (found.pose, found.frames) == (kind, 60)
    assert found.arm_m == pytest.approx(0.54, abs=0.003)
    assert found.calibration.leg_m == pytest.approx(0.84, abs=0.002)
    assert found.calibration.floor_z == pytest.approx(0.32, abs=0.003)
    assert found.calibration.yaw_rad == pytest.approx(yaw, abs=1e-9)
    np.testing.assert_allclose(found.calibration.origin_xy, (2.0, -1.0), atol=0.002)
    np.testing.assert_allclose(found.calibration.rest_pos[AT["LeftHand"]], (0.0, 0.72, 0.48), atol=0.005)
    assert 0.007 < found.moved_m < 0.012  # 3 mm white noise, three axes: 90 % lie within 2.5 * 3 mm


def test_single_bad_frames_leave_no_trace(person: Person):
    poses = second(person())
    for k in (7, 20, 33):
        poses[k] = poses[k]._replace(pos_w=poses[k].pos_w + 1.0)
    clean = Calibration.from_pose(person(), MVN_BODIES)
    np.testing.assert_allclose(calibrate(poses[:1] + poses).calibration.rest_pos, clean.rest_pos, atol=1e-12)


def test_quaternion_signs_do_not_matter(person: Person):
    poses = [p._replace(quat_w=p.quat_w * (-1.0) ** k) for k, p in enumerate(second(person(yaw=1.0)))]
    assert calibrate(poses).calibration.yaw_rad == pytest.approx(1.0)


def test_a_person_who_moved_is_refused(person: Person):
    poses = second(person())
    for k, p in enumerate(poses):
        p.pos_w[AT["LeftHand"], 2] += 0.3 * k / 60.0
    assert refused(poses) == (
        "the operator moved: LeftHand by 13.3 cm, at most 3 cm is still; hold the pose and try again"
    )


def test_a_pose_that_is_neither_is_refused(person: Person):
    assert refused(second(with_arms(person(), 50.0))) == (
        "this is neither a T-pose nor an N-pose: the left arm points 40 degrees away from straight down"
    )
    assert refused(second(with_arms(person(), 40.0))) == (
        "this is neither a T-pose nor an N-pose: the left arm points 40 degrees away from straight out to the side"
    )


def test_the_other_pose_than_asked_for_is_refused(person: Person):
    assert refused(second(person()), "n") == (
        "this is no N-pose: the left arm points 90 degrees away from straight down"
    )
    assert calibrate(second(person()), wanted="t").pose == "t"


def test_bent_limbs_leaning_and_wrong_frames_are_named(person: Person):
    bent, lean, turned = person(), person(), person()
    bent.pos_w[AT["RightLowerLeg"], 0] += 0.2
    lean.pos_w[AT["Head"], 0] += 0.3
    turned.quat_w[AT["LeftUpperLeg"]] = (np.cos(np.pi / 4), np.sin(np.pi / 4), 0.0, 0.0)
    assert refused(second(bent)).endswith("T-pose nor an N-pose: the right leg is bent")
    assert refused(second(lean)).endswith("the trunk leans by 25 degrees")
    assert refused(second(turned)).endswith(
        "the orientation of LeftUpperLeg is 90 degrees from what the T-pose gives it; "
        "calibrate the capture system first"
    )


def test_too_few_whole_frames_name_what_is_lost(person: Person):
    poses = [p._replace(valid=p.valid.copy()) for p in second(person())]
    for p in poses[:20]:
        p.valid[AT["RightFoot"]] = False
    assert refused(poses) == (
        "40 of 60 frames show every body; calibration needs at least 10, and 80% of them; "
        "not tracked throughout: RightFoot"
    )
    assert refused(second(person(), 9)).startswith("9 of 9 frames show every body; calibration needs at least 10")
    assert refused([]) == "no frame arrived to calibrate from"


def test_a_skeleton_without_arms_cannot_be_told(person: Person):
    bodies = Skeleton("other", tuple(f"b{i}" for i in range(23)))
    assert refused([p._replace(skeleton=bodies) for p in second(person())]) == (
        "skeleton 'other' has no LeftUpperArm; a T- or N-pose is told by arms and legs"
    )


@pytest.fixture
def measured(person: Person) -> Operator:
    return calibrate(second(person(yaw=0.5, xy=(1.0, 2.0), z=0.1)))


def test_a_stored_operator_comes_back_whole(measured: Operator, tmp_path: Path):
    path = save_operator("anna", measured, tmp_path / "sub" / "anna.toml")
    back, c = load_operator(path), measured.calibration
    assert back.family == "mvn" and len(path.read_bytes()) < 4096
    for name in ("rest_pos", "origin_xy"):
        np.testing.assert_allclose(getattr(back, name), getattr(c, name), atol=1e-6)
    for name in ("floor_z", "yaw_rad", "leg_m", "ankle_m"):
        assert getattr(back, name) == pytest.approx(getattr(c, name), abs=1e-6)
    assert [p.name for p in path.parent.iterdir()] == ["anna.toml"]


def test_a_stored_operator_is_used(measured: Operator, person: Person, robot: RobotModel, tmp_path: Path):
    """Who is calibrated as a person of 1.4 m keeps that size, whoever comes."""
    small = calibrate([p._replace(pos_w=p.pos_w * 0.8) for p in second(person())])
    retargeter = Retargeter(robot, MVN, calibration=load_operator(save_operator("bo", small, tmp_path / "bo.toml")))
    assert retargeter.update(person()) is not None
    assert retargeter.calibration is not None and retargeter.calibration.leg_m == pytest.approx(0.8 * 0.84, abs=1e-5)


def test_the_folder_may_be_chosen_and_names_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TELEOPD_OPERATORS", str(tmp_path))
    assert operator_path("anna.b-2_c") == tmp_path / "anna.b-2_c.toml"
    for bad in ("", "../anna", "an na", ".anna", "x" * 65, "a/b"):
        with pytest.raises(CalibrationError) as error:
            operator_path(bad)
        assert str(error.value).startswith(f"operator '{bad}' cannot be a file name")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("schema = 1", "schema = 2", "schema is 2; this version reads schema 1"),
        ("leg_m = 0.84", "leg_m = 84.0", "leg_m is 84; it must lie between 0.4 and 1.4"),
        ("leg_m = 0.84", "leg_n = 0.84", "unknown key 'leg_n'; the nearest is 'leg_m'"),
        ("floor_m = 0.120000", "floor_m = nan", "floor_m is nan; it must lie between -20 and 20"),
        ("Pelvis = ", "Pelwis = ", "rest_m must hold the 23 MVN segments in order; 'Pelvis' is missing"),
        ('family = "mvn"', 'family = "smpl"', "family is 'smpl'; only 'mvn' can be stored"),
        ('pose = "t"', "pose = 3", "Expected 'str', got 'int' - at '$.pose'"),
        ("schema = 1", "schema = = 1", "not valid TOML: Invalid value (at line 3, column 10)"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(measured: Operator, tmp_path: Path, old: str, new: str, sentence: str):
    path = save_operator("anna", measured, tmp_path / "anna.toml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CalibrationError) as error:
        load_operator(path)
    assert str(error.value) == f"{path}: {sentence}"


def test_a_missing_operator_says_who_there_is(measured: Operator, tmp_path: Path):
    save_operator("anna", measured, tmp_path / "anna.toml")
    with pytest.raises(CalibrationError) as error:
        load_operator(tmp_path / "bo.toml")
    assert str(error.value) == (
        f"operator 'bo' has no calibration ({tmp_path / 'bo.toml'}: No such file or directory); make one with: "
        "teleop calibrate --operator bo; there are: anna"
    )
