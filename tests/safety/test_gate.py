"""The gate: whatever goes in, what comes out is finite, inside the box, the rate, the torque and the whitelist."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.safety.conftest import KD, KP, MACHINE, N, make_model, state

from teleopd.robots.model import JointCommand, JointLimits, claim_seal
from teleopd.safety.gate import GATE_STEPS, Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import Emit

MS = 1_000_000
MODEL = make_model()
LIMITS = SafetyLimits.of(MODEL, kp=KP, kd=KD)
HARD = MODEL.limits_by_mode_machine[MACHINE]
TAU = 0.9 * HARD.tau_max
RATE = 60.0
Q0 = np.array([-0.3, 0.6, -0.3])
Z = np.zeros(N)


def fresh(q=Q0, limits=LIMITS) -> tuple[Gate, int]:
    """A gate that follows a policy at `q`, its entry blend over."""
    gate, now = Gate(limits, MODEL), 1_000 * MS
    for _ in range(210):
        gate.step(Emit.POLICY, q, KP, KD, state(now, q=q), now)
        now += 2 * MS
    return gate, now


def values(command: JointCommand) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert not command.dq.any() and not command.tau.any()
    return command.q.copy(), command.kp.copy(), command.kd.copy()


anything = st.floats(allow_nan=True, allow_infinity=True, width=64)
plausible = st.floats(-4.0, 4.0)
vectors = st.one_of(
    hnp.arrays(np.float64, N, elements=plausible),
    hnp.arrays(np.float64, N, elements=anything),
    hnp.arrays(np.float64, st.integers(0, 5), elements=plausible),
    hnp.arrays(np.float32, N, elements=st.floats(-4.0, 4.0, width=32)),
    st.just(np.array(["a", "b", "c"])),
)
gains = st.one_of(hnp.arrays(np.float64, N, elements=st.floats(-10.0, 500.0)), vectors)
measured_q = st.one_of(hnp.arrays(np.float64, N, elements=plausible), hnp.arrays(np.float64, N, elements=anything))
measured_dq = st.one_of(
    hnp.arrays(np.float64, N, elements=st.floats(-40.0, 40.0)), hnp.arrays(np.float64, N, elements=anything)
)
steps = st.lists(
    st.tuples(
        st.sampled_from([Emit.NOTHING, Emit.DAMP, Emit.READY_RAMP, Emit.POLICY, Emit.POLICY, Emit.POLICY]),
        vectors, gains, gains, measured_q, measured_dq, st.integers(-1_000 * MS, 1_000 * MS), st.integers(0, 1),
    ),
    max_size=12,
)  # fmt: skip


@given(steps, st.sampled_from([1.0, 0.9]))
def test_p1_any_input_gives_a_bounded_command(sequence, share):
    limits = SafetyLimits.of(MODEL, kp=KP, kd=KD, overrides={"joint_range": share})
    gate, now, before = Gate(limits, MODEL), 1_000 * MS, None
    kp_max, kd_max = np.maximum(KP, MODEL.kp_ready), np.maximum(KD, MODEL.kd_damp)
    for emit, q, kp, kd, mq, mdq, dt, source in sequence:
        now += dt
        out_q, out_kp, out_kd = values(gate.step(emit, q, kp, kd, state(now, q=mq, dq=mdq), now, source))
        assert np.isfinite([out_q, out_kp, out_kd]).all()
        assert (out_q >= HARD.q_lower).all() and (out_q <= HARD.q_upper).all()
        assert (out_kp >= 0).all() and (out_kp <= kp_max).all() and (out_kd >= 0).all() and (out_kd <= kd_max).all()
        possible = bool((np.abs(mq) < 100.0).all() and (np.abs(mdq) < 1000.0).all())  # False for NaN too
        if not possible:
            assert not out_kp.any() and (out_kd == MODEL.kd_damp).all()
        elif emit < Emit.READY_RAMP:
            assert not out_kp.any() and (out_kd <= MODEL.kd_damp).all()
            gentle = MODEL.kd_damp * np.abs(mdq) < 0.999 * TAU
            assert (out_kd[gentle] == MODEL.kd_damp[gentle]).all()
            assert (np.abs(out_kd * mdq) <= TAU).all() and (np.abs(out_kd * mdq)[~gentle] >= 0.998 * TAU[~gentle]).all()
        if not possible or emit < Emit.READY_RAMP:  # damping has no position to hold to a rate
            before = None
            continue
        tau = out_kp * (out_q - mq) - out_kd * mdq
        assert (np.abs(tau) <= TAU * (1 + 1e-9) + 1e-9).all()
        if before is not None:
            allowed = RATE * min(max(dt, 0), 10 * MS) / 1e9
            assert (np.abs(out_q - before) <= allowed + 1e-12).all()
        before = out_q


@given(st.lists(hnp.arrays(np.float64, N, elements=st.floats(-0.05, 0.05)), min_size=20, max_size=40))
@settings(max_examples=30)
def test_p8_what_needs_no_bounding_passes_unchanged(offsets):
    gate, now = fresh()
    for offset in offsets:
        q = Q0 + offset
        got, kp, kd = values(gate.step(Emit.POLICY, q, KP, KD, state(now), now))
        assert (got == q).all() and (kp == KP).all() and (kd == KD).all()
        now += 2 * MS
    assert not gate.joint_counts.any() and not gate.step_counts[[0, 2, 3, 4, 5, 6, 7]].any()


@pytest.mark.parametrize("joint", range(N))
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_box_boundary(joint, side, steps):
    """Expected answer written by comparison, not by clipping."""
    edge = (HARD.q_upper if side > 0 else HARD.q_lower)[joint]
    start = Q0.copy()
    start[joint] = edge - side * 0.01
    gate, now = fresh(start)
    want = start.copy()
    want[joint] = edge + side * steps * 1e-3
    got = gate.step(Emit.POLICY, want, KP, KD, state(now, q=start), now).q[joint]
    outside = side * (want[joint] - edge) > 0
    assert got == (edge if outside else want[joint])
    assert gate.step_counts[GATE_STEPS.index("box")] == outside
    assert gate.step_counts[GATE_STEPS.index("rate")] == 0
    assert gate.joint_counts[joint] == outside


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_rate_boundary_is_anchored_on_the_last_emitted_not_on_the_measured(side, steps):
    gate, now = fresh()
    measured = Q0 - side * np.array([0.2, 0.0, 0.0])
    want = Q0 + side * np.array([0.120 + steps * 1e-3, 0.0, 0.0])
    got = gate.step(Emit.POLICY, want, KP, KD, state(now, q=measured), now).q[0]
    over = steps > 0
    expected = Q0[0] + side * 0.120 if over else want[0]
    assert got == pytest.approx(expected, abs=1e-12)
    assert gate.step_counts[GATE_STEPS.index("rate")] == over
    assert gate.step_counts[GATE_STEPS.index("box")] == 0


def test_the_first_command_is_where_the_robot_is_however_far_the_target():
    gate = Gate(LIMITS, MODEL)
    out = gate.step(Emit.READY_RAMP, Q0 + 0.5, MODEL.kp_ready, MODEL.kd_ready, state(1_000 * MS, q=Q0), 1_000 * MS)
    assert (out.q == Q0).all()


@pytest.mark.parametrize("pause_ms, reach", [(0, 0.0), (-5, 0.0), (4, 0.24), (10, 0.6), (12, 0.6), (5000, 0.6)])
def test_the_rate_box_grows_with_time_up_to_10_ms(pause_ms, reach):
    gate, now = fresh()
    now += (pause_ms - 2) * MS
    got = gate.step(Emit.POLICY, Q0 + 1.2, np.full(N, 1.0), KD, state(now), now).q[0]
    assert got - Q0[0] == pytest.approx(reach, abs=1e-12)


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("dq", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_torque_boundary(steps, dq, side):
    """Joint 1: kp 150, kd 4, bound 0.9 x 50 = 45 N m."""
    gate, now = fresh()
    limit = (45.0 + 4.0 * dq * side) / 150.0
    for i in range(6):
        want = Q0 + side * np.array([0.0, (limit + steps * 1e-3) * min(1.0, (i + 1) / 5), 0.0])
        out = gate.step(Emit.POLICY, want, KP, KD, state(now, dq=np.array([0.0, dq, 0.0])), now)
        now += 2 * MS
    over = steps > 0
    assert side * (out.q[1] - Q0[1]) == pytest.approx(limit if over else limit + steps * 1e-3, abs=1e-8)
    assert gate.step_counts[GATE_STEPS.index("torque")] >= over
    assert gate.step_counts[GATE_STEPS.index("gain_scale")] == 0
    assert out.kp[1] == 150.0


def test_gains_are_scaled_where_no_position_keeps_the_torque_bound():
    """The joint is 1 rad beyond its range's end: even the end itself asks for 40 x 1 = 40 > 18 N m."""
    gate, now = fresh(np.array([-0.3, 0.6, 0.5]))
    out = gate.step(Emit.POLICY, np.array([-0.3, 0.6, 0.5]), KP, KD, state(now, q=np.array([-0.3, 0.6, 1.5])), now)
    assert out.kp[2] * (1.5 - out.q[2]) == pytest.approx(18.0, rel=1e-6)
    assert out.kp[2] < 40.0 and out.kd[2] / 2.0 == pytest.approx(out.kp[2] / 40.0)
    assert (out.kp[:2] == KP[:2]).all()
    assert gate.step_counts[GATE_STEPS.index("gain_scale")] == 1


