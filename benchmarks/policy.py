"""How long one policy step takes: back to back (warm caches) and paced at the policy's rate, without and with a
rehearsal 2 ms before each tick (as it runs).

    python benchmarks/policy.py --policy ../shared/data/policies/twist2/twist2_1017_20k.onnx --seconds 20 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from teleopd.launch import registry
from teleopd.robots.model import LowState, Reference, RobotModel
from teleopd.service.control_process import REHEARSAL_LEAD_NS
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.library import absent_sentence, resolve
from teleopd.service.policy.runtime import PolicyRuntime

TICKS_KEPT = 512
"""Distinct references and states, prepared before measuring."""


@dataclass(frozen=True, slots=True)
class Row:
    """Durations of one way of running one part [us]."""

    policy: str
    part: str
    paced_hz: float | None
    n: int
    median_us: float
    p99_us: float
    max_us: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", help="name or ONNX file; default: the first whose weights are found")
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--link", default="sim", help="decides the gains only")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the paced run [s]")
    parser.add_argument("--runs", type=int, default=5000, help="number of back-to-back steps")
    parser.add_argument("--json", action="store_true", help="one JSON line a row")
    options = parser.parse_args()
    try:
        model: RobotModel = registry.load("robot", options.robot)
        resolved = resolve(options.policy, model)
        if resolved is None:
            print(absent_sentence(model), file=sys.stderr)
            return 1
        policy = PolicyRuntime(resolved.card, resolved.onnx_path, model, link=options.link)
    except (PolicyError, registry.UnknownName) as error:
        print(error, file=sys.stderr)
        return 1
    rows = measure(policy, model, options.runs, options.seconds)
    for row in rows if options.json else []:
        print(json.dumps({field: getattr(row, field) for field in Row.__slots__}))
    if not options.json:
        show(rows)
    return 0


def measure(policy: PolicyRuntime, model: RobotModel, runs: int, seconds: float) -> list[Row]:
    """Step and its parts back to back, then network and step paced."""
    card, ticks = policy.card, prepared(policy, model)
    builder, network = policy._builder, policy._network
    observation = builder.build(*ticks[0]).copy()

    def step(i: int) -> None:
        policy.step(*ticks[i % TICKS_KEPT])

    def build(i: int) -> None:
        builder.build(*ticks[i % TICKS_KEPT])
        builder.push(policy._actions.fed_back)

    def infer(i: int) -> None:
        network.run(observation)

    rows = [row(card.name, part, None, [timed(call, i) for i in range(runs)])
            for part, call in (("observation", build), ("network", infer), ("step", step))]  # fmt: skip
    for early, name in ((None, ""), (policy.rehearse, ", rehearsed")):
        rows += [row(card.name, part + name, card.rate_hz, paced(call, card.rate_hz, seconds, early))
                 for part, call in (("network", infer), ("step", step))]  # fmt: skip
    return rows


def prepared(policy: PolicyRuntime, model: RobotModel) -> list[tuple[Reference, LowState]]:
    """References and states near the default pose, all different."""
    rng = np.random.default_rng(0)
    pose = policy.card.default_of(model.joint_names)
    zero, upright = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    height = np.array([0.0, 0.0, model.stand_height_m])
    ticks = []
    for i in range(TICKS_KEPT):
        q, dq = pose + 0.1 * rng.normal(size=model.n), rng.normal(size=model.n)
        reference = Reference(i + 1, 1, 0, 0, 0, True, False, 0, 50.0, height, upright, rng.normal(size=3), zero, q, dq)
        state = LowState(
            t_ns=0, tick=i, mode_machine=model.default_mode_machine, q=q, dq=dq, tau=np.zeros(model.n), quat_w=upright,
            gyro_b=rng.normal(size=3), accel_b=zero, temperature_c=np.zeros(model.n),
            motor_fault=np.zeros(model.n, np.uint32), remote=np.zeros(40, np.uint8), has_odometry=True,
            root_pos_w=height, root_lin_vel_w=zero,
        )  # fmt: skip
        ticks.append((reference, state))
    return ticks


def timed(call: Callable[[int], None], i: int) -> int:
    """Duration of one call [ns]."""
    start = time.perf_counter_ns()
    call(i)
    return time.perf_counter_ns() - start


def paced(
    call: Callable[[int], None], rate_hz: float, seconds: float, early: Callable[[], None] | None = None
) -> list[int]:  # fmt: skip
    """Durations [ns] on absolute deadlines; a late tick is skipped, as in the control process.

    `early` runs 2 ms before each, as the control process does with `PolicyRuntime.rehearse`.
    """
    period, start = int(1e9 / rate_hz), time.perf_counter_ns()
    durations, tick = [], 0
    while (now := time.perf_counter_ns()) - start < seconds * 1e9:
        tick = (now - start) // period + 1
        deadline = start + tick * period
        if early is not None and deadline - now > REHEARSAL_LEAD_NS:
            time.sleep((deadline - REHEARSAL_LEAD_NS - now) / 1e9)
            early()
        time.sleep(max(0.0, (deadline - time.perf_counter_ns()) / 1e9))
        durations.append(timed(call, tick))
    return durations


def row(policy: str, part: str, paced_hz: float | None, durations_ns: list[int]) -> Row:
    median, p99, largest = (float(np.percentile(durations_ns, q)) / 1e3 for q in (50, 99, 100))
    return Row(policy, part, paced_hz, len(durations_ns), round(median, 1), round(p99, 1), round(largest, 1))


def show(rows: list[Row]) -> None:
    table = Table("policy", "part", "paced", "n", "median us", "p99 us", "max us")
    for r in rows:
        pace = "back to back" if r.paced_hz is None else f"{r.paced_hz:g} Hz"
        table.add_row(r.policy, r.part, pace, str(r.n), f"{r.median_us:.0f}", f"{r.p99_us:.0f}", f"{r.max_us:.0f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
