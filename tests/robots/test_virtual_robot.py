"""The virtual robot: determinism, what it reports, and models that it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.robots.conftest import HIGH, Z, stand

from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.perturbation import Perturbation, RandomPushes
from teleopd.robots.virtual.plant import ModelUnusable
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.robots.virtual.thermal import AMBIENT_C, RISE_AT_FULL_TORQUE_C, TIME_CONSTANT_S, Thermal

HARSH = Perturbation(
    actuator_delay_ms=(2.0, 9.0), sensor_delay_ms=3.0, q_noise_rad=0.01, rp_noise_rad=0.01, initial_q_rad=0.05,
    initial_velocity_m_s=0.2, random_pushes=RandomPushes(interval_s=(0.2, 0.4)), friction_scale=0.8,
)  # fmt: skip


def trajectory(robot: VirtualRobot) -> bytes:
    robot.gantry.release()
    out = []
    for i in range(150):
        stand(robot, q=np.full(7, 0.1 * np.sin(0.1 * i)))
        robot.advance(4)
        out.append(np.concatenate([robot.low_state(i).q, robot.low_state(i).quat_w, robot.mj_data.qpos]))
    return np.array(out).tobytes()


def test_same_seed_and_commands_give_the_same_bits(toy: RobotModel):
    first = VirtualRobot(toy, perturbation=HARSH, seed=5)
    reference = trajectory(first)
    assert trajectory(VirtualRobot(toy, perturbation=HARSH, seed=5)) == reference
    first.reset()
    assert trajectory(first) == reference, "a reset starts the same run"
    first.reset(seed=6)
    assert trajectory(first) != reference


def test_low_state_reports_the_robot(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.step(1.2345 - 0.0005)
    state = robot.low_state(123)
    assert (state.t_ns, state.tick, state.mode_machine) == (123, 1234, 7)
    assert not state.has_odometry and not state.root_pos_w.any() and not state.root_lin_vel_w.any()
    assert state.motor_fault.dtype == np.uint32 and state.remote.shape == (40,) and not state.remote.any()
    before = state.q.copy()
    robot.step(0.1)
    robot.low_state(124)
    assert state.q.tobytes() == before.tobytes()


def test_gyro_and_orientation_of_a_turning_body(toy: RobotModel):
    robot = VirtualRobot(toy)
    half = np.sqrt(0.5)
    robot.reset(root_pos_w=HIGH, root_quat_w=np.array([half, 0.0, half, 0.0]), hanging=False)
    robot.mj_data.qvel[3:6] = 0.0, 0.0, 0.1  # about the pelvis's own z, which is the world's x now
    stand(robot, 2000.0, 50.0)
    robot.advance(1)
    state = robot.low_state(0)
    assert state.gyro_b == pytest.approx([0.0, 0.0, 0.1], abs=2e-2)
    assert state.quat_w == pytest.approx([half, 0.0, half, 0.0], abs=1e-3)
    assert robot.up_z == pytest.approx(0.0, abs=1e-3) and robot.fallen


def test_fallen_by_height_and_by_tilt(toy: RobotModel):
    robot = VirtualRobot(toy)
    for height, degrees, fallen in ((0.361, 0, False), (0.359, 0, True), (2.0, 59, False), (2.0, 61, True)):
        half = np.radians(degrees) / 2
        quat = np.array([np.cos(half), np.sin(half), 0.0, 0.0])
        robot.reset(root_pos_w=np.array([0.0, 0.0, height]), root_quat_w=quat)
        assert robot.fallen is fallen, (height, degrees)


def test_divergence_is_reported_and_not_hidden_by_a_reset(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.mj_data.qvel[6] = 1e12
    robot.advance(3)
    assert robot.diverged and robot.fallen
    robot.reset()
    assert not robot.diverged and not robot.fallen


def test_step_takes_whole_physics_steps_only(toy: RobotModel):
    robot = VirtualRobot(toy, physics_hz=500)
    robot.step(0.02)
    assert robot.steps == 10 and robot.time_s == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"dt_s is 0\.003; it must be a whole number of physics steps of 0\.002 s"):
        robot.step(0.003)


def test_temperature_follows_the_square_of_the_torque():
    thermal = Thermal(np.array([100.0, 100.0, 10.0]))
    tau = np.array([0.0, 50.0, -10.0])
    for _ in range(3000):
        thermal.advance(tau, 0.1)
    share = 1.0 - np.exp(-300.0 / TIME_CONSTANT_S)
    expected = AMBIENT_C + RISE_AT_FULL_TORQUE_C * np.array([0.0, 0.25, 1.0]) * share
    assert thermal.temperature_c == pytest.approx(expected, rel=1e-3)


def test_motors_warm_up_in_the_robot(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.command(Z, Z, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 20.0, 0.0]), Z, Z)
    robot.step(1.0)
    hot = robot.low_state(0).temperature_c
    assert hot[5] - AMBIENT_C == pytest.approx(RISE_AT_FULL_TORQUE_C / TIME_CONSTANT_S, rel=0.01)
    robot.reset()
    assert robot.low_state(0).temperature_c.tolist() == [AMBIENT_C] * 7


def test_unknown_physics_rate(toy: RobotModel):
    with pytest.raises(ValueError, match="physics_hz is 300; valid: 200, 500, 1000, 2000"):
        VirtualRobot(toy, physics_hz=300)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('joint name="waist"', 'joint name="hips"', "has no joint 'waist'|does not compile"),
        ('<accelerometer name="accel" site="imu_pelvis"/>', "", "has no accelerometer on site 'imu_pelvis'"),
        ('<freejoint name="root"/>', "", "body 'pelvis' has no free joint"),
        (
            '<position name="waist" joint="waist" kp="50" kv="2"/>', "",
            "must have one stateless actuator a joint .7.; it has 6 with 0 states, none for waist",
        ),
        ("<mujoco", "<mujoc", "does not compile"),
    ],
)  # fmt: skip
def test_unusable_models_say_what_is_missing(toy: RobotModel, old: str, new: str, message: str):
    text = toy.mjcf.read_text()
    assert old in text
    toy.mjcf.write_text(text.replace(old, new, 1))
    with pytest.raises(ModelUnusable, match=message):
        VirtualRobot(toy)


def test_missing_file(toy: RobotModel, tmp_path: Path):
    toy.mjcf.unlink()
    with pytest.raises(ModelUnusable, match="does not compile"):
        VirtualRobot(toy)