def test_damping_alone_is_torque_bounded_when_there_is_no_position_gain():
    gate, now = fresh()
    out = gate.step(Emit.POLICY, Q0, np.zeros(N), KD, state(now, dq=np.array([0.0, 0.0, 30.0])), now)
    assert out.kd[2] * 30.0 == pytest.approx(18.0, rel=1e-6)


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_whitelist_boundary(steps):
    gate, now = fresh()
    out = gate.step(Emit.POLICY, Q0, KP + steps, KD + steps, state(now), now)
    assert (out.kp == (KP if steps > 0 else KP + steps)).all()
    # The damping command's 8 N m s/rad is on the whitelist too.
    assert (out.kd == np.maximum(KD + steps, 0.0)).all()
    assert gate.step_counts[GATE_STEPS.index("whitelist")] == (steps > 0)


@pytest.mark.parametrize("low, high", [(-1.0, 0.0), (9.0, 8.0)])
def test_damping_gain_whitelist(low, high):
    gate, now = fresh()
    assert gate.step(Emit.POLICY, Q0, KP, np.full(N, low), state(now), now).kd == pytest.approx(high)


@pytest.mark.parametrize(
    "bad",
    [np.full(N, np.nan), np.array([0.0, np.inf, 0.0]), np.zeros(2), np.zeros((N, 1)), np.zeros(0), None, [0.0] * N,
     np.zeros(N, dtype=int)],
)  # fmt: skip
@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_finite_or_misshapen_repeats_the_last_command(bad, which):
    gate, now = fresh()
    last = values(gate.step(Emit.POLICY, Q0 + 0.01, KP, KD, state(now), now))
    now += 2 * MS
    wanted = [Q0 + 0.1, KP, KD]
    wanted[which] = bad
    again = values(gate.step(Emit.POLICY, *wanted, state(now), now))
    assert all((a == b).all() for a, b in zip(again, last, strict=True))
    assert gate.step_counts[GATE_STEPS.index("not_finite")] == 1


