"""How the gate enters: from where the robot is, by a blend of position and gains, whoever commands next."""

from __future__ import annotations

import numpy as np
import pytest
from tests.safety.conftest import KD, KP, state
from tests.safety.test_gate import LIMITS, MODEL, MS, Q0, Z, fresh, values

from teleopd.safety.gate import BLEND_S, GATE_STEPS, Gate
from teleopd.safety.supervisor import Emit


def test_after_damping_the_policy_enters_from_the_measured_pose_with_no_gain():
    gate, now = fresh()
    gate.step(Emit.DAMP, Z, Z, Z, state(now), now)
    now += 2 * MS
    elsewhere = np.array([0.5, 0.1, 0.2])
    q, kp, _ = values(gate.step(Emit.POLICY, Q0, KP, KD, state(now, q=elsewhere), now))
    assert q == pytest.approx(elsewhere) and kp == pytest.approx(0.0)


def test_the_policy_is_entered_by_a_blend_of_position_and_gains():
    gate, now = Gate(LIMITS, MODEL), 1_000 * MS
    gate.step(Emit.READY_RAMP, Q0, MODEL.kp_ready, MODEL.kd_ready, state(now), now)
    now += 2 * MS
    want, start, gained = Q0 + np.array([0.2, 0.0, 0.0]), now, {}
    while now - start <= BLEND_S * 1e9 + 4 * MS:
        out = gate.step(Emit.POLICY, want, KP, KD, state(now), now)
        gained[now - start] = (out.q[0] - Q0[0], out.kp[0])
        now += 2 * MS
    assert gained[0] == pytest.approx((0.0, 60.0))
    assert gained[200 * MS] == pytest.approx((0.1, 80.0))
    assert gained[100 * MS] == pytest.approx((0.2 * 0.15625, 60 + 40 * 0.15625))
    assert gained[400 * MS] == pytest.approx((0.2, 100.0))
    assert gate.step_counts[GATE_STEPS.index("blend")] == 200


def test_the_blend_begins_at_the_first_instant_of_the_clock_too():
    gate = Gate(LIMITS, MODEL)
    _, kp, kd = values(gate.step(Emit.POLICY, Q0, KP, KD, state(1), 0))
    assert not kp.any() and (kd == np.minimum(MODEL.kd_damp, LIMITS.kd_max)).all()


@pytest.mark.parametrize("now", [1_000 * MS, 200 * MS])
def test_a_clock_that_goes_back_ends_the_blend(now):
    gate = Gate(LIMITS, MODEL)
    gate.step(Emit.POLICY, Q0, KP, KD, state(now), now)
    blended = gate.step_counts[GATE_STEPS.index("blend")]
    for back in (100 * MS, 90 * MS):
        out = gate.step(Emit.POLICY, Q0, KP, KD, state(now), now - back)
        assert (out.kp == KP).all() and gate.step_counts[GATE_STEPS.index("blend")] == blended


def test_the_ramp_is_not_blended_whatever_the_clock_says():
    gate = Gate(LIMITS, MODEL)
    out = gate.step(Emit.READY_RAMP, Q0, MODEL.kp_ready, MODEL.kd_ready, state(2 * MS), 2 * MS)
    assert (out.kp == MODEL.kp_ready).all() and not gate.step_counts[GATE_STEPS.index("blend")]


def test_a_policy_enters_anew_by_a_blend_after_a_tick_without_a_state():
    gate, now = fresh()
    for _ in range(2):
        now += 2 * MS
        lost = gate.step(Emit.POLICY, Q0, KP, KD, None, now)
        assert not lost.kp.any()
    now += 2 * MS
    assert gate.step(Emit.POLICY, Q0, KP, KD, state(now), now).kp == pytest.approx(0.0)


def test_a_blend_that_lost_the_state_does_not_go_on_in_the_ramp():
    gate, now = Gate(LIMITS, MODEL), 1_000 * MS
    gate.step(Emit.POLICY, Q0, KP, KD, state(now), now)
    gate.step(Emit.READY_RAMP, Q0, KP, KD, None, now + 2 * MS)
    blended = gate.step_counts[GATE_STEPS.index("blend")]
    out = gate.step(Emit.READY_RAMP, Q0, KP, KD, state(now + 4 * MS), now + 4 * MS)
    assert (out.kp == KP).all() and gate.step_counts[GATE_STEPS.index("blend")] == blended


def test_another_policy_enters_by_a_blend_too():
    gate, now = fresh()
    out = gate.step(Emit.POLICY, Q0 + 0.1, KP, KD, state(now), now, source=1)
    assert out.q == pytest.approx(Q0)
