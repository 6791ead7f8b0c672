"""Another program on the command topic: the robot stays on its feet, stops following, and waits until it is alone."""

from __future__ import annotations

import pytest

from teleopd.safety.words import Act, Cause, Mode

MS = 1_000_000
CAUSE = Cause.FOREIGN_COMMANDS


def hear_one(rig) -> None:
    rig.foreign_commands += 1
    rig.step()


def test_none_heard_is_none_judged_however_early_it_is(rig):
    rig.to(Mode.ACTIVE)
    assert rig.supervisor.cause_counts[CAUSE] == 0
    assert not rig.supervisor._robot.foreign(0)


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.HOLD])
def test_following_becomes_return_then_standing_and_a_new_press_engages_once_it_is_quiet(rig, mode: Mode):
    rig.to(mode)
    heard = rig.now
    hear_one(rig)
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == CAUSE and rig.causes() >= {CAUSE}
    rig.source_on = True
    while rig.mode is Mode.RETURN:
        rig.step()
    assert rig.mode is Mode.ARMED and rig.out.blocked_by == CAUSE
    rig.press(False)
    rig.step()
    rig.press()
    rig.step()
    assert rig.mode is Mode.ARMED, "two controllers: nobody engages"
    rig.press(False)
    while CAUSE in rig.causes():
        rig.step()
    assert 2000 * MS <= rig.now - heard <= 2004 * MS
    assert rig.mode is Mode.ARMED
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


@pytest.mark.parametrize("mode", [Mode.ARMED, Mode.RETURN])
def test_standing_goes_on(rig, mode: Mode):
    rig.to(mode)
    hear_one(rig)
    assert rig.mode is mode and CAUSE in rig.causes() and rig.command.kp.any()


def test_each_command_counts_from_anew(rig):
    rig.to(Mode.ARMED)
    for _ in range(4):
        hear_one(rig)
        rig.run(1990)
        assert CAUSE in rig.causes()
    rig.run(10)
    assert CAUSE not in rig.causes()
    assert rig.supervisor.cause_counts[CAUSE] == 1, "it never ended in between"


@pytest.mark.parametrize(("mode", "act"), [(Mode.IDLE, Act.READY), (Mode.READY, Act.ARM)])
def test_no_step_up_the_ladder_beside_another_controller(rig, mode: Mode, act: Act):
    rig.to(mode)
    rig.run(3100)
    hear_one(rig)
    rig.write(act)
    rig.step()
    assert rig.mode is mode and rig.out.blocked_by == CAUSE
    rig.run(2000)
    rig.write(act)
    rig.step()
    assert rig.mode is Mode(mode + 1)


def test_check_is_not_passed_beside_another_controller(rig):
    for _ in range(300):
        hear_one(rig)
    assert rig.mode is Mode.CHECK and rig.out.blocked_by == CAUSE
    rig.run(2100)
    assert rig.mode is Mode.IDLE


def test_a_reset_waits_for_it(rig):
    rig.to(Mode.DAMPED)
    rig.run(2100)
    hear_one(rig)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.blocked_by == CAUSE
