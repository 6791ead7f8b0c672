"""What `teleop serve` does as an operator, on injected time."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.launch.operator_script import (
    DAMP_TAIL_NS,
    ENGAGE_AFTER_NS,
    PRESS_NS,
    PRESS_PERIOD_NS,
    REPEAT_NS,
    SILENT_NS,
    Gantry,
    OperatorScript,
    Step,
)
from teleopd.safety.words import Act, Cause, Mode, SafetyStatus

S = 1_000_000_000
MS = 1_000_000
START = 100 * S
BALANCING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)


def status(
    mode: Mode, now_ns: int, *, since_ns: int | None = None, ready_to_arm: bool = False, stopped: bool = False
) -> SafetyStatus:
    causes = 1 << Cause.OPERATOR_STOP if stopped else 0
    return SafetyStatus(
        now_ns, 1, int(mode), now_ns if since_ns is None else since_ns, -1, 0, causes, np.zeros(32, np.uint32),
        np.zeros(8, np.uint32), np.zeros(3, np.uint32), False, ready_to_arm, -1, 0, np.zeros(3), 0,
    )  # fmt: skip


def script(*, auto: bool = True, virtual: bool = True, countdown_s: float = 0.6) -> OperatorScript:
    return OperatorScript(auto_engage=auto, virtual=virtual, countdown_s=countdown_s)


def test_it_climbs_the_ladder_one_act_at_a_time():
    s = script()
    assert s.step(None, START) == Step()
    assert s.step(status(Mode.BOOT, START), START) == Step()
    assert s.step(status(Mode.CHECK, START), START) == Step()
    assert s.step(status(Mode.IDLE, START), START) == Step(Act.READY)
    assert s.step(status(Mode.READY, START), START) == Step(), "the ramp still runs"
    assert s.step(status(Mode.READY, START, ready_to_arm=True), START) == Step(Act.ARM)
    assert s.step(status(Mode.ARMED, START), START) == Step(gantry=Gantry.RELEASE)


def test_an_act_without_effect_is_repeated_but_not_hurried():
    s = script()
    asked = [s.step(status(Mode.IDLE, t), t).act for t in range(START, START + 2 * S, 50 * MS)]
    times = [i * 50 * MS for i, act in enumerate(asked) if act is Act.READY]
    assert times == [0, REPEAT_NS, 2 * REPEAT_NS, 3 * REPEAT_NS]
    assert set(asked) == {Act.READY, Act.NONE}


def test_it_presses_again_and_again_once_the_robot_stands_freely():
    s = script()
    held = {
        ms: s.step(status(Mode.ARMED, START + ms * MS, since_ns=START), START + ms * MS).engage_held
        for ms in range(0, 4000, 10)
    }  # fmt: skip
    first = ENGAGE_AFTER_NS // MS
    assert not any(on for ms, on in held.items() if ms <= first)
    assert held[first + 10]
    presses = sum(1 for ms in range(10, 4000, 10) if held[ms] and not held[ms - 10])
    assert presses == 1 + (4000 - first - 10) // (PRESS_PERIOD_NS // MS)
    assert sum(held.values()) * 10 <= (presses + 0.1) * PRESS_NS / MS


def test_it_keeps_holding_while_the_robot_follows_or_waits_for_the_stream():
    s = script()
    for mode in (Mode.ACTIVE, Mode.HOLD):
        assert s.step(status(mode, START), START) == Step(engage_held=True, gantry=Gantry.RELEASE)


def test_after_a_return_it_lets_go_and_presses_anew():
    s = script()
    assert s.step(status(Mode.ACTIVE, START), START).engage_held
    assert not s.step(status(Mode.RETURN, START + S), START + S).engage_held
    back = START + 2 * S
    assert not s.step(status(Mode.ARMED, back), back).engage_held
    later = back + ENGAGE_AFTER_NS + 10 * MS
    assert s.step(status(Mode.ARMED, later, since_ns=back), later).engage_held


@pytest.mark.parametrize("mode", list(Mode))
def test_without_auto_engage_it_asks_for_nothing(mode: Mode):
    now = START + 5 * S
    step = script(auto=False).step(status(mode, now, since_ns=START, ready_to_arm=True), now)
    assert (step.act, step.engage_held) == (Act.NONE, False)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_robot_that_has_not_proved_to_be_virtual_is_not_engaged(mode: Mode):
    now = START + ENGAGE_AFTER_NS + 10 * MS
    step = script().step(status(mode, now, since_ns=START, ready_to_arm=True), now, proven=False)
    assert (step.act, step.engage_held) == (Act.NONE, False)


@pytest.mark.parametrize("auto", [True, False])
def test_only_a_virtual_gantry_is_worked_and_only_under_a_balancing_policy(auto: bool):
    for mode in Mode:
        released = script(auto=auto).step(status(mode, START), START).gantry
        assert released is (Gantry.RELEASE if mode in BALANCING else Gantry.LEAVE)
        assert script(auto=auto, virtual=False).step(status(mode, START), START).gantry is Gantry.LEAVE


def test_a_robot_that_proves_itself_later_has_its_gantry_worked_from_then_on():
    found = script(auto=False, virtual=False, countdown_s=10.0)
    assert not found.virtual
    found.found_virtual(0.6)
    assert found.virtual
    assert found.step(status(Mode.ARMED, START), START).gantry is Gantry.RELEASE
    seen = walk_down(found, Mode.ACTIVE)
    expected = walk_down(script(auto=False, virtual=True, countdown_s=0.6), Mode.ACTIVE)
    assert seen == expected and any(gantry is Gantry.HANG for _, _, gantry in seen)


def walk_down(s: OperatorScript, start: Mode, *, answers: bool = True) -> list[tuple[int, Act, Gantry]]:
    """Ask for the end in a mode and play the robot until the script is done: [(ms, act, gantry)] where not nothing."""
    mode, since, stopped, seen = start, START, False, []
    s.ask_end()
    for ms in range(0, 60_000, 50):
        now = START + ms * MS
        step = s.step(status(mode, now, since_ns=since, stopped=stopped), now)
        if s.ended:
            return seen
        if step.act is not Act.NONE or step.gantry is not Gantry.LEAVE:
            seen.append((ms, step.act, step.gantry))
        if not answers:
            continue
        if step.act is Act.STOP:
            assert not stopped, "a second stop damps"
            stopped = True
            if mode in (Mode.ACTIVE, Mode.HOLD):
                mode, since = Mode.RETURN, now
        elif step.act is Act.DAMP:
            mode, since = Mode.DAMPED, now
        elif mode is Mode.RETURN and now - since >= 1200 * MS:
            mode, since = Mode.ARMED, now
    raise AssertionError(f"never ended; stands in {mode.name}")


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.HOLD])
def test_the_end_returns_to_stand_hangs_the_robot_and_then_damps(mode: Mode):
    s = script(countdown_s=0.6)
    seen = walk_down(s, mode)
    acts = [(ms, act) for ms, act, _ in seen if act is not Act.NONE]
    armed = 1250  # RETURN is entered at 0 ms, seen over at 1200 ms and ARMED seen at 1250 ms
    assert acts == [(0, Act.STOP), (armed + 650, Act.DAMP)]
    hung = [ms for ms, _, gantry in seen if gantry is Gantry.HANG]
    assert hung[0] == armed + 350, "well before it is damped"
    assert s.ending


def test_a_real_robot_stands_for_the_countdown_and_no_gantry_is_worked():
    seen = walk_down(script(auto=False, virtual=False, countdown_s=10.0), Mode.ACTIVE)
    assert [(ms, act) for ms, act, _ in seen] == [(0, Act.STOP), (1250 + 10_050, Act.DAMP)]
    assert {gantry for _, _, gantry in seen} == {Gantry.LEAVE}


@pytest.mark.parametrize("mode", [Mode.ARMED, Mode.RETURN])
def test_nobody_engages_a_robot_that_is_about_to_be_damped(mode: Mode):
    acts = [act for _, act, _ in walk_down(script(), mode) if act is not Act.NONE]
    assert acts == [Act.STOP, Act.DAMP], "a soft stop in force keeps ARMED from being engaged"


@pytest.mark.parametrize("mode", BALANCING)
def test_a_stop_already_in_force_is_not_doubled(mode: Mode):
    s = script()
    s.ask_end()
    assert s.step(status(mode, START, stopped=True), START) == Step()


@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.READY])
def test_the_end_damps_a_carried_robot_at_once(mode: Mode):
    assert [(ms, act) for ms, act, _ in walk_down(script(), mode)] == [(0, Act.DAMP)]


@pytest.mark.parametrize("mode", [Mode.BOOT, Mode.CHECK, Mode.DRYRUN])
def test_the_end_needs_nothing_where_nothing_is_sent(mode: Mode):
    assert walk_down(script(), mode) == []


def test_the_end_before_robot_io_speaks_is_at_once():
    s = script()
    s.step(None, START)
    assert s.ended is False
    s.ask_end()
    s.step(None, START + MS)
    assert s.ended is True


def test_damping_streams_for_a_while_before_the_end():
    s = script()
    s.ask_end()
    for ms in range(0, DAMP_TAIL_NS // MS, 50):
        assert s.step(status(Mode.DAMPED, START + ms * MS), START + ms * MS) == Step()
        assert not s.ended, ms
    s.step(status(Mode.DAMPED, START + DAMP_TAIL_NS), START + DAMP_TAIL_NS)
    assert s.ended


@pytest.mark.parametrize("mode", [Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.ARMED])
def test_the_second_ctrl_c_damps_now(mode: Mode):
    s = script()
    s.ask_end()
    assert s.step(status(mode, START), START).act is not Act.DAMP
    s.ask_end()
    assert s.step(status(mode, START + MS), START + MS) == Step(Act.DAMP, gantry=Gantry.HANG)


def test_the_end_lets_the_deadman_go():
    s = script()
    assert s.step(status(Mode.ACTIVE, START), START).engage_held
    s.ask_end()
    assert not s.step(status(Mode.ACTIVE, START), START).engage_held


def test_a_motor_process_that_fell_silent_is_not_waited_for():
    s = script()
    last = status(Mode.ACTIVE, START)
    s.step(last, START + SILENT_NS + MS)
    assert not s.ended, "nobody asked for the end"
    s.ask_end()
    assert s.step(last, START + SILENT_NS).act is Act.STOP
    assert not s.ended
    s.step(last, START + SILENT_NS + 1)
    assert s.ended


def test_a_robot_with_a_ladder_of_its_own_is_left_standing():
    """Over LCM the bridge balances it: an ordinary end here is no reason to damp it there; a second Ctrl-C is."""
    s = OperatorScript(auto_engage=False, virtual=False, countdown_s=10.0, leaves=True)
    s.ask_end()
    assert s.step(status(Mode.ACTIVE, START), START).act is Act.STOP and not s.ended
    assert s.step(status(Mode.RETURN, START, stopped=True), START).act is Act.NONE and not s.ended
    assert s.step(status(Mode.ARMED, START, stopped=True), START).act is Act.NONE and not s.ended
    later = START + 50 * MS
    assert s.step(status(Mode.ARMED, later, stopped=True), later).act is Act.NONE and s.ended
    for mode in (Mode.IDLE, Mode.READY):
        s = OperatorScript(auto_engage=False, virtual=False, countdown_s=10.0, leaves=True)
        s.ask_end()
        assert s.step(status(mode, START), START).act is Act.NONE and s.ended
    s = OperatorScript(auto_engage=False, virtual=False, countdown_s=10.0, leaves=True)
    s.ask_end()
    s.ask_end()
    assert s.step(status(Mode.ACTIVE, START), START).act is Act.DAMP
    s = OperatorScript(auto_engage=True, virtual=False, countdown_s=10.0, leaves=True)
    s.found_virtual(0.6)
    s.ask_end()
    assert s.step(status(Mode.READY, START), START) == Step(Act.DAMP, gantry=Gantry.HANG), "it stands on us alone"
