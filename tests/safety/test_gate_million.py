"""A million arbitrary ticks through the gate of the real G1: no command outside finite, box, rate, torque, whitelist.

The hypothesis tests look for the clever counterexample in a few steps; this one walks long, through every mode, with
values from sane to absurd, and judges each command by bounds computed here from the robot's own table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from teleopd.robots.model import Array, JointCommand, LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import Emit

MS = 1_000_000
N = MODEL.n
HARD = MODEL.limits_for(MODEL.default_mode_machine)
TAU, RATE = 0.9 * HARD.tau_max, 60.0
KP, KD = MODEL.kp_ready * 1.2, MODEL.kd_ready * 1.1
KP_MAX, KD_MAX = np.maximum(KP, MODEL.kp_ready), np.maximum.reduce([KD, MODEL.kd_ready, MODEL.kd_damp])
EMITS = (Emit.NOTHING, Emit.DAMP, Emit.READY_RAMP) + 9 * (Emit.POLICY,)
ABSURD = np.array([np.nan, np.inf, -np.inf, 1e300, -1e18, 101.0, 5e-324, -0.0])
CHUNK = 2_000


class Tick(NamedTuple):
    """One input of the gate."""

    emit: Emit
    q: Array
    kp: Array
    kd: Array
    state: LowState | None
    now_ns: int
    source: int


def ticks(seed: int, count: int) -> Iterator[Tick]:
    """Ticks about the robot's range, one in eight with something absurd in it, one in 64 of another shape or time."""
    rng, now_ns = np.random.default_rng(seed), 1_000 * MS
    span = HARD.q_upper - HARD.q_lower
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        wild = rng.integers(0, 64, size)
        emits = rng.choice(len(EMITS), size)
        q = HARD.q_lower + span * rng.uniform(-0.3, 1.3, (size, N))
        kp, kd = KP * rng.uniform(-0.2, 2.0, (size, N)), KD * rng.uniform(-0.2, 2.0, (size, N))
        # The measurement follows loosely, so that all of torque, rate and box are at work.
        mq = HARD.q_lower + span * rng.uniform(-0.1, 1.1, (size, N))
        mdq = rng.normal(0.0, 8.0, (size, N))
        for i in range(size):
            now_ns += int(rng.integers(-5 * MS, 60 * MS)) if wild[i] == 0 else 2 * MS
            values = [q[i], kp[i], kd[i], mq[i], mdq[i]]
            if wild[i] < 8:
                chosen = values[wild[i] % 5]
                chosen[rng.integers(0, N, 2)] = rng.choice(ABSURD, 2)
            if wild[i] == 9:
                values[0] = values[0][: rng.integers(0, N)]
            state = None if wild[i] == 10 else low_state(now_ns, values[3], values[4])
            yield Tick(EMITS[emits[i]], *values[:3], state, now_ns, int(wild[i] == 11))


def low_state(t_ns: int, q: Array, dq: Array) -> LowState:
    """A measurement of the joints; the gate reads nothing else of it."""
    zero = np.zeros(3)
    return LowState(
        t_ns=t_ns, tick=0, mode_machine=MODEL.default_mode_machine, q=q, dq=dq, tau=q, quat_w=zero, gyro_b=zero,
        accel_b=zero, temperature_c=q, motor_fault=np.zeros(N, np.uint32), remote=np.zeros(40, np.uint8),
        has_odometry=False, root_pos_w=zero, root_lin_vel_w=zero,
    )  # fmt: skip


class Judge:
    """Every bound, recomputed; a broken one is described with its tick."""

    def __init__(self) -> None:
        self.before: Array | None = None
        self.then_ns = 0
        self.moved = self.damped = 0

    def judge(self, tick: Tick, command: JointCommand) -> str:
        """What is wrong with this command; '' for nothing."""
        q, kp, kd = command.q, command.kp, command.kd
        if not np.isfinite(np.concatenate([q, kp, kd])).all() or command.dq.any() or command.tau.any():
            return "not finite, or with a velocity or torque of its own"
        if (q < HARD.q_lower).any() or (q > HARD.q_upper).any():
            return "outside the joint box"
        if (kp < 0).any() or (kp > KP_MAX).any() or (kd < 0).any() or (kd > KD_MAX).any():
            return "gains that are not on the whitelist"
        state, elapsed_ns = tick.state, tick.now_ns - self.then_ns
        self.then_ns = tick.now_ns
        known = state is not None and bool((np.abs(state.q) < 100.0).all() and (np.abs(state.dq) < 1000.0).all())
        if not known or tick.emit < Emit.READY_RAMP:
            self.before, self.damped = None, self.damped + 1
            return "a position gain without a measurement or a mode" if kp.any() else ""
        assert state is not None
        if (np.abs(kp * (q - state.q) - kd * state.dq) > TAU * (1 + 1e-9) + 1e-9).any():
            return "more torque than permitted"
        before, self.before = self.before, q.copy()
        self.moved += bool(kp.any())
        allowed = RATE * min(max(elapsed_ns, 0), 10 * MS) / 1e9 + 1e-12
        if before is not None and (np.abs(q - before) > allowed).any():
            return "faster than permitted"
        return ""


def walk(seed: int, count: int) -> Judge:
    """So many ticks through one gate, each judged."""
    gate, judge = Gate(SafetyLimits.of(MODEL, kp=KP, kd=KD), MODEL), Judge()
    for number, tick in enumerate(ticks(seed, count)):
        command = gate.step(tick.emit, tick.q, tick.kp, tick.kd, tick.state, tick.now_ns, tick.source)
        wrong = judge.judge(tick, command)
        assert not wrong, f"seed {seed}, tick {number}: {wrong}"
    return judge


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_no_command_of_a_long_walk_is_outside_any_bound(count: int):
    judged = walk(int(os.environ.get("SEED", "0")), count)
    assert judged.moved > count // 4 and judged.damped > count // 20, "both kinds of answer were seen"


def test_the_judge_sees_a_gate_without_a_torque_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Gate, "_bound_torque", lambda *_: None)
    with pytest.raises(AssertionError, match="more torque than permitted"):
        walk(0, 5_000)


def test_the_judge_sees_a_rate_box_that_grows_with_a_long_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("teleopd.safety.gate.LONGEST_DT_S", 1.0)
    with pytest.raises(AssertionError, match="faster than permitted"):
        walk(0, 20_000)
