"""Stops and resets."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tests.safety.conftest import TOKEN

from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Cause, Mode

MS = 1_000_000


def test_soft_stop_returns_the_second_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.write(Act.STOP)
    rig.step()
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == Cause.OPERATOR_STOP and not rig.damping()
    rig.run(1300)
    assert rig.mode is Mode.ARMED and rig.out.blocked_by == Cause.OPERATOR_STOP
    rig.press(False)
    rig.step()
    rig.press()
    rig.step()
    assert rig.mode is Mode.ARMED, "a stop is cleared by reset, not by the deadman"
    rig.write(Act.STOP)
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping()


def test_reset_after_a_soft_stop_lets_engage_again_and_moves_nothing(rig):
    rig.to(Mode.RETURN)
    rig.run(1300)
    rig.press(False)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.ARMED and rig.out.blocked_by == -1
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


def test_two_stops_in_one_tick_damp(rig):
    rig.to(Mode.ACTIVE)
    rig.write(Act.STOP, writer=0)
    rig.write(Act.STOP, writer=1)
    rig.step()
    assert rig.mode is Mode.DAMPED


def test_reset_and_ready_in_one_tick_climb_one_step(rig):
    rig.to(Mode.DAMPED)
    rig.run(2100)
    rig.write(Act.RESET, writer=0)
    rig.write(Act.READY, writer=1)
    rig.step()
    assert rig.mode is Mode.IDLE and rig.out.refused_commands == 1 and rig.out.mode_cause == -1


def test_the_first_command_after_damp_is_damping(rig):
    rig.to(Mode.ACTIVE)
    rig.write(Act.DAMP)
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping() and rig.out.mode_cause == Cause.OPERATOR_DAMP


@pytest.mark.parametrize(
    "bits, mode",
    [((0x08, 0), Mode.RETURN), ((0x20, 0x02), Mode.DAMPED), ((0x20, 0), Mode.ACTIVE), ((0, 2), Mode.ACTIVE)],
)
def test_the_vendor_remote_stops(rig, bits, mode):
    rig.to(Mode.ACTIVE)
    remote = np.zeros(40, dtype=np.uint8)
    remote[2:4] = bits
    rig.state_changes = {"remote": remote}
    rig.run(20)
    assert rig.mode is mode


def test_holding_the_vendor_remotes_stop_for_a_second_damps(rig):
    rig.to(Mode.ACTIVE)
    remote = np.zeros(40, dtype=np.uint8)
    remote[2] = 0x08
    rig.state_changes = {"remote": remote}
    rig.run(900)
    assert rig.mode is Mode.RETURN
    rig.run(100)
    assert rig.mode is Mode.RETURN
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.OPERATOR_DAMP
    rig.run(3000)
    assert rig.supervisor.cause_counts[Cause.OPERATOR_DAMP] == 1, "one long press, one act"
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.IDLE
    rig.run(1100)
    assert rig.mode is Mode.IDLE, "still the same press"


def test_a_disengage_in_the_tick_in_which_the_source_goes_stale_is_not_lost(rig):
    rig.to(Mode.ACTIVE)
    rig.source_on = False
    while True:
        before = copy.deepcopy(rig.supervisor)
        rig.step()
        if rig.mode is Mode.HOLD:
            break
    rig.supervisor = before  # the same tick again, with the word in it
    rig.now -= 2 * MS
    rig.tick -= 1
    rig.write(Act.DISENGAGE, writer=1, engage_held=False)
    rig.step()
    assert rig.mode is Mode.HOLD and rig.out.refused_commands == 0
    rig.source_on = True
    rig.run(300)
    assert rig.mode is Mode.HOLD, "the stream is back and the deadman held, but the operator asked to disengage"
    rig.run(200)
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == Cause.DEADMAN_RELEASED


def test_damped_is_latched_until_reset_after_two_seconds_and_resets_to_idle(rig):
    rig.to(Mode.DAMPED)
    rig.run(1990)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.refused_commands == 1
    for act in (Act.READY, Act.ARM):
        rig.write(act)
        rig.step()
    rig.run(100)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.IDLE and rig.damping() and rig.causes() == set()


def test_reset_is_refused_while_the_robot_is_silent(rig):
    rig.to(Mode.DAMPED)
    rig.robot_on = False
    rig.run(2100)
    assert rig.out.blocked_by == Cause.STATE_LOST
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.DAMPED


def test_reset_together_with_damp_is_refused(rig):
    rig.to(Mode.DAMPED)
    rig.run(2100)
    rig.write(Act.RESET, writer=0)
    rig.write(Act.DAMP, writer=1)
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.refused_commands == 1


class Slot:
    """One word, as in shared memory: the next takes its place."""

    word = None

    def read(self):
        return self.word

    def write(self, value):
        self.word = value


@pytest.mark.parametrize(
    "acts, mode, refused",
    [
        ((Act.STOP, Act.RESET), Mode.RETURN, 1), ((Act.STOP, Act.DISENGAGE), Mode.RETURN, 0),
        ((Act.DAMP, Act.STOP), Mode.DAMPED, 0), ((Act.DAMP, Act.RESET, Act.READY), Mode.DAMPED, 1),
        ((Act.STOP, Act.STOP), Mode.DAMPED, 0), ((Act.STOP, Act.ARM, Act.STOP, Act.RESET), Mode.DAMPED, 1),
        ((Act.STOP,), Mode.RETURN, 0), ((Act.RESET, Act.STOP), Mode.RETURN, 0), ((Act.STOP, Act.DAMP), Mode.DAMPED, 0),
    ],
)  # fmt: skip
def test_no_stop_is_lost_to_a_later_act_of_its_writer_before_anybody_read_it(rig, acts, mode, refused):
    rig.to(Mode.ACTIVE)
    slot = Slot()
    OperatorWriter(slot, TOKEN).act(Act.STOP, rig.now - 10_000 * MS)  # of the run before
    rig.commands[1] = slot.word
    rig.step()
    assert rig.mode is Mode.ACTIVE and rig.out.refused_commands == 0
    writer = OperatorWriter(slot, TOKEN)
    for act in acts:
        writer.act(act, rig.now)
    writer.hold(True, rig.now)
    rig.commands[1] = slot.word
    rig.step()
    assert rig.mode is mode and rig.out.refused_commands == refused
    rig.run(100)
    assert rig.mode is mode, "each is obeyed once"


def test_a_remote_whose_stop_flickers_for_less_than_50_ms_does_not_damp(rig):
    rig.to(Mode.ACTIVE)
    stop, silent = np.zeros(40, dtype=np.uint8), np.zeros(40, dtype=np.uint8)
    stop[2] = 0x08
    for remote, ms in ((stop, 20), (silent, 48), (stop, 20), (silent, 2), (stop, 2)):
        rig.state_changes = {"remote": remote}
        rig.run(ms)
    assert rig.mode is Mode.RETURN
    rig.state_changes = {"remote": silent}
    rig.run(50)
    rig.state_changes = {"remote": stop}
    rig.step()
    assert rig.mode is Mode.DAMPED, "a second press"


@pytest.mark.parametrize("act", [Act.STOP, Act.DAMP])
@pytest.mark.parametrize("mode", [Mode.BOOT, Mode.CHECK])
def test_a_stop_before_anything_is_sent_is_kept_and_the_ladder_begins_damped(rigs, mode, act):
    rig = rigs().to(mode)
    rig.write(act)
    rig.step()
    assert rig.mode in (Mode.BOOT, Mode.CHECK) and rig.command is None
    assert Cause.OPERATOR_DAMP in rig.causes() and rig.out.refused_commands == 0
    while rig.mode in (Mode.BOOT, Mode.CHECK):
        rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.OPERATOR_DAMP and rig.damping()
    rig.run(2100)
    rig.write(Act.RESET)
    rig.step()
    assert rig.mode is Mode.IDLE and not rig.causes()


def test_a_reset_takes_back_a_stop_that_was_kept(rig):
    rig.to(Mode.CHECK)
    rig.write(Act.DAMP)
    rig.step()
    rig.write(Act.RESET)
    rig.step()
    assert not rig.causes() and rig.out.refused_commands == 0
    rig.run(200)
    assert rig.mode is Mode.IDLE and rig.out.mode_cause == -1
