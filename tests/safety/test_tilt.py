"""How far the robot leans from where it is wanted, and how fast it goes on: against rotations worked out elsewhere."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, state

from teleopd.safety.limits import SafetyLimits
from teleopd.safety.robot_watch import RobotWatch
from teleopd.safety.stalls import Stalls

LIMITS = SafetyLimits.of(make_model(), kp=KP, kd=KD)
NOW = 1_000 * MS
POSES = range(8)


def watching(quat_w: np.ndarray, gyro_b: np.ndarray) -> RobotWatch:
    robot = RobotWatch(LIMITS, Stalls(LIMITS.thresholds))
    robot.update(state(NOW, quat_w=quat_w, gyro_b=gyro_b), NOW)
    assert robot.valid
    return robot


def up(quat_w: np.ndarray) -> np.ndarray:
    """World's up direction in the frame of the quaternion."""
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, quat_w / np.linalg.norm(quat_w))
    return rotation[6:]


def turned(quat_w: np.ndarray, by_rad: np.ndarray) -> np.ndarray:
    """The quaternion after a turn about its own axes."""
    angle, by, after = float(np.linalg.norm(by_rad)), np.zeros(4), np.zeros(4)
    mujoco.mju_axisAngle2Quat(by, by_rad / angle if angle else np.array([1.0, 0.0, 0.0]), angle)
    mujoco.mju_mulQuat(after, quat_w, by)
    return after


def wanted(roll: float, pitch: float) -> np.ndarray:
    level = turned(np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, pitch, 0.0]))
    return up(turned(level, np.array([roll, 0.0, 0.0])))


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """A pose, a turning rate, and the roll and pitch that are wanted."""
    rng = np.random.default_rng(seed)
    quat = rng.normal(size=4)
    return quat / np.linalg.norm(quat), rng.normal(size=3), rng.uniform(-3.0, 3.0), rng.uniform(-1.5, 1.5)


@pytest.mark.parametrize("seed", POSES)
def test_up_is_where_the_rotation_takes_it_though_the_quaternion_is_a_little_long(seed):
    quat, gyro, _, _ = drawn(seed)
    robot = watching(quat * 1.05, gyro)
    assert np.array(robot.up_b) == pytest.approx(up(quat), abs=1e-12)
    assert robot.tilt_rad == pytest.approx(angle(up(quat), np.array([0.0, 0.0, 1.0])), abs=1e-7)


@pytest.mark.parametrize("seed", POSES)
def test_the_error_is_the_angle_to_the_reference_and_the_rate_its_change(seed):
    quat, gyro, roll, pitch = drawn(seed)
    error, rate = watching(quat, gyro).tilt_error(roll, pitch)
    goal, dt = wanted(roll, pitch), 1e-5
    assert error == pytest.approx(angle(up(quat), goal), abs=1e-7)
    later, before = (angle(up(turned(quat, gyro * side * dt)), goal) for side in (1, -1))
    assert rate == pytest.approx((later - before) / (2 * dt), abs=1e-4)


@pytest.mark.parametrize("degrees", range(0, 90))
def test_rounding_of_an_angle_of_none_or_half_a_turn_does_no_harm(degrees):
    half = math.radians(degrees) / 2
    robot = watching(np.array([math.cos(half), 0.0, math.sin(half), 0.0]), np.array([3.0, 3.0, 3.0]))
    error, rate = robot.tilt_error(0.0, 2 * half)
    assert error == pytest.approx(0.0, abs=1e-7) and rate == 0.0
    error, rate = robot.tilt_error(math.pi, -2 * half)
    assert error == pytest.approx(math.pi, abs=1e-7) and rate == 0.0


def test_leaning_back_to_the_reference_is_no_outward_rate():
    quat = np.array([math.cos(0.3), 0.0, math.sin(0.3), 0.0])
    assert watching(quat, np.array([0.0, -2.0, 0.0])).tilt_error(0.0, 0.0) == pytest.approx((0.6, -2.0))
    assert watching(quat, np.array([0.0, 2.0, 0.0])).tilt_error(0.0, 0.0) == pytest.approx((0.6, 2.0))
    assert watching(quat, np.array([0.0, 2.0, 0.0])).tilt_error(0.0, 0.8) == pytest.approx((0.2, -2.0))