@pytest.mark.parametrize(
    "bad",
    [None, {"q": np.full(N, np.nan)}, {"dq": np.full(N, np.inf)}, {"q": np.zeros(N + 1)}, {"dq": np.zeros(N + 1)},
     {"q": np.full(N, 100.0)}, {"dq": np.full(N, -1000.0)}],
)  # fmt: skip
@pytest.mark.parametrize(("emit", "refused"), [(Emit.POLICY, 1), (Emit.READY_RAMP, 1), (Emit.DAMP, 0)])
def test_without_a_possible_state_the_answer_is_damping(bad, emit, refused):
    gate, now = fresh()
    measured = None if bad is None else state(now, **bad)
    q, kp, kd = values(gate.step(emit, Q0, KP, KD, measured, now))
    assert not kp.any() and (kd == MODEL.kd_damp).all() and (q == Q0).all()
    assert gate.step_counts[GATE_STEPS.index("refused")] == refused


def test_damping_brakes_no_harder_than_the_torque_bound():
    gate, now = fresh()
    speed = np.array([0.0, 2.0, -900.0])
    _, kp, kd = values(gate.step(Emit.DAMP, Z, Z, Z, state(now, dq=speed), now))
    assert not kp.any() and (kd[:2] == MODEL.kd_damp[:2]).all()
    assert kd[2] * 900.0 == pytest.approx(TAU[2], rel=1e-6) and kd[2] * 900.0 <= TAU[2]


