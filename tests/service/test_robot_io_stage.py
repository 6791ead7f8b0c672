"""Supervisor, gate and link in one stage, with the virtual robot in this process and no policy but a standing one."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.model import LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.supervisor import Emit
from teleopd.safety.words import Act, Cause, Mode

from .robot_io_rig import TICK_NS, N, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nothing_is_sent_before_idle(rig: Rig):
    rig.run(0.08)
    assert rig.mode is Mode.CHECK
    assert rig.sent == []
    rig.run(0.2)
    assert rig.mode is Mode.IDLE
    assert not rig.sent[-1].kp.any()
    assert rig.sent[-1].kd.tobytes() == MODEL.kd_damp.tobytes()


def test_ready_walks_from_where_the_robot_is_to_the_stand_pose(rig: Rig):
    rig.run(0.3)
    assert rig.mode is Mode.IDLE
    before = rig.tick.state
    assert before is not None
    q_before = before.q.copy()
    rig.ask(Act.READY)
    rig.run(0.004)
    assert rig.mode is Mode.READY
    assert np.abs(rig.sent[-1].q - q_before).max() < 0.05, "no jump"
    rig.run(3.2)
    assert rig.tick.output.ready_to_arm
    assert np.abs(rig.sent[-1].q - MODEL.q_stand).max() < 1e-6


def test_status_says_what_was_done(rig: Rig):
    rig.to_armed()
    status = rig.tick.status
    assert (status.mode, status.mode_cause) == (int(Mode.ARMED), -1)
    assert (status.t_ns, status.tick) == (rig.now - TICK_NS, (rig.now - 10**9) // TICK_NS)
    assert rig.targets is not None
    assert status.targets_seq == rig.targets.seq
    assert status.q_command.tobytes() == rig.sent[-1].q.tobytes()


def test_new_targets_are_reported_once(rig: Rig):
    rig.to_armed()
    used = []
    for _ in range(3):
        rig.run(0.002)
        used.append(rig.tick.used)
        rig.run(0.018, policy=False)
        assert rig.tick.used is None
    assert all(targets is not None for targets in used)
    assert len({targets.seq for targets in used if targets is not None}) == 3


@pytest.mark.parametrize("part", ["q", "kp", "kd", "shape"])
def test_unsound_targets_repeat_the_last_command_and_then_damp(rig: Rig, part: str):
    rig.to_armed()
    last = rig.sent[-1].q.copy()
    bad = {"shape": np.zeros(3)}.get(part, np.full(N, np.nan))
    rig.targets = rig.standing_targets(**{"q" if part == "shape" else part: bad})
    rig.run(0.002, policy=False)
    assert rig.mode is Mode.ARMED
    assert np.abs(rig.sent[-1].q - last).max() < 0.12
    for _ in range(3):
        rig.targets = rig.standing_targets(**{"q" if part == "shape" else part: bad})
        rig.run(0.02, policy=False)
    assert rig.mode is Mode.DAMPED
    assert rig.tick.status.mode_cause == Cause.TARGETS_INVALID
    sent = np.array([np.concatenate((c.q, c.dq, c.tau, c.kp, c.kd)) for c in rig.sent])
    assert np.isfinite(sent).all()


def test_a_silent_policy_without_a_twin_damps_within_its_time(rig: Rig):
    rig.to_armed()
    assert rig.targets is not None
    silent_since = rig.targets.t_ns
    while rig.mode is Mode.ARMED:
        rig.run(0.002, policy=False)
    assert rig.mode is Mode.DAMPED
    assert rig.tick.status.mode_cause == Cause.TARGETS_LOST
    assert 100 <= (rig.now - TICK_NS - silent_since) / 1e6 <= 104


def test_shutdown_damps_from_any_mode(rig: Rig):
    rig.to_armed()
    rig.shutdown = True
    rig.run(0.002)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.SHUTDOWN)
    assert rig.tick.output.emit is Emit.DAMP
    assert not rig.sent[-1].kp.any()


def test_a_replacement_only_damps_whatever_is_asked():
    rig = Rig(damp_only=True)
    for act in (Act.RESET, Act.READY, Act.ARM):
        rig.ask(act)
        rig.run(2.1)
        assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.RESTARTED)
    assert rig.sent
    assert not any(command.kp.any() for command in rig.sent[-50:])


def test_a_dry_run_sends_nothing():
    rig = Rig(dryrun=True)
    rig.to_armed()
    assert rig.sent == []


def test_an_unsound_state_is_damped_not_followed(rig: Rig):
    rig.to_armed()
    read = rig.link.read

    def broken() -> LowState | None:
        state = read()
        return None if state is None else state._replace(t_ns=rig.now, q=np.full(N, np.nan))

    rig.link.read = broken  # type: ignore[method-assign]
    rig.run(0.1)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.STATE_INVALID)
    assert np.isfinite(rig.sent[-1].q).all()


@pytest.mark.parametrize("future", [False, True])
def test_a_report_that_comes_late_or_from_the_future_is_neither_judged_nor_used(rig: Rig, future: bool):
    """What the gate bounds by is what the supervisor has judged."""
    rig.to_armed()
    read, late_ns = rig.link.read, rig.now - 10**7

    def odd() -> LowState | None:
        state, stamp_ns = read(), rig.now + 6 * 10**7 if future else late_ns
        return None if state is None else state._replace(t_ns=stamp_ns, q=np.full(N, np.nan))

    rig.link.read = odd  # type: ignore[method-assign]
    rig.run(0.01)
    assert rig.mode is Mode.ARMED and rig.sent[-1].kp.any()
    rig.run(0.05)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.STATE_LOST)


def test_a_process_that_fails_leaves_damping_not_a_live_target(rig: Rig):
    rig.to_armed()
    assert rig.sent[-1].kp.any()
    rig.stage.give_up(rig.now)
    assert not rig.sent[-1].kp.any() and rig.sent[-1].kd.all()
    count = len(rig.sent)
    rig.link.write = lambda _command: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    rig.stage.give_up(rig.now)
    assert len(rig.sent) == count


@pytest.mark.parametrize("ms, config", [(0, {}), (50, {}), (300, {"dryrun": True})])
def test_a_process_that_fails_before_it_sends_says_nothing(ms: int, config: dict[str, bool]):
    rig = Rig(**config)
    rig.run(ms / 1e3)
    rig.stage.give_up(rig.now)
    assert rig.sent == []
