"""What a ladder that stands on its edges must do: the last nanosecond, the first tick, what a press clears for good."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.safety.ramp import ramp_seconds
from teleopd.safety.supervisor import Supervisor, SupervisorConfig, SupervisorInputs
from teleopd.safety.words import Act, Cause, Mode

MS = 1_000_000


def test_a_press_clears_for_good_what_letting_go_had_latched(rig):
    rig.to(Mode.ACTIVE)
    rig.press(False)
    rig.step()
    assert rig.mode is Mode.HOLD
    rig.press()
    rig.step()
    rig.run(300)
    assert rig.mode is Mode.ACTIVE and Cause.DEADMAN_RELEASED not in rig.causes()


@pytest.mark.parametrize("cause", [Cause.DEADMAN_RELEASED, Cause.CONSOLE_LOST])
def test_an_operator_who_let_go_or_is_gone_is_not_waited_for(rig, cause):
    rig.to(Mode.ACTIVE)
    if cause is Cause.CONSOLE_LOST:
        rig.heartbeat = False
    else:
        rig.press(False)
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert rig.mode is Mode.HOLD and rig.out.mode_cause == cause
    rig.run(rig.limits.thresholds.ns("deadman_return") // MS + 4)
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == cause


def test_disengaging_keeps_what_else_is_the_case(rig):
    rig.to(Mode.ACTIVE)
    rig.state_changes = {"temperature_c": np.full(rig.model.n, 82.0)}
    rig.run(1000)
    assert Cause.MOTOR_WARM in rig.causes()
    rig.write(Act.DISENGAGE)
    rig.step()
    assert {Cause.MOTOR_WARM, Cause.DEADMAN_RELEASED} <= rig.causes()


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_a_gap_is_a_stall_from_the_first_nanosecond_beyond_its_threshold(rig, beyond_ns):
    rig.to(Mode.IDLE)
    longest_ns = 2 * MS + rig.limits.thresholds.ns("own_lateness")
    supervisor, now = rig.supervisor, rig.now
    out = supervisor.step(SupervisorInputs(rig.state, None), now + longest_ns + beyond_ns)
    assert out.causes >> Cause.OWN_LATENESS & 1 == beyond_ns


@pytest.mark.parametrize("early_ns", [0, 1])
def test_a_reset_is_heeded_from_the_very_nanosecond_on(rig, early_ns):
    rig.to(Mode.DAMPED)
    wait_ns = rig.limits.thresholds.ns("reset_wait")
    since_ns = rig.out.since_ns
    while rig.now + 4 * MS < since_ns + wait_ns:
        rig.step()
    rig.now = since_ns + wait_ns - early_ns - 2 * MS
    out = rig.step()
    assert rig.now == since_ns + wait_ns - early_ns
    assert (out.blocked_by == -1) is (early_ns == 0)


@pytest.mark.parametrize("early_ns", [0, 1])
def test_the_ramp_is_over_at_the_very_nanosecond(rig, early_ns):
    rig.to(Mode.READY)
    rig.run(3000)
    rig.now = rig.out.since_ns + rig.supervisor._ramp_ns - early_ns - 2 * MS
    rig.write(Act.ARM)
    assert rig.step().mode is (Mode.ARMED if early_ns == 0 else Mode.READY)


def test_the_ramp_lasts_as_long_as_the_way_to_stand_takes(rig):
    rig.to(Mode.READY)
    assert rig.supervisor._ramp_ns == round(ramp_seconds(rig.state.q, rig.model.q_stand) * 1e9)


@pytest.mark.parametrize("beyond_ns", [0, 1])
def test_the_check_begins_anew_from_the_first_nanosecond_without_a_state(rig, beyond_ns):
    rig.to(Mode.CHECK)
    rig.robot_on = False
    lost_ns = rig.state.t_ns + rig.limits.thresholds.ns("state_lost")
    while rig.now + 4 * MS < lost_ns:
        rig.step()
    heard = rig.supervisor._robot.messages
    rig.now = lost_ns + beyond_ns - 2 * MS
    rig.step()
    assert rig.mode is Mode.CHECK and heard > 0
    assert rig.supervisor._robot.messages == (0 if beyond_ns else heard)


def test_acts_that_are_heeded_are_not_counted_as_refused(rig):
    rig.standby_on = True
    rig.to(Mode.ARMED)
    assert not rig.out.using_standby, "arming begins with the policy itself"
    rig.run(100)
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE and not rig.out.using_standby
    rig.write(Act.DISENGAGE)
    rig.step()
    rig.write(Act.DAMP)
    rig.step()
    rig.press(False)
    rig.run(3000)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.IDLE and rig.out.refused_commands == 0


def test_a_latched_engage_is_none_before_arming_and_after_disengaging(rigs):
    rig = rigs(latched_engage=True).to(Mode.READY)
    assert not rig.step().engage_held
    rig.run(3100)
    rig.write(Act.ARM)
    rig.step()
    rig.run(100)
    rig.press()
    rig.step()
    rig.press(False)
    rig.run(100)
    assert rig.mode is Mode.ACTIVE and rig.out.engage_held, "nobody has to hold it"
    rig.write(Act.DISENGAGE)
    rig.step()
    assert rig.mode is Mode.HOLD and not rig.step().engage_held


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.HOLD, Mode.RETURN])
def test_where_no_act_is_waited_for_nothing_is_in_its_way(rig, mode):
    assert rig.to(mode).out.blocked_by == -1


def test_a_robot_that_lies_long_is_given_its_time_anew_when_it_stands(rig):
    """How long it was tilted counts from arming on, and from nowhere else."""
    rig.to(Mode.ARMED)
    forgotten = []
    rig.supervisor._conditions.forget_tilt = lambda: forgotten.append(rig.supervisor.mode)
    rig.run(100)
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE and forgotten == []
    rig.write(Act.STOP)
    rig.step()
    assert rig.mode is Mode.RETURN and forgotten == []
    rig.run(2000)
    assert rig.mode is Mode.ARMED and forgotten == [Mode.ARMED]


def test_a_supervisor_alone_says_what_it_waits_for(rig):
    supervisor = Supervisor(rig.limits, rig.model, SupervisorConfig(7))
    out = supervisor.step(SupervisorInputs(None, None), 10**9)
    assert (out.mode, out.mode_cause, out.mute, out.causes) == (Mode.BOOT, -1, False, 0)
    assert supervisor.cause_counts.shape == (32,), "the slot's width"