def test_a_joint_outside_its_range_is_commanded_to_the_ranges_end():
    gate, now = Gate(LIMITS, MODEL), 1_000 * MS
    outside = np.array([2.1, -0.2, 0.6])
    out = gate.step(Emit.READY_RAMP, outside, MODEL.kp_ready * 0.1, MODEL.kd_ready, state(now, q=outside), now)
    assert (out.q == [2.0, -0.1, 0.5]).all()


def test_a_narrower_box_is_entered_at_the_permitted_rate_and_never_left():
    limits = SafetyLimits.of(MODEL, kp=KP, kd=KD, overrides={"joint_range": 0.9})
    start = np.array([-0.3, 0.6, 0.5])
    gate, now, seen = Gate(limits, MODEL), 1_000 * MS, []
    for _ in range(40):
        seen.append(gate.step(Emit.READY_RAMP, start, KP * 0.1, KD, state(now, q=start), now).q[2])
        now += 2 * MS
    assert seen[0] == 0.5 and seen[-1] == 0.5, "what stands outside stays until it is asked in"
    for want in (0.48, 0.40, 0.48, 0.60):
        got = gate.step(Emit.READY_RAMP, np.array([-0.3, 0.6, want]), KP * 0.1, KD, state(now, q=start), now).q[2]
        assert got == pytest.approx({0.48: 0.48, 0.40: 0.40, 0.60: 0.45}[want] if want != 0.48 or got > 0.46 else 0.45)
        now += 2 * MS
    assert gate.q_last[2] == pytest.approx(0.45)


def test_two_commands_are_used_in_turn():
    gate, now = fresh()
    first = gate.step(Emit.POLICY, Q0 + 0.01, KP, KD, state(now), now)
    kept = first.q.copy()
    second = gate.step(Emit.POLICY, Q0 + 0.02, KP, KD, state(now + 2 * MS), now + 2 * MS)
    assert first is not second and (first.q == kept).all()
    assert gate.step(Emit.POLICY, Q0, KP, KD, state(now + 4 * MS), now + 4 * MS) is first


def test_a_broken_bound_ends_in_damping_not_in_a_command(monkeypatch):
    """The final assertion, executed: the steps before it are made to fail."""
    gate, now = fresh()
    monkeypatch.setattr(gate, "_bound_torque", lambda q, *_: q.fill(np.nan))
    moved = Q0 + 0.25
    q, kp, kd = values(gate.step(Emit.POLICY, Q0, KP, KD, state(now, q=moved), now))
    assert q == pytest.approx(moved), "where the joints are, not where they were wanted"
    assert not kp.any() and (kd == MODEL.kd_damp).all()
    monkeypatch.setattr(gate, "_bound_torque", lambda q, kp, *_: kp.fill(1e9))
    assert not gate.step(Emit.POLICY, Q0, KP, KD, state(now), now).kp.any()
    assert gate.step_counts[GATE_STEPS.index("refused")] == 2


def test_limits_of_another_robot_are_refused():
    other = make_model("other", ("a", "b", "c"))
    with pytest.raises(ValueError, match="^limits of three_joints cannot guard a other: their joints differ$"):
        Gate(LIMITS, other)


def test_targets_of_a_robot_with_more_joints_move_nothing():
    gate, now = fresh()
    out = gate.step(Emit.POLICY, np.zeros(29), np.zeros(29), np.zeros(29), state(now), now)
    assert (out.q == Q0).all() and (out.kp == KP).all()


