from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.robots.model import RobotModel
from teleopd.service.retarget.calibration import Calibration, CalibrationError, RobotRest, rest_positions
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.tables import SkeletonTable, load_table

R = 0.7071067811865476
GOLDEN = {  # published offsets of a live T-pose stream, wxyz: straight from the vendor-neutral tables
    "pelvis": (1, 0, 0, 0), "torso_link": (1, 0, 0, 0),
    "left_knee_link": (1, 0, 0, 0), "right_knee_link": (1, 0, 0, 0),
    "left_ankle_roll_link": (1, 0, 0, 0), "right_ankle_roll_link": (1, 0, 0, 0),
    "left_shoulder_yaw_link": (R, R, 0, 0), "right_shoulder_yaw_link": (R, -R, 0, 0),
    "left_elbow_link": (0.5, 0.5, 0.5, 0.5), "right_elbow_link": (0.5, -0.5, 0.5, -0.5),
    "left_wrist_yaw_link": (0.5, 0.5, 0.5, 0.5), "right_wrist_yaw_link": (0.5, -0.5, 0.5, -0.5),
}  # fmt: skip
GOLDEN_BVH = {  # the same robot pose against a Y-up zero pose facing +Z: C^-1 Rz(-90) R_robot
    "pelvis": (0.5, -0.5, -0.5, -0.5), "left_shoulder_yaw_link": (R, 0, -R, 0),
    "right_shoulder_yaw_link": (0, R, 0, R), "left_elbow_link": (1, 0, 0, 0), "right_wrist_yaw_link": (0, 0, 0, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def kinematics(robot: RobotModel) -> Kinematics:
    return Kinematics(robot)


@pytest.fixture(scope="module")
def table(robot: RobotModel) -> SkeletonTable:
    return load_table(table_path(robot)).for_family("mvn")


@pytest.mark.parametrize("body", GOLDEN)
def test_offsets_from_the_t_pose_equal_the_published_ones(robot: RobotModel, kinematics: Kinematics, body: str):
    rest = RobotRest.of(kinematics, load_table(table_path(robot)).t_pose)
    offset = rest.offset(int(kinematics.body_ids([body])[0]))
    assert abs(float(offset @ GOLDEN[body])) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("body", GOLDEN_BVH)
def test_offsets_against_another_rest_frame(robot: RobotModel, kinematics: Kinematics, body: str):
    """R_human_rest = C turned so that the headings agree: Rz(+90) C, with C the Y-up to Z-up rotation Rx(+90)."""
    human_rest = np.array([0.5, 0.5, 0.5, 0.5])  # Rz(90) Rx(90)
    rest = RobotRest.of(kinematics, load_table(table_path(robot)).t_pose)
    offset = rest.offset(int(kinematics.body_ids([body])[0]), human_rest)
    assert abs(float(offset @ GOLDEN_BVH[body])) == pytest.approx(1.0, abs=1e-6)


def test_any_posture_gives_the_same_body(walk: list[HumanPose]):
    first, other = rest_positions(walk[0], "Pelvis"), rest_positions(walk[97], "Pelvis")
    np.testing.assert_allclose(first, other, atol=2e-3)
    assert np.abs(walk[0].pos_w - walk[97].pos_w).max() > 0.1


def test_lengths_floor_and_heading_are_measured(person: Callable[..., HumanPose], table: SkeletonTable):
    found = Calibration.from_pose(person(yaw=0.7, xy=(3.0, -2.0), z=0.25), table)
    assert found.leg_m == pytest.approx(0.84)
    assert found.ankle_m == pytest.approx(0.06)
    assert found.floor_z == pytest.approx(0.27)
    assert found.ankle_z == pytest.approx(0.33)
    assert found.yaw_rad == pytest.approx(0.7)
    np.testing.assert_allclose(found.origin_xy, (3.0, -2.0), atol=1e-12)
    np.testing.assert_allclose(found.rest_pos[MVN.body_names.index("LeftHand")], (0.0, 0.72, 0.48), atol=1e-12)


def test_centimetres_are_named(person: Callable[..., HumanPose], table: SkeletonTable):
    pose = person()
    with pytest.raises(CalibrationError) as error:
        Calibration.from_pose(pose._replace(pos_w=pose.pos_w * 100.0), table)
    assert str(error.value) == (
        "the operator's legs measure 84 m; between 0.4 and 1.4 m is believed; are the positions in centimetres?"
    )


def test_an_untracked_body_is_named(person: Callable[..., HumanPose], table: SkeletonTable):
    valid = np.ones(23, dtype=bool)
    valid[MVN.body_names.index("LeftHand")] = False
    with pytest.raises(CalibrationError, match="not tracked: LeftHand$"):
        Calibration.from_pose(person()._replace(valid=valid), table)


def test_an_unknown_family_is_named(person: Callable[..., HumanPose], table: SkeletonTable):
    with pytest.raises(CalibrationError, match="the source describes no bone tree for its skeleton 'smpl'"):
        Calibration.from_pose(person()._replace(skeleton=Skeleton("smpl", MVN.body_names)), table)
