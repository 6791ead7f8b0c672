"""What is made of the robot's reports, each limit from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, MS, make_model, state

from teleopd.safety.limits import SafetyLimits
from teleopd.safety.robot_watch import RobotWatch
from teleopd.safety.stalls import FUTURE_NS, NEVER_NS, Stalls

LIMITS = SafetyLimits.of(make_model(), kp=KP, kd=KD)
NOW = 1_000 * MS
BELOW_100, BELOW_1000 = np.nextafter(100.0, 0.0), np.nextafter(1000.0, 0.0)


def watch() -> RobotWatch:
    return RobotWatch(LIMITS, Stalls(LIMITS.thresholds))


def told(**changes: object) -> RobotWatch:
    """A watch that has heard one report."""
    robot = watch()
    robot.update(state(NOW, **changes), NOW)
    return robot


def degrees_c(robot: RobotWatch, celsius: float) -> None:
    """As many reports as it takes until the temperatures are looked at again."""
    start = NOW if robot.state is None else robot.state.t_ns
    for i in range(1, 26):
        robot.update(state(start + i * 2 * MS, temperature_c=np.full(3, celsius)), start + i * 2 * MS)


def test_a_robot_that_was_never_heard_has_no_faults_and_no_age():
    robot = watch()
    assert (robot.state, robot.messages, robot.fast_samples, robot.age_ns(NOW)) == (None, 0, 0, NEVER_NS)
    assert robot.valid and robot.right_hardware and not (robot.warm or robot.hot or robot.fault)
    assert robot.up_b == (0.0, 0.0, 1.0) and robot.tilt_rad == 0.0
    robot.update(None, NOW)
    assert robot.messages == 0


@pytest.mark.parametrize(("ahead_ns", "taken"), [(FUTURE_NS, 1), (FUTURE_NS + 1, 0)])
def test_a_report_from_the_future_is_not_taken_in(ahead_ns, taken):
    robot = watch()
    robot.update(state(NOW + ahead_ns), NOW)
    assert robot.messages == taken


@pytest.mark.parametrize(("later_ns", "messages"), [(-1, 1), (0, 1), (1, 2)])
def test_only_a_later_report_is_a_new_one(later_ns, messages):
    robot = told()
    robot.update(state(NOW + later_ns, q=np.full(3, np.nan)), NOW + MS)
    assert robot.messages == messages and robot.valid is (messages == 1)


def test_messages_are_counted_anew_when_it_was_gone():
    robot = told()
    robot.restart()
    assert robot.messages == 0
    robot.update(state(NOW + MS), NOW + MS)
    assert robot.messages == 1


@pytest.mark.parametrize(
    "changes, possible",
    [
        ({"q": np.array([BELOW_100, 0.0, 0.0])}, True), ({"q": np.array([0.0, -BELOW_100, BELOW_100])}, True),
        ({"q": np.array([100.0, 0.0, 0.0])}, False), ({"q": np.array([0.0, 0.0, -100.0])}, False),
        ({"dq": np.array([BELOW_1000, 0.0, 0.0])}, True), ({"dq": np.array([0.0, -BELOW_1000, BELOW_1000])}, True),
        ({"dq": np.array([1000.0, 0.0, 0.0])}, False), ({"dq": np.array([0.0, 0.0, -1000.0])}, False),
        ({"q": np.array([99.0, 99.0, 0.0]), "dq": np.array([1000.0, 0.0, 0.0])}, False),
        ({"gyro_b": np.array([999.9999, 0.0, 0.0])}, True), ({"gyro_b": np.array([0.0, 1000.0, 0.0])}, False),
        ({"quat_w": np.array([0.91, 0.0, 0.0, 0.0])}, True), ({"quat_w": np.array([0.89, 0.0, 0.0, 0.0])}, False),
        ({"quat_w": np.array([0.0, 0.0, 1.09, 0.0])}, True), ({"quat_w": np.array([0.0, 1.11, 0.0, 0.0])}, False),
        ({"q": np.zeros(4)}, False), ({"dq": np.zeros(4)}, False), ({"quat_w": np.array([1.0, 0.0, 0.0])}, False),
        ({"quat_w": np.array([1.0, 0.0, 0.0, 0.0, 0.0])}, False), ({"gyro_b": np.zeros(4)}, False),
    ],
)  # fmt: skip
def test_what_no_robot_can_report_is_taken_as_corrupt(changes, possible):
    assert told(**changes).valid is possible


def test_of_a_corrupt_report_nothing_else_is_believed():
    robot = told()
    robot.update(
        state(NOW + MS, gyro_b=np.full(3, np.nan), dq=np.full(3, 50.0), motor_fault=np.ones(3, dtype=np.uint32)),
        NOW + MS,
    )
    assert not robot.valid and robot.fast_samples == 0 and not robot.fault


@pytest.mark.parametrize(
    "speed, fast",
    [([35.0, -35.0, 0.0], 0), ([35.0, 0.0, 0.0], 0), ([35.001, 0.0, 0.0], 1), ([0.0, 0.0, -35.001], 1),
     ([34.0, 34.0, 34.0], 0)],
)  # fmt: skip
def test_a_joint_is_fast_above_the_limit_whatever_the_others_do(speed, fast):
    assert told(dq=np.array(speed)).fast_samples == fast


def test_fast_samples_are_those_in_a_row():
    robot, seen = watch(), []
    for i, speed in enumerate((36.0, 36.0, 36.0, 0.0, 36.0, 0.0, 0.0)):
        robot.update(state(NOW + i, dq=np.full(3, speed)), NOW + i)
        seen.append(robot.fast_samples)
    assert seen == [1, 2, 3, 0, 1, 0, 0]


def test_temperatures_are_looked_at_in_the_first_report_and_every_25th_after_it():
    robot, seen = watch(), []
    for i in range(1, 60):
        robot.update(state(NOW + i, temperature_c=np.full(3, 95.0 if 2 <= i <= 50 else 20.0)), NOW + i)
        seen.append(robot.hot)
    assert seen == [False] * 25 + [True] * 25 + [False] * 9
    assert told(temperature_c=np.full(3, 95.0)).hot


def test_warm_hot_and_too_hot_begin_at_their_temperature_and_end_five_kelvin_below():
    robot, seen = watch(), []
    for celsius in (79.9, 80.0, 75.0, 74.9, 79.9, 89.9, 90.0, 85.0, 84.9, 89.9, 104.9, 105.0, 104.9):
        degrees_c(robot, celsius)
        seen.append((celsius, robot.warm, robot.hot, robot.fault))
    no, yes = False, True
    assert seen == [
        (79.9, no, no, no), (80.0, yes, no, no), (75.0, yes, no, no), (74.9, no, no, no), (79.9, no, no, no),
        (89.9, yes, no, no), (90.0, yes, yes, no), (85.0, yes, yes, no), (84.9, yes, no, no), (89.9, yes, no, no),
        (104.9, yes, yes, no), (105.0, yes, yes, yes), (104.9, yes, yes, no),
    ]  # fmt: skip


def test_the_hottest_motor_counts_and_one_that_is_not_known_makes_it_hot():
    hottest = told(temperature_c=np.array([20.0, 105.0, 20.0]))
    assert hottest.warm and hottest.hot and hottest.fault
    blind = told(temperature_c=np.array([20.0, np.nan, 20.0]))
    assert blind.warm and blind.hot and not blind.fault
    assert not told(temperature_c=np.array([-40.0, -40.0, -40.0])).warm


def test_any_bit_of_any_motor_is_a_fault():
    for motor in range(3):
        for bit in (0, 7, 8, 31):
            bits = np.zeros(3, dtype=np.uint32)
            bits[motor] = 1 << bit
            assert told(motor_fault=bits).fault
    assert not told().fault and told().right_hardware and not told(mode_machine=6).right_hardware


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("joint", range(3))
def test_a_joint_is_inside_its_range_and_less_than_the_slack_beyond(joint, side):
    q = make_model().q_stand
    q[joint] = (LIMITS.q_upper[joint] + 0.2) if side > 0 else (LIMITS.q_lower[joint] - 0.2)
    assert not told(q=q).inside_range()
    q[joint] -= 1e-9 * side
    assert told(q=q).inside_range()


def test_others_who_command_are_heard_for_two_seconds():
    robot = watch()
    assert not robot.foreign(1)
    robot.note_foreign(0, NOW)
    assert not robot.foreign(NOW)
    robot.note_foreign(1, NOW + MS)
    robot.note_foreign(1, NOW + 500 * MS)
    assert robot.foreign(NOW + 2_001 * MS - 1) and not robot.foreign(NOW + 2_001 * MS)
    robot.note_foreign(2, NOW + 9_000 * MS)
    assert robot.foreign(NOW + 10_999 * MS) and not robot.foreign(NOW + 11_000 * MS)


def test_one_foreign_command_before_the_first_look_is_heard():
    robot = watch()
    robot.note_foreign(1, NOW)
    assert robot.foreign(NOW)


def test_of_a_robot_that_stands_upright_the_tilt_is_none():
    robot = told()
    assert robot.tilt_rad == 0.0 and robot.up_b == (0.0, 0.0, 1.0)
    assert told(quat_w=np.array([0.0, 1.0, 0.0, 0.0])).tilt_rad == math.pi
    assert told(quat_w=np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0])).tilt_rad == pytest.approx(math.pi / 2)
