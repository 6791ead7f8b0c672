"""Cost of one tick of gate, supervisor and reference guard, for a robot of 29 joints, beside one plain numpy call.

Figures are distributions on whatever machine this runs on; nothing in the tests depends on them.
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from teleopd.robots.catalog import load_robot
from teleopd.robots.model import JointLimits, JointTargets, LowState, Reference, RobotModel
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.supervisor import Emit, Supervisor, SupervisorConfig, SupervisorInputs
from teleopd.safety.words import Mode, OperatorCommand

N = 29
STEP_NS = 2_000_000
WARM_UP, COUNT, TRACED = 4_000, 20_000, 2_000
CALLS = WARM_UP + COUNT + TRACED + 1


def robot() -> RobotModel:
    """Twenty-nine equal joints."""
    one = np.ones(N)
    limits = JointLimits(-2.0 * one, 2.0 * one, 30.0 * one, 80.0 * one)
    return RobotModel(
        name="bench", title="", joint_names=tuple(f"joint_{i}" for i in range(N)), limits_by_mode_machine={5: limits},
        default_mode_machine=5, kp_ready=60.0 * one, kd_ready=2.0 * one, kd_damp=8.0 * one, q_stand=0.0 * one,
        stand_height_m=0.8, mjcf=Path("none.xml"), root_body="pelvis", imu_sites={}, key_sites=(), sole_sites=(),
        wire="hg", wire_slot=tuple(range(N)), provenance={},
    )  # fmt: skip


def state(t_ns: int, rng: np.random.Generator) -> LowState:
    """A moving robot."""
    return LowState(
        t_ns, 1, 5, rng.normal(0, 0.3, N), rng.normal(0, 2, N), np.zeros(N), np.array([1.0, 0, 0, 0]), np.zeros(3),
        np.zeros(3), np.full(N, 40.0), np.zeros(N, dtype=np.uint32), np.zeros(40, dtype=np.uint8), False, np.zeros(3),
        np.zeros(3),
    )  # fmt: skip


def distribution(call: Callable[[int], object], count: int = COUNT) -> dict[str, float]:
    """Microseconds a call, after a warm-up, and the memory that stayed allocated over the run."""
    for i in range(WARM_UP):
        call(i)
    took = np.zeros(count)
    for i in range(count):
        start = time.perf_counter_ns()
        call(WARM_UP + i)
        took[i] = time.perf_counter_ns() - start
    tracemalloc.start()
    call(WARM_UP + count)
    before = tracemalloc.get_traced_memory()[0]
    for i in range(TRACED):
        call(WARM_UP + count + 1 + i)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    p50, p99 = np.percentile(took, [50, 99]) / 1e3
    return {"p50_us": round(float(p50), 2), "p99_us": round(float(p99), 2), "bytes_grown_in_2000": grown}


def main() -> dict[str, dict[str, float]]:
    """All rows."""
    model, rng = robot(), np.random.default_rng(1)
    kp, kd = np.full(N, 100.0), np.full(N, 3.0)
    limits = SafetyLimits.of(model, kp=kp, kd=kd)
    states = [state(1, rng) for _ in range(64)]
    calm, wild = rng.normal(0, 0.1, (64, N)), rng.normal(0, 2.0, (64, N))
    still = [standing_still(s) for s in states]
    rows: dict[str, dict[str, float]] = {}
    a, b = np.zeros(N), np.zeros(N)
    rows["one np.clip of 29"] = distribution(lambda i: np.clip(a, -1.0, 1.0, out=b))
    for name, wanted, seen in (("gate, nothing to do", calm * 0.0, still), ("gate, every step acts", wild, states)):
        gate = Gate(limits, model)
        rows[name] = distribution(
            lambda i, g=gate, w=wanted, s=seen: g.step(  # type: ignore[misc]
                Emit.POLICY, w[i % 64], kp, kd, s[i % 64], 10**9 + i * STEP_NS
            )
        )
    rows["supervisor, armed"] = distribution(_supervisor(model, limits, states, kp, kd))
    return rows | guard_rows()


def guard_rows() -> dict[str, dict[str, float]]:
    """One 50 Hz tick of the reference guard of the G1: an arm that swings freely, and one held out of the hip."""
    model = load_robot("unitree_g1")
    rows = {}
    for name, joints in (
        ("guard, arm swings freely", {"left_shoulder_pitch_joint": -0.6, "left_elbow_joint": 0.4}),
        ("guard, hand held out of the hip",
         {"left_shoulder_pitch_joint": 0.56, "left_shoulder_roll_joint": -0.53, "left_elbow_joint": 0.78}),
    ):  # fmt: skip
        far = model.q_stand.copy()
        far[model.indices(list(joints))] = list(joints.values())
        rows[name] = distribution(_guard(model, far), count=2_000)
    return rows


def _guard(model: RobotModel, far: np.ndarray) -> Callable[[int], object]:
    """A guard that follows a motion between the stand pose and `far`, once a second."""
    guard, zero = ReferenceGuard(model), np.zeros(3)
    guard.step(None, Mode.ARMED, 10**9, None)

    def tick(i: int) -> object:
        now = 10**9 + (i + 1) * 20_000_000
        q = model.q_stand + (0.5 - 0.5 * np.cos(i * 0.126)) * (far - model.q_stand)
        reference = Reference(
            i + 1, 1, now, now, now, True, True, 0, 50.0, np.array([0.0, 0.0, model.stand_height_m]),
            np.array([1.0, 0.0, 0.0, 0.0]), zero, zero, q, np.zeros(model.n),
        )  # fmt: skip
        return guard.step(reference, Mode.ACTIVE, now, None)

    return tick


def standing_still(seen: LowState) -> LowState:
    """The same robot standing still at zero."""
    return seen._replace(q=np.zeros(N), dq=np.zeros(N))


def _act(i: int) -> int:
    """READY after a moment, ARM after the ramp."""
    return 0 if i < 100 else 1 if i < 2000 else 2


def _supervisor(
    model: RobotModel, limits: SafetyLimits, states: list[LowState], kp: np.ndarray, kd: np.ndarray
) -> Callable[[int], object]:
    supervisor = Supervisor(limits, model, SupervisorConfig(token=1))
    zero = np.zeros(2)

    inputs = []
    for i in range(CALLS):
        now = 10**9 + i * STEP_NS
        targets = JointTargets(
            i // 10, now - now % (10 * STEP_NS), states[0].q, kp, kd, True, True, i // 5, 1, now, now, True, 100.0,
            False, 0.1, zero,
        )  # fmt: skip
        commands = (OperatorCommand(_act(i), now, 1, _act(i), False), None, None, None)
        inputs.append(SupervisorInputs(standing_still(states[0])._replace(t_ns=now), targets, commands))

    def tick(i: int) -> object:
        return supervisor.step(inputs[i], 10**9 + i * STEP_NS)

    return tick


if __name__ == "__main__":
    found = main()
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        for row, figures in found.items():
            print(f"{row:32} p50 {figures['p50_us']:7.2f} us   p99 {figures['p99_us']:8.2f} us   "
                  f"grown {figures['bytes_grown_in_2000']} B in 2000 ticks")  # fmt: skip
