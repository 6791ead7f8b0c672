"""The ladder, told as stories with injected time."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from teleopd.safety.failsafe import TABLE, Clear
from teleopd.safety.words import OPERATOR_WRITERS, Act, Action, Cause, Mode, OperatorCommand

MS = 1_000_000
LADDER = (Mode.BOOT, Mode.CHECK, Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.DAMPED)

ACTS_TABLE = {
    # mode: what each act leads to; an act not listed is refused and changes nothing
    Mode.BOOT: {},
    Mode.CHECK: {},
    Mode.IDLE: {Act.READY: Mode.READY, Act.STOP: Mode.DAMPED, Act.DAMP: Mode.DAMPED},
    Mode.READY: {Act.STOP: Mode.DAMPED, Act.DAMP: Mode.DAMPED},
    Mode.ARMED: {Act.STOP: Mode.ARMED, Act.DAMP: Mode.DAMPED},
    Mode.ACTIVE: {Act.STOP: Mode.RETURN, Act.DAMP: Mode.DAMPED, Act.DISENGAGE: Mode.HOLD},
    Mode.HOLD: {Act.STOP: Mode.RETURN, Act.DAMP: Mode.DAMPED, Act.DISENGAGE: Mode.HOLD},
    Mode.RETURN: {Act.STOP: Mode.DAMPED, Act.DAMP: Mode.DAMPED, Act.RESET: Mode.RETURN},
    Mode.DAMPED: {Act.STOP: Mode.DAMPED, Act.DAMP: Mode.DAMPED},
}


@pytest.mark.parametrize("act", [act for act in Act if act is not Act.NONE])
@pytest.mark.parametrize("mode", LADDER)
def test_every_act_in_every_state(rigs, mode: Mode, act: Act):
    rig = rigs().to(mode)
    if mode is Mode.BOOT:
        rig.robot_on = False
    refused = rig.out.refused_commands if rig.out else 0
    rig.write(act, writer=1)
    rig.step()
    assert rig.mode is ACTS_TABLE[mode].get(act, mode)
    assert rig.out.refused_commands - refused == (0 if act in ACTS_TABLE[mode] else 1)


def test_climbs_from_boot_to_active_by_two_acts_and_a_press(rig):
    rig.robot_on = False
    rig.run(20)
    assert rig.mode is Mode.BOOT and rig.command is None and rig.out.blocked_by == Cause.STATE_LOST
    rig.robot_on = True
    for message in range(1, 51):
        rig.step()
        assert rig.mode is (Mode.IDLE if message == 50 else Mode.CHECK), message
        assert (rig.command is None) == (message < 50)
    rig.write(Act.READY)
    rig.step()
    assert rig.mode is Mode.READY and not rig.out.ready_to_arm
    rig.run(2998)
    assert not rig.out.ready_to_arm
    rig.step()
    assert rig.out.ready_to_arm and rig.mode is Mode.READY
    rig.write(Act.ARM)
    rig.step()
    assert rig.mode is Mode.ARMED
    rig.run(500)
    assert rig.mode is Mode.ARMED, "nothing engages without the deadman"
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE and rig.out.mode_cause == -1 and rig.out.engage_held


def test_arm_before_the_ramp_is_over_is_refused(rig):
    rig.to(Mode.READY)
    rig.run(2900)
    rig.write(Act.ARM)
    rig.step()
    assert rig.mode is Mode.READY and rig.out.refused_commands == 1


def test_ready_and_arm_in_one_tick_climb_one_step(rig):
    rig.to(Mode.IDLE)
    rig.write(Act.READY, writer=0)
    rig.write(Act.ARM, writer=1)
    rig.step()
    assert rig.mode is Mode.READY and rig.out.refused_commands == 1


def test_source_lost_holds_within_100_ms_returns_at_400_ms_and_needs_a_new_press(rig):
    rig.to(Mode.ACTIVE)
    rig.source_on = False
    lost_ns = rig.reference_ns
    seen = {}
    for _ in range(1500):
        rig.step()
        seen.setdefault(rig.mode, rig.now - lost_ns)
        assert not rig.damping()
    assert 60 * MS < seen[Mode.HOLD] <= 62 * MS
    assert 400 * MS < seen[Mode.RETURN] <= 402 * MS
    assert seen[Mode.ARMED] - seen[Mode.RETURN] == 1200 * MS
    assert rig.out.mode_cause == -1 and rig.out.since_ns == lost_ns + seen[Mode.ARMED]
    rig.source_on = True
    rig.run(3000)
    assert rig.mode is Mode.ARMED, "still held from before the loss"
    rig.press(False)
    rig.step()
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE and Cause.SOURCE_LOST not in rig.causes()


def test_slow_source_is_judged_by_its_own_rate_up_to_100_ms(rig):
    rig.target_changes = {"reference_hz": 25.0}
    rig.to(Mode.ACTIVE)
    rig.source_on = False
    lost_ns = rig.reference_ns
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert 100 * MS < rig.now - lost_ns <= 102 * MS


def test_hold_resumes_by_itself_when_the_stream_is_back_for_100_ms(rig):
    rig.to(Mode.HOLD)
    rig.run(50)
    rig.source_on = True
    start = rig.now
    while rig.mode is Mode.HOLD:
        rig.step()
    assert rig.mode is Mode.ACTIVE
    assert 100 * MS <= rig.now - start <= 140 * MS


def test_flickering_source_does_not_hold_for_ever(rig):
    rig.to(Mode.ACTIVE)
    since = None
    for i in range(2500):
        rig.source_on = i % 100 < 10
        rig.step()
        since = since or (rig.now if rig.mode is Mode.HOLD else None)
        if rig.mode is Mode.RETURN:
            break
    assert rig.mode is Mode.RETURN and rig.now - since == pytest.approx(2000 * MS, abs=4 * MS)


def test_letting_go_holds_then_returns_and_never_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.press(False)
    rig.step()
    assert rig.mode is Mode.HOLD and rig.out.mode_cause == Cause.DEADMAN_RELEASED
    start = rig.now
    while rig.mode is Mode.HOLD:
        rig.step()
    assert rig.mode is Mode.RETURN and rig.now - start == 400 * MS
    rig.run(1300)
    assert rig.mode is Mode.ARMED


def test_pressing_again_while_held_resumes(rig):
    rig.to(Mode.ACTIVE)
    rig.press(False)
    rig.run(100)
    assert rig.mode is Mode.HOLD
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


def test_a_lost_heartbeat_counts_as_letting_go_and_its_return_is_no_press(rig):
    rig.to(Mode.ACTIVE)
    rig.heartbeat = False
    last = rig.commands[0].t_ns
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert rig.mode is Mode.HOLD and rig.out.mode_cause == Cause.CONSOLE_LOST
    assert 250 * MS < rig.now - last <= 252 * MS
    rig.heartbeat = True
    rig.run(4000)
    assert rig.mode is Mode.ARMED and not rig.out.engage_held
    rig.press(False)
    rig.step()
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


def test_the_sources_own_deadman_engages(rig):
    rig.to(Mode.ARMED)
    rig.run(100)
    rig.target_changes = {"deadman": True}
    rig.run(20)
    assert rig.mode is Mode.ACTIVE
    rig.target_changes = {"deadman": False}
    rig.run(20)
    assert rig.mode is Mode.HOLD


def test_a_deadman_held_since_before_arming_does_not_engage(rig):
    rig.target_changes = {"deadman": True}
    rig.to(Mode.ARMED)
    rig.run(2000)
    assert rig.mode is Mode.ARMED


@pytest.mark.parametrize(
    "changes, cause",
    [
        ({"reference_valid": False}, Cause.SOURCE_INVALID),
        ({"pose_error_rad": 2.5}, Cause.POSE_MISMATCH),
        ({"pose_error_rad": float("nan")}, Cause.POSE_MISMATCH),
        ({"reference_hz": 130.0}, Cause.SOURCE_STALE),
        ({"t_content_ns": 1}, Cause.SOURCE_FROZEN),
        ({"reference_seq": 0}, Cause.SOURCE_LOST),
        ({"ready": False}, Cause.TARGETS_LOST),
    ],
)
def test_a_press_does_not_engage_what_is_not_fit(rig, changes, cause):
    rig.to(Mode.ARMED)
    rig.target_changes = changes
    rig.run(1200)
    assert rig.out.blocked_by == cause
    rig.press()
    rig.run(100)
    assert rig.mode is Mode.ARMED
    rig.target_changes = {}
    rig.run(2000)
    assert rig.out.blocked_by == -1 and rig.mode is Mode.ARMED, "the press was before the way was free"


def test_a_source_is_engaged_only_after_a_second_of_freshness(rig):
    rig.to(Mode.ARMED)
    rig.source_on = False
    rig.run(1000)
    rig.source_on = True
    start = rig.now
    while rig.out.blocked_by != -1:
        rig.step()
    assert 1000 * MS <= rig.now - start <= 1040 * MS


def test_another_source_returns(rig):
    rig.to(Mode.ACTIVE)
    rig.target_changes = {"reference_source_id": 2}
    rig.run(20)
    assert rig.mode is Mode.RETURN and rig.out.mode_cause == Cause.SOURCE_SWAPPED


def test_frozen_content_holds(rig):
    rig.to(Mode.ACTIVE)
    frozen = rig.reference_ns
    rig.target_changes = {"t_content_ns": frozen}
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert rig.mode is Mode.HOLD and rig.out.mode_cause == Cause.SOURCE_FROZEN
    assert 200 * MS < rig.now - frozen <= 202 * MS


def test_losing_operator_source_and_console_for_a_minute_never_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.source_on = rig.heartbeat = False
    for _ in range(30_000):
        rig.step()
        assert rig.mode in (Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.ARMED)
    assert rig.mode is Mode.ARMED and not rig.damping()


# Stops


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


# Words that must not count


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


# Hosts that stall


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


# Robot and policy faults: each threshold from both sides




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


def test_targets_late_then_lost(rig):
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    last, seen = rig.targets.t_ns, {}
    for _ in range(60):
        rig.step()
        for cause in rig.causes():
            seen.setdefault(cause, rig.now - last)
    assert 40 * MS < seen[Cause.TARGETS_LATE] <= 42 * MS
    assert 100 * MS < seen[Cause.TARGETS_LOST] <= 102 * MS
    assert rig.mode is Mode.DAMPED


@pytest.mark.parametrize(
    "bad",
    [
        {"healthy": False}, {"q": np.full(3, np.nan)}, {"kp": np.array([1.0, np.inf, 1.0])}, {"kd": np.zeros(4)},
        {"tilt_rp": np.array([0.0, np.nan])}, {"tilt_rp": np.zeros(3)},
    ],
)  # fmt: skip
@pytest.mark.parametrize("ticks, mode", [(2, Mode.ACTIVE), (3, Mode.DAMPED)])
def test_targets_invalid_three_times_damp(rig, bad, ticks, mode):
    rig.to(Mode.ACTIVE)
    rig.target_changes = bad
    last = rig.targets.seq
    rig.run(20 * ticks)
    assert rig.targets.seq - last == 10 * ticks
    assert rig.mode is mode and (Cause.TARGETS_INVALID in rig.causes()) == (mode is Mode.DAMPED)


@pytest.mark.parametrize("bad_of_ten, found", [(3, False), (4, True), (5, True)])
def test_a_policy_that_fails_again_and_again_is_found_though_never_thrice_in_a_row(rig, bad_of_ten, found):
    rig.to(Mode.ACTIVE)
    for tick in range(60):
        rig.target_changes = {"healthy": False} if tick % 10 in (0, 2, 4, 6, 8)[:bad_of_ten] else {}
        rig.run(20)
    assert (rig.mode is Mode.DAMPED) == found


def test_standby_takes_over_brings_back_to_stand_and_hands_back(rig):
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    last = rig.targets.t_ns
    while rig.mode is Mode.ACTIVE:
        rig.step()
        assert rig.now - last <= 82 * MS
    assert rig.mode is Mode.RETURN and rig.out.using_standby and rig.out.mode_cause == Cause.STANDBY_TOOK_OVER
    rig.run(5000)
    assert rig.mode is Mode.ARMED and not rig.damping() and rig.out.blocked_by == Cause.STANDBY_TOOK_OVER
    rig.policy_on = True
    rig.run(900)
    assert rig.out.using_standby
    rig.run(200)
    assert not rig.out.using_standby and rig.mode is Mode.ARMED
    rig.policy_on = rig.standby_on = False
    rig.run(200)
    assert rig.mode is Mode.DAMPED, "without a policy process nothing can balance"


@pytest.mark.parametrize("failure", ["silent", "broken"])
def test_a_standby_that_fails_hands_back_to_a_policy_that_is_well_again(rig, failure):
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    rig.run(100)
    assert rig.mode is Mode.RETURN and rig.out.using_standby
    rig.policy_on = True
    rig.run(40)
    assert rig.out.using_standby, "not in the middle of its work"
    if failure == "silent":
        rig.standby_on = False
        rig.run(200)
    else:
        for _ in range(10):
            rig.standby_on = False
            rig.standby = rig.standby._replace(t_ns=rig.now, q=np.full(3, np.nan))
            rig.run(20)
    assert rig.mode is Mode.RETURN and not rig.out.using_standby
    rig.policy_on = False
    rig.run(110)
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.TARGETS_LOST, "now no policy is left"


def test_a_tightened_loss_of_targets_still_lets_the_standby_come_first(rigs):
    rig = rigs(overrides={"targets_lost": 60.0})
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    rig.run(200)
    assert rig.mode is Mode.RETURN and rig.out.using_standby


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


# Kinds of robot-io


def test_a_restarted_robot_io_damps_from_the_first_tick_and_for_good(rigs):
    rig = rigs(damp_only=True)
    rig.robot_on = False
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping() and rig.out.blocked_by == Cause.RESTARTED
    rig.robot_on = True
    rig.run(3000)
    for act in (Act.RESET, Act.READY, Act.ARM):
        rig.write(act)
        rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping()


def test_dry_run_climbs_the_same_ladder_and_is_mute(rigs):
    rig = rigs(dryrun=True).to(Mode.ACTIVE)
    assert rig.out.mute


def test_shutdown_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.shutdown = True
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.SHUTDOWN


def test_latched_engage_stays_until_disengage(rigs):
    rig = rigs(latched_engage=True).to(Mode.ACTIVE)
    rig.press(False)
    rig.run(1000)
    assert rig.mode is Mode.ACTIVE and rig.out.engage_held
    rig.write(Act.DISENGAGE)
    rig.run(2000)
    assert rig.mode is Mode.ARMED
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


def test_every_cause_of_the_table_is_counted_when_it_begins(rig):
    rig.to(Mode.ACTIVE)
    for _ in range(3):
        rig.target_changes = {"reference_valid": False}
        rig.run(40)
        rig.target_changes = {}
        rig.run(40)
    assert rig.supervisor.cause_counts[Cause.SOURCE_INVALID] == 3


def test_causes_that_damp_are_cleared_by_a_person_only():
    for row in TABLE:
        if row.action is Action.DAMP:
            assert row.clear in (Clear.ON_RESET, Clear.NEVER), row.cause
