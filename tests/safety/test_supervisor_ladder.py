"""The ladder, told as stories with injected time."""

from __future__ import annotations

import pytest

from teleopd.safety.words import Act, Cause, Mode

MS = 1_000_000
LADDER = (Mode.BOOT, Mode.CHECK, Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.DAMPED)

ACTS_TABLE = {
    # mode: what each act leads to; an act not listed is refused and changes nothing
    Mode.BOOT: {Act.STOP: Mode.BOOT, Act.DAMP: Mode.BOOT},  # noted: the ladder begins damped
    Mode.CHECK: {Act.STOP: Mode.CHECK, Act.DAMP: Mode.CHECK},
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
