"""The virtual robot's motors: their law, their limit, what they do with commands that are none."""

from __future__ import annotations

import numpy as np
import pytest
from tests.robots.conftest import HIGH, G, Z, stand

from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.gantry import GantryMode
from teleopd.robots.virtual.robot import Silence, VirtualRobot


def test_motor_law_and_saturation(toy: RobotModel):
    robot = VirtualRobot(toy)
    q, dq, tau = np.linspace(-0.3, 0.3, 7), np.linspace(0.5, -0.5, 7), np.linspace(-1.0, -2.0, 7)
    kp, kd = np.linspace(10.0, 70.0, 7), np.linspace(1.0, 3.0, 7)
    robot.step(0.05)
    position, velocity = robot.mj_data.qpos[7:].copy(), robot.mj_data.qvel[6:].copy()
    robot.command(q, dq, tau, kp, kd)
    robot.advance(1)
    assert robot.low_state(0).tau == pytest.approx(kp * (q - position) + kd * (dq - velocity) + tau, abs=1e-9)
    robot.command(q, dq, np.full(7, 1000.0), kp, kd)
    robot.advance(1)
    assert robot.low_state(0).tau.tolist() == [100.0, 100.0, 100.0, 100.0, 60.0, 20.0, 20.0]


def test_a_saturated_motor_accelerates_by_its_torque_alone(toy: RobotModel):
    """The damping gain of a clipped motor must not act through the implicit integrator."""
    speeds = []
    for kd in (0.0, 50.0):
        robot = VirtualRobot(toy)
        robot.reset(root_pos_w=HIGH, hanging=False)
        robot.command(Z, Z, np.full(7, 1e5), Z, np.full(7, kd))
        robot.advance(5)
        speeds.append(robot.low_state(0).dq)
    assert speeds[1] == pytest.approx(speeds[0], rel=1e-12)


def test_pd_holds_against_gravity_with_the_offset_of_its_stiffness(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(root_pos_w=np.array([0.0, 0.0, 2.0]))
    wanted = Z.copy()
    wanted[5] = -np.pi / 2 + 0.0  # left arm forwards, level: 1 kg at 0.2 m
    kp = np.full(7, 200.0)
    robot.command(wanted, Z, Z, kp, np.full(7, 5.0))
    robot.step(4.0)
    state = robot.low_state(0)
    sag = state.q[5] - wanted[5]
    assert state.tau[5] == pytest.approx(-200.0 * sag, abs=1e-3)
    assert abs(state.tau[5]) == pytest.approx(1.0 * G * 0.2 * abs(np.sin(state.q[5])), rel=1e-2)


def test_hold_law_keeps_the_last_command_and_silence_can_damp_or_go_limp(toy: RobotModel):
    for silence, gains in ((Silence.HOLD, (200.0, 5.0)), (Silence.DAMP, (0.0, 8.0)), (Silence.LIMP, (0.0, 0.0))):
        robot = VirtualRobot(toy, silence=silence, silence_s=0.1)
        robot.step(1.0)
        assert robot.mj_model.actuator_biasprm[0, 2] == -8.0, "before the first command the motors damp"
        stand(robot)
        robot.advance(100)
        assert robot.mj_model.actuator_biasprm[0, 1] == -200.0
        robot.advance(1)
        assert tuple(-robot.mj_model.actuator_biasprm[0, 1:3]) == gains
        stand(robot)
        robot.advance(1)
        assert robot.mj_model.actuator_biasprm[0, 1] == -200.0, "commands are heard again"


@pytest.mark.parametrize("where", range(5))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_command_that_is_not_finite_is_not_heard(toy: RobotModel, where: int, value: float):
    robot = VirtualRobot(toy)
    stand(robot)
    robot.advance(1)
    parts = [Z.copy(), Z.copy(), Z.copy(), np.full(7, 10.0), np.full(7, 1.0)]
    parts[where][3] = value
    assert not robot.command(*parts)
    robot.advance(10)
    assert (robot.commands_received, robot.commands_refused) == (1, 1)
    assert robot.mj_model.actuator_biasprm[0, 1] == -200.0 and np.isfinite(robot.low_state(0).q).all()


def test_negative_gain_is_not_heard(toy: RobotModel):
    robot = VirtualRobot(toy)
    assert not robot.command(Z, Z, Z, np.full(7, -1.0), Z) and not robot.command(Z, Z, Z, Z, np.full(7, -1.0))
    assert robot.commands_refused == 2


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
def test_stands_and_damps_at_every_physics_rate(toy: RobotModel, physics_hz: int):
    robot = VirtualRobot(toy, physics_hz=physics_hz)
    stand(robot, 400.0, 10.0)
    robot.gantry.lower(0.5)
    robot.step(2.0)
    assert not robot.fallen and robot.gantry.mode is GantryMode.RELEASE
    feet = sum(float(robot.mj_data.efc_force[contact.efc_address]) for contact in robot.mj_data.contact)
    assert robot.low_state(0).accel_b[2] == pytest.approx(G, abs=0.05)
    assert feet > 0.0
