"""Operator words that must not count, and a host that stalls."""

from __future__ import annotations

import pytest

from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand

MS = 1_000_000


@pytest.mark.parametrize(
    "changes", [{"token": 78}, {"token": 0}, {"act": 99}, {"t_ns": 1 << 60}], ids=["wrong", "none", "act", "future"]
)
def test_refused_words_do_nothing_and_are_counted_once(rig, changes):
    rig.to(Mode.ACTIVE)
    rig.write(Act.DAMP, writer=1, **changes)
    rig.run(100)
    assert rig.mode is Mode.ACTIVE and rig.out.refused_commands == 1


def test_a_replayed_act_is_refused(rig):
    rig.to(Mode.IDLE)
    rig.write(Act.READY)
    old = rig.commands[0]
    rig.step()
    rig.write(Act.STOP)
    rig.step()
    rig.run(2200)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.IDLE
    rig.commands[0] = old._replace(t_ns=rig.now)
    rig.run(20)
    assert rig.mode is Mode.IDLE and rig.out.refused_commands == 1


@pytest.mark.parametrize("age_ms, mode", [(1000, Mode.READY), (1004, Mode.IDLE)])
def test_a_raising_act_that_comes_late_is_refused(rig, age_ms, mode):
    rig.to(Mode.IDLE)
    rig.run(2000)
    rig.write(Act.READY, t_ns=rig.now + 2 * MS - age_ms * MS)
    rig.step()
    assert rig.mode is mode


def test_a_stop_is_never_too_late(rig):
    rig.to(Mode.ACTIVE)
    rig.write(Act.STOP, writer=1, t_ns=rig.now - 3000 * MS)
    rig.step()
    assert rig.mode is Mode.RETURN


def test_words_from_before_the_start_are_ignored(rig):
    rig.commands[0] = OperatorCommand(5, rig.now - 1, 77, int(Act.READY), True)
    rig.run(400)
    assert rig.mode is Mode.IDLE and rig.out.refused_commands == 0 and not rig.out.engage_held


def test_writers_beyond_the_table_are_not_read(rig):
    rig.to(Mode.IDLE)
    rig.commands.append(OperatorCommand(1, rig.now, 77, int(Act.DAMP), False))
    rig.step()
    assert rig.mode is Mode.IDLE and len(rig.commands) == len(OPERATOR_WRITERS) + 1


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE])
def test_a_host_that_stalls_for_100_ms_trips_nothing(rig, mode):
    """Everything stops, and the others need their own time to be heard again."""
    rig.to(mode)
    rig.robot_on = rig.policy_on = rig.source_on = False
    rig.step(102)
    assert rig.causes() <= {Cause.OWN_LATENESS}
    rig.step(2)
    rig.robot_on = rig.policy_on = rig.source_on = True
    for _ in range(100):
        rig.step()
        assert rig.mode is mode


def test_a_dead_robot_is_found_in_spite_of_a_stall(rig):
    rig.to(Mode.ACTIVE)
    rig.robot_on = False
    rig.step(102)
    assert rig.mode is Mode.ACTIVE
    rig.run(42)
    assert rig.mode is Mode.DAMPED and Cause.STATE_LOST in rig.causes()


def test_a_host_that_is_always_late_excuses_nothing_in_the_end(rig):
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    start = rig.now
    while rig.mode is not Mode.DAMPED:
        rig.step(14)
    assert rig.now - start < 500 * MS


@pytest.mark.parametrize("gap, mode", [(200, Mode.ARMED), (202, Mode.DAMPED)])
def test_a_gap_in_our_own_commands_is_entered_anew(rig, gap, mode):
    rig.to(Mode.ARMED)
    rig.step(gap)
    assert rig.mode is mode
    assert (Cause.COMMAND_GAP in rig.causes()) == (mode is Mode.DAMPED)


def test_wall_clock_and_repeats_do_not_matter_but_time_going_backwards_is_survived(rig):
    rig.to(Mode.ACTIVE)
    rig.step(-50)
    assert rig.mode is Mode.ACTIVE
