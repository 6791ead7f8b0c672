"""What the virtual twin of every registered robot must do before anything is judged by it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from teleopd.launch import registry
from teleopd.robots.model import RobotModel, low_state_fields
from teleopd.robots.virtual.gantry import GantryMode
from teleopd.robots.virtual.robot import VirtualRobot

GRAVITY = 9.81


@pytest.fixture(params=registry.names("robot"))
def model(request: pytest.FixtureRequest) -> RobotModel:
    found = registry.load("robot", request.param)
    assert isinstance(found, RobotModel)
    return found


def ready(robot: VirtualRobot) -> None:
    zero = np.zeros(robot.model.n)
    assert robot.command(robot.model.q_stand, zero, zero, robot.model.kp_ready, robot.model.kd_ready)


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
def test_hangs_still_with_its_whole_weight_on_the_gantry(model: RobotModel, physics_hz: int):
    robot = VirtualRobot(model, physics_hz=physics_hz)
    robot.reset(root_pos_w=np.array([0.0, 0.0, 2.0]))
    ready(robot)
    robot.step(3.0)
    weight_n = robot.mass_kg * GRAVITY
    assert robot.gantry_force_w == pytest.approx([0.0, 0.0, weight_n], abs=0.01 * weight_n)
    assert robot.up_z > 0.98 and not robot.fallen and not robot.diverged
    assert float(np.abs(robot.mj_data.qvel).max()) < 0.1


def test_starts_at_its_stand_height_with_flat_feet(model: RobotModel):
    robot = VirtualRobot(model)
    assert robot.root_height == pytest.approx(model.stand_height_m, abs=2e-3)
    soles = [robot.mj_data.site(name).xpos[2] for name in model.sole_sites]
    assert max(soles) - min(soles) < 5e-3 and min(soles) == pytest.approx(0.0, abs=1e-9)


def test_released_without_a_policy_it_falls(model: RobotModel):
    """A biped that stops balancing falls: a gantry that secretly helped would show here."""
    robot = VirtualRobot(model)
    robot.gantry.lower(0.5)
    robot.step(4.0)
    assert robot.gantry.mode is GantryMode.RELEASE and robot.fallen and not robot.diverged
    assert not robot.mj_data.qfrc_applied.any()


def test_torque_never_exceeds_the_published_limit(model: RobotModel):
    robot = VirtualRobot(model)
    zero = np.zeros(model.n)
    for sign in (1.0, -1.0):
        robot.command(zero, zero, np.full(model.n, sign * 1e4), zero, zero)
        robot.advance(1)
        tau = robot.low_state(0).tau
        assert (tau * sign > 0.0).all() and (np.abs(tau) <= model.limits.tau_max + 1e-9).all()


def test_each_motor_moves_its_own_joint(model: RobotModel):
    for i in range(0, model.n, 3):
        robot = VirtualRobot(model)
        robot.reset(root_pos_w=np.array([0.0, 0.0, 3.0]))
        target = model.q_stand.copy()
        middle = 0.5 * (model.limits.q_lower[i] + model.limits.q_upper[i])
        target[i] += 0.2 * np.sign(middle - target[i] + 1e-9)
        zero = np.zeros(model.n)
        robot.command(target, zero, zero, model.kp_ready, model.kd_ready)
        robot.step(1.0)
        joint = mujoco.mj_name2id(robot.mj_model, mujoco.mjtObj.mjOBJ_JOINT, model.joint_names[i])
        moved = robot.low_state(0).q - model.q_stand
        assert robot.mj_data.qpos[robot.mj_model.jnt_qposadr[joint]] == robot.low_state(0).q[i]
        assert moved[i] * np.sign(target[i] - model.q_stand[i]) > 0.1, model.joint_names[i]


def test_low_state_has_the_published_layout(model: RobotModel):
    state = VirtualRobot(model, odometry=True).low_state(9)
    for (name, dtype, *shape), value in zip(low_state_fields(model.n), state, strict=True):
        if shape:
            assert value.shape == shape[0] and value.dtype == np.dtype(dtype), name
    assert state.mode_machine == model.default_mode_machine and state.mode_machine in model.limits_by_mode_machine


def test_same_commands_same_bits(model: RobotModel):
    runs = []
    for _ in range(2):
        robot = VirtualRobot(model)
        robot.gantry.lower(0.2)
        for i in range(100):
            zero = np.zeros(model.n)
            robot.command(model.q_stand + 0.1 * np.sin(0.2 * i), zero, zero, model.kp_ready, model.kd_ready)
            robot.step(0.01)
        runs.append(robot.mj_data.qpos.tobytes() + robot.mj_data.qvel.tobytes())
    assert runs[0] == runs[1]
