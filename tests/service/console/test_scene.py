from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.console.scene import (
    BONES,
    HEAD_OFFSET_M,
    Kinematics,
    heading,
    scene_state,
    skull,
    smoothed_heading,
)

UP = np.array([1.0, 0, 0, 0])


def about_z(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)])


@pytest.fixture(scope="module")
def kinematics() -> tuple[Kinematics, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    return Kinematics(MODEL, model), mujoco.MjData(model)


def test_bones_are_a_tree_over_all_23_segments():
    children = [child for _, child in BONES["mvn"]]
    assert len(children) == len(set(children)) == 22 and 0 not in children
    named = {(MVN_SEGMENTS[parent], MVN_SEGMENTS[child]) for parent, child in BONES["mvn"]}
    assert {("LeftForeArm", "LeftHand"), ("T8", "Neck"), ("Pelvis", "RightUpperLeg")} <= named


def test_the_ghost_stands_at_the_robots_place_with_its_heading(snapshot, make, kinematics):
    tilted = about_z(-0.4)
    state = scene_state(snapshot._replace(
        state=make["low_state"](quat_w=about_z(1.2)), reference=make["reference"](root_quat_w=tilted)
    ))  # fmt: skip
    placed = kinematics[0].place(kinematics[1], state, side_heading=0.0)
    assert placed.robot_pos_w == pytest.approx([1.0, 2.0, 0.78])
    assert placed.ghost_pos_w == pytest.approx([1.0, 2.0, 0.79])  # place of the robot, height of the reference
    assert heading(placed.ghost_quat_w) == pytest.approx(1.2)


def test_the_person_stands_to_the_left_and_turns_with_the_robot(snapshot, make, kinematics):
    state = scene_state(snapshot._replace(state=make["low_state"](quat_w=about_z(math.pi / 2))))
    placed = kinematics[0].place(kinematics[1], state, side_heading=math.pi / 2, side_m=1.5)
    assert placed.human_w[0] == pytest.approx([1.0 - 1.5, 2.0, 0.95])
    toe = MVN_SEGMENTS.index("LeftToe")  # 0.15 m ahead and 0.1 m left of the pelvis, ahead is now +Y
    assert placed.human_w[toe] - placed.human_w[0] == pytest.approx([-0.1, 0.15, -0.92])


def test_without_odometry_the_soles_are_put_on_the_floor(snapshot, make, kinematics):
    state = scene_state(snapshot._replace(state=make["low_state"](has_odometry=False, root_pos_w=np.zeros(3))))
    placed = kinematics[0].place(kinematics[1], state, 0.0)
    kinematics[0].pose(kinematics[1], state.q, placed.robot_pos_w, UP)
    lowest = min(kinematics[1].site(name).xpos[2] for name in MODEL.sole_sites)
    assert lowest == pytest.approx(0.0, abs=1e-9)
    assert 0.6 < placed.robot_pos_w[2] < 0.85


def test_the_shaped_reference_is_the_ghost_where_there_is_one(snapshot, make):
    shaped = make["reference"](q=MODEL.q_stand + 0.1)
    assert scene_state(snapshot).reference_q == pytest.approx(MODEL.q_stand)
    assert scene_state(snapshot._replace(shaped=shaped)).reference_q == pytest.approx(MODEL.q_stand + 0.1)


def test_without_a_robot_the_reference_is_shown_as_the_robot(snapshot):
    state = scene_state(snapshot._replace(state=None, safety=None))
    assert state.q == pytest.approx(MODEL.q_stand) and state.root_pos_w == pytest.approx([0, 0, 0.79])
    assert state.reference_q is None and state.mode is None and len(state.human_pos_w) == 23
    assert scene_state(snapshot._replace(state=None, reference=None)) is None


def test_mode_and_person_come_from_the_slots(snapshot):
    state = scene_state(snapshot._replace(human=None))
    assert state.mode is Mode.ACTIVE and state.human_pos_w is None


def test_skull_lies_beyond_the_head(make):
    human = make["person"]().pos_w[:23]
    assert skull(human, "mvn") == pytest.approx([3.0, 4.0, 1.6 + HEAD_OFFSET_M])
    assert skull(human, "other") is None


def test_heading_is_followed_the_short_way_round():
    after = smoothed_heading(math.radians(170), about_z(math.radians(-170)), 1e6)
    assert math.degrees(after) == pytest.approx(190.0)
    half = smoothed_heading(0.0, about_z(1.0), 1.5)
    assert half == pytest.approx(1 - math.exp(-1))
