"""The virtual robot's gantry, and the floor under it, against weights computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.robots.conftest import HIGH, MASS_KG, G, stand

from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.gantry import GantryMode
from teleopd.robots.virtual.robot import VirtualRobot


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
def test_free_fall(toy: RobotModel, physics_hz: int):
    robot = VirtualRobot(toy, physics_hz=physics_hz, odometry=True)
    robot.reset(root_pos_w=HIGH, hanging=False)
    robot.step(1.0)
    state = robot.low_state(5)
    assert state.root_lin_vel_w == pytest.approx([0.0, 0.0, -G], abs=1e-9)
    # semi-implicit: n steps fall g h^2 n (n + 1) / 2
    h = 1.0 / physics_hz
    assert 50.0 - state.root_pos_w[2] == pytest.approx(G * h * h * physics_hz * (physics_hz + 1) / 2, rel=1e-9)
    assert state.accel_b == pytest.approx([0.0, 0.0, 0.0], abs=1e-9), "an accelerometer in free fall shows nothing"
    assert robot.gantry_force_w.tolist() == [0.0, 0.0, 0.0]


def test_starts_hanging_with_the_feet_just_touching(toy: RobotModel):
    robot = VirtualRobot(toy)
    assert robot.gantry.mode is GantryMode.HANG
    assert robot.mj_data.site_xpos[robot._plant.soles, 2].min() == pytest.approx(0.0, abs=1e-12)
    assert robot.root_height == pytest.approx(0.72)
    assert robot.mass_kg == MASS_KG


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
@pytest.mark.parametrize("commanded", [True, False], ids=["standing", "damped"])
def test_gantry_carries_exactly_the_weight_and_stays_calm(toy: RobotModel, physics_hz: int, commanded: bool):
    robot = VirtualRobot(toy, physics_hz=physics_hz)
    robot.reset(root_pos_w=np.array([0.0, 0.0, 1.0]))  # feet in the air
    if commanded:
        stand(robot)
    robot.step(3.0)
    assert robot.gantry_force_w == pytest.approx([0.0, 0.0, MASS_KG * G], abs=0.5)
    assert robot.root_height == pytest.approx(1.0, abs=1e-3) and robot.up_z > 0.999
    assert robot.low_state(1).accel_b == pytest.approx([0.0, 0.0, G], abs=0.05)
    assert not robot.fallen and not robot.diverged


def test_lowering_hands_the_weight_to_the_feet_then_lets_go_completely(toy: RobotModel):
    robot = VirtualRobot(toy)
    stand(robot)
    robot.step(1.0)
    robot.gantry.lower(2.0)
    robot.step(1.0)
    assert robot.gantry.mode is GantryMode.LOWER
    assert robot.gantry.support == pytest.approx(0.5)
    assert robot.gantry_force_w[2] == pytest.approx(0.5 * MASS_KG * G, rel=0.1)
    robot.step(1.0)
    assert robot.gantry.mode is GantryMode.RELEASE
    robot.step(0.001)
    assert robot.gantry_force_w.tolist() == [0.0] * 3
    assert robot.mj_data.qfrc_applied.tolist() == [0.0] * 13
    assert robot.mj_model.dof_damping[:6].tolist() == [0.0] * 6


def test_release_is_immediate_and_lowering_after_it_does_nothing(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(root_pos_w=HIGH)
    robot.gantry.release()
    robot.gantry.lower(1.0)
    robot.step(0.5)
    assert robot.mj_data.qvel[2] == pytest.approx(-0.5 * G)


def test_gantry_picks_up_a_fallen_robot_where_it_lies_without_throwing_it(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(hanging=False)
    robot.push((150.0, 0.0, 0.0), 0.3)
    robot.step(3.0)
    assert robot.fallen
    x = float(robot.mj_data.qpos[0])
    assert abs(x) > 0.1
    stand(robot)
    robot.hang()
    fastest = 0.0
    for _ in range(60):
        robot.step(0.1)
        fastest = max(fastest, float(np.linalg.norm(robot.mj_data.qvel[:3])))
    assert fastest < 1.5
    assert robot.mj_data.qpos[:3] == pytest.approx([x, robot.mj_data.qpos[1], 0.74], abs=0.005)
    assert robot.up_z > 0.99 and not robot.fallen