def test_speeds_and_torques_that_are_sent_are_zero_and_stay_so():
    gate, now = fresh()
    out = gate.step(Emit.POLICY, Q0, KP, KD, state(now), now)
    for zeros in (out.dq, out.tau):
        assert not zeros.any()
        with pytest.raises(ValueError, match="read-only"):
            zeros[0] = 1.0


def test_nobody_else_can_build_a_command():
    with pytest.raises(RuntimeError, match="only the gate builds commands"):
        claim_seal()
    for seal in (None, object(), 1, JointCommand):
        with pytest.raises(PermissionError, match="^only teleopd.safety.gate may build a JointCommand$"):
            JointCommand(seal, Z, Z, Z, Z, Z)


def test_p9_the_same_inputs_give_the_same_bytes():
    def run() -> bytes:
        gate, now, out = Gate(LIMITS, MODEL), 1_000 * MS, b""
        rng = np.random.default_rng(4)
        for _ in range(300):
            q, dq = Q0 + rng.normal(0, 0.4, N), rng.normal(0, 5, N)
            command = gate.step(Emit.POLICY, q, KP, KD, state(now, dq=dq), now)
            out += command.q.tobytes() + command.kp.tobytes() + command.kd.tobytes()
            now += 2 * MS
        return out

    assert run() == run()


def test_a_soft_joint_is_moved_to_the_end_of_its_torque_interval_and_keeps_its_gains():
    """kp 0.5, damping 0.2 N m above the bound: 0.4 rad nearer brings the torque back onto it."""
    gate, now = fresh()
    tau, kp, kd = TAU[0], np.full(N, 0.5), KD.copy()
    dq = np.array([-(tau + 0.2) / kd[0], 0.0, 0.0])
    got, got_kp, got_kd = values(gate.step(Emit.READY_RAMP, Q0, kp, kd, state(now, q=Q0, dq=dq), now))
    got, got_kp, got_kd = values(gate.step(Emit.READY_RAMP, Q0, kp, kd, state(now + 2 * MS, q=Q0, dq=dq), now + 2 * MS))
    moved = min(0.4, 2 * RATE * 0.002)
    assert got[0] <= Q0[0] and Q0[0] - got[0] <= moved + 1e-9
    for _ in range(10):
        now += 2 * MS
        got, got_kp, got_kd = values(gate.step(Emit.READY_RAMP, Q0, kp, kd, state(now, q=Q0, dq=dq), now))
    assert got[0] == pytest.approx(Q0[0] - 0.4, abs=1e-6)
    assert got_kp[0] == 0.5 and got_kd[0] == kd[0]
    assert gate.step_counts[4] == 12, "one torque step a tick"
    assert gate.joint_counts.tolist() == [12, 0, 0]


def test_nothing_is_divided_by_zero():
    gate, now = fresh()
    with np.errstate(all="raise"):
        for dq in (np.zeros(N), np.full(N, -39.0)):
            gate.step(Emit.POLICY, Q0, np.zeros(N), KD, state(now, q=Q0, dq=dq), now)
            gate.step(Emit.DAMP, Q0, KP, KD, state(now, q=Q0, dq=dq), now)


def test_damping_of_a_weak_joint_is_bounded_at_any_speed():
    """A wrist of 5 N m: 8 N m s/rad would brake with 6.4 N m at 0.8 rad/s."""
    weak = JointLimits(HARD.q_lower, HARD.q_upper, HARD.dq_max, np.full(N, 5.0))
    model = dataclasses.replace(MODEL, limits_by_mode_machine={MODEL.default_mode_machine: weak})
    gate = Gate(SafetyLimits.of(model, kp=KP, kd=KD), model)
    _, kp, kd = values(gate.step(Emit.DAMP, Q0, KP, KD, state(1_000 * MS, q=Q0, dq=np.full(N, 0.8)), 1_000 * MS))
    assert not kp.any() and kd == pytest.approx(np.minimum(MODEL.kd_damp, 4.5 / 0.8), rel=1e-6)
