"""Faults of the robot: each threshold from both sides."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.safety.words import Act, Cause, Mode

MS = 1_000_000


@pytest.mark.parametrize("silent_ms, causes", [(10, set()), (12, {Cause.STATE_LATE})])
def test_state_late(rig, silent_ms, causes):
    rig.to(Mode.ACTIVE)
    rig.robot_on = False
    last = rig.state.t_ns
    while rig.now + 2 * MS - last <= silent_ms * MS:
        rig.step()
    assert rig.causes() == causes and rig.mode is Mode.ACTIVE


def test_state_lost_after_40_ms(rig):
    rig.to(Mode.ACTIVE)
    rig.robot_on = False
    last = rig.state.t_ns
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert rig.mode is Mode.DAMPED and 40 * MS < rig.now - last <= 42 * MS and rig.damping()


def test_a_motor_of_unknown_temperature_is_hot_and_hides_none_that_is_too_hot(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"temperature_c": np.array([np.nan, 40.0, 40.0])}
    rig.run(60)
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == Cause.MOTOR_HOT
    rig.state_changes = {"temperature_c": np.array([np.nan, 40.0, 105.0])}
    rig.run(60)
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.MOTOR_FAULT


def tilted(degrees: float) -> np.ndarray:
    half = np.radians(degrees) / 2
    return np.array([np.cos(half), 0.0, np.sin(half), 0.0])


@pytest.mark.parametrize(
    "degrees, rate, ms, mode",
    [
        (34.9, 0.0, 400, Mode.ACTIVE), (35.1, 0.0, 60, Mode.ACTIVE), (35.1, 0.0, 64, Mode.DAMPED),
        (25.1, 2.1, 2, Mode.DAMPED), (25.1, 1.9, 400, Mode.ACTIVE), (24.9, 9.0, 400, Mode.ACTIVE),
        (25.1, -9.0, 400, Mode.ACTIVE), (-25.1, -2.1, 2, Mode.DAMPED), (-25.1, 2.1, 400, Mode.ACTIVE),
        (60.1, 0.0, 2, Mode.DAMPED), (59.9, 0.0, 2, Mode.ACTIVE),
    ],
)  # fmt: skip
def test_tilt_trip(rig, degrees, rate, ms, mode):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"quat_w": tilted(degrees), "gyro_b": np.array([0.0, rate, 0.0])}
    rig.run(ms)
    assert rig.mode is mode


def test_tilt_is_judged_against_the_reference(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"quat_w": tilted(45.0)}
    rig.target_changes = {"tilt_rp": np.array([0.0, np.radians(40.0)])}
    rig.targets = rig.targets._replace(t_ns=rig.now, tilt_rp=np.array([0.0, np.radians(40.0)]))
    rig.run(400)
    assert rig.mode is Mode.ACTIVE


def test_heading_does_not_count_as_tilt(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"quat_w": np.array([0.0, 0.0, 0.0, 1.0])}
    rig.run(400)
    assert rig.mode is Mode.ACTIVE


def test_a_tilt_that_comes_back_starts_counting_anew(rig):
    rig.to(Mode.ACTIVE)
    for _ in range(5):
        rig.state_changes = {"quat_w": tilted(40.0)}
        rig.run(50)
        rig.state_changes = {}
        rig.run(10)
    assert rig.mode is Mode.ACTIVE


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.DAMPED])
def test_a_lying_robot_is_no_fault_where_it_is_damped_anyway(rig, mode):
    rig.to(mode)
    rig.state_changes = {"quat_w": tilted(90.0)}
    rig.run(200)
    assert rig.mode is mode and Cause.TILT_ABSOLUTE not in rig.causes()


@pytest.mark.parametrize("speed", [35.1, -35.1])
@pytest.mark.parametrize("mode", [Mode.READY, Mode.ARMED, Mode.ACTIVE])
def test_joint_speed_of_either_sign_three_samples(rig, mode, speed):
    rig.to(mode)
    rig.state_changes = {"dq": np.array([0.0, speed, 0.0])}
    rig.run(4)
    assert rig.mode is mode
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.causes() == {Cause.JOINT_SPEED}


def test_joint_speed_at_the_limit_in_all_joints_is_no_fault(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"dq": np.full(3, 34.9)}
    rig.run(40)
    assert rig.mode is Mode.ACTIVE


def test_one_repeated_sample_counts_once(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"dq": np.full(3, 50.0)}
    rig.step()
    rig.robot_on = False
    rig.run(20)
    assert rig.mode is Mode.ACTIVE


@pytest.mark.parametrize(
    "bad",
    [
        {"q": np.array([0.0, np.nan, 0.0])}, {"dq": np.array([0.0, np.inf, 0.0])}, {"q": np.zeros(4)},
        {"dq": np.zeros(2)}, {"quat_w": np.zeros(4)}, {"quat_w": np.array([2.0, 0, 0, 0])},
        {"gyro_b": np.full(3, np.nan)}, {"gyro_b": np.zeros(2)}, {"quat_w": np.zeros(3)},
        {"q": np.array([200.0, 0.0, 0.0])}, {"dq": np.array([0.0, 0.0, 2e3])}, {"quat_w": np.full(4, np.nan)},
    ],
)  # fmt: skip
def test_an_impossible_state_damps_at_once(rig, bad):
    rig.to(Mode.ACTIVE)
    rig.state_changes = bad
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.STATE_INVALID and rig.damping()


def test_checks_start_over_when_the_robot_falls_silent(rig):
    rig.run(60)
    assert rig.mode is Mode.CHECK
    rig.robot_on = False
    rig.run(50)
    rig.robot_on = True
    rig.run(98)
    assert rig.mode is Mode.CHECK, "49 messages since"
    rig.run(4)
    assert rig.mode is Mode.IDLE


def test_another_hardware_variant_is_refused_before_the_first_packet(rig):
    rig.state_changes = {"mode_machine": 4}
    rig.run(1000)
    assert rig.mode is Mode.CHECK and rig.out.blocked_by == Cause.WRONG_HARDWARE and rig.command is None


def test_hardware_that_changes_later_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"mode_machine": 4}
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.WRONG_HARDWARE


@pytest.mark.parametrize(
    "celsius, mode, causes",
    [
        (79.9, Mode.ACTIVE, set()), (80.0, Mode.ACTIVE, {Cause.MOTOR_WARM}),
        (90.0, Mode.RETURN, {Cause.MOTOR_WARM, Cause.MOTOR_HOT}),
        (105.0, Mode.DAMPED, {Cause.MOTOR_WARM, Cause.MOTOR_FAULT}),
    ],
)  # fmt: skip
def test_motor_temperature(rig, celsius, mode, causes):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"temperature_c": np.array([40.0, celsius, 40.0])}
    rig.run(60)
    assert rig.mode is mode and causes <= rig.causes()


def test_a_hot_motor_must_cool_by_5_K(rig):
    rig.to(Mode.ARMED)
    for celsius, blocked in ((90.0, Cause.MOTOR_HOT), (85.1, Cause.MOTOR_HOT), (84.9, -1)):
        rig.state_changes = {"temperature_c": np.full(3, celsius)}
        rig.run(60)
        assert rig.out.blocked_by == blocked, celsius


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.READY, Mode.ACTIVE])
def test_motor_fault_bits_damp(rig, mode):
    rig.to(mode)
    rig.state_changes = {"motor_fault": np.array([0, 1 << 31, 0], dtype=np.uint32)}
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.MOTOR_FAULT


@pytest.mark.parametrize(
    "changes, cause",
    [
        ({"quat_w": tilted(20.1)}, Cause.CHECK_FAILED),
        ({"q": np.array([2.21, 0.0, 0.0])}, Cause.CHECK_FAILED),
        ({"q": np.array([0.0, -0.31, 0.0])}, Cause.CHECK_FAILED),
        ({"q": np.array([2.19, -0.29, 0.69])}, -1),
        ({"quat_w": tilted(19.9)}, -1),
    ],
)
def test_ready_needs_an_upright_robot_inside_its_ranges(rig, changes, cause):
    rig.to(Mode.IDLE)
    rig.state_changes = changes
    rig.step()
    assert rig.out.blocked_by == cause
    rig.write(Act.READY)
    rig.step()
    assert rig.mode is (Mode.READY if cause == -1 else Mode.IDLE)


@pytest.mark.parametrize("off, ready", [(0.59, True), (0.61, False)])
def test_arm_needs_a_ramp_that_was_honoured(rig, off, ready):
    rig.to(Mode.READY)
    rig.state_changes = {"q": np.array([-0.3, 0.6 - off, -0.3])}
    rig.run(5000)
    assert rig.out.ready_to_arm is ready
    assert rig.out.blocked_by == (-1 if ready else Cause.CHECK_FAILED)


def test_what_is_judged_is_the_newest_report(rig):
    assert rig.supervisor.state is None
    rig.to(Mode.ARMED)
    newest = rig.state
    assert rig.supervisor.state is newest
    rig.robot_on, rig.state = False, newest._replace(t_ns=newest.t_ns - 1, q=np.full(3, np.nan))
    rig.step()
    assert rig.supervisor.state is newest and rig.mode is Mode.ARMED


def test_a_report_without_every_motors_temperature_counts_as_hot(rig):
    rig.to(Mode.ARMED)
    rig.state_changes = {"temperature_c": np.zeros(0)}
    rig.run(100)
    assert Cause.MOTOR_HOT in rig.causes()
