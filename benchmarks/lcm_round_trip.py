"""Round trip over LCM on this computer: a command goes out, and a report made on its receipt comes back.

    python benchmarks/lcm_round_trip.py [--robot unitree_g1] [--rounds 3000] [--json]

Two processes on UDP multicast with ttl=0. `bytes`: 480 bytes out and back, the transport alone. `messages`: a whole
`teleopd_command` encoded, sent and decoded, and a whole `teleopd_state` on the way back. Each waits for the other, so
no loop's period is in it. Target: p50 0.2 ms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from typing import Any

import numpy as np

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.lcm.messages import COMMAND, STATE, MessageCodec, command_fields
from teleopd.robots.links.lcm.state import StateCodec, StatePublisher
from teleopd.robots.links.lcm.transport import Network

ROUNDS, WARM_UP = 3000, 200
TARGET_MS = 0.2
PING, PONG, END = "bench_ping", "bench_pong", "bench_end"
PAYLOAD = bytes(480)


def answer(url: str, robot: str, ready: Any) -> None:
    """The other process: bytes for bytes, a report for a command."""
    model, network = load_robot(robot), Network(url)
    for channel in (PING, COMMAND, END):
        network.subscribe(channel)
    codec, states = MessageCodec(command_fields(model.n)), StatePublisher(network, model, 1)
    state = state_at_rest(model)
    ready.set()
    tick = 0
    while True:
        network.wait(1000)
        if network.take(END):
            return
        for data in network.take(PING):
            network.publish(PONG, data)
        for data in network.take(COMMAND):
            record = codec.decode(data)
            tick += 1
            _ = [record[name].astype(np.float64) for name in ("q", "dq", "tau", "kp", "kd")]
            states.publish(state._replace(tick=tick), time.monotonic_ns())


def measure(robot: str, rounds: int) -> dict[str, dict[str, float]]:
    """p50, p90, p99 and max [ms] of both round trips."""
    model = load_robot(robot)
    url = f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=answer, args=(url, robot, ready))
    network = Network(url)
    for channel in (PONG, STATE):
        network.subscribe(channel)
    codec, reports = MessageCodec(command_fields(model.n)), StateCodec(model)
    rows = dict(zip(("q", "dq", "tau", "kp", "kd"), np.random.default_rng(0).normal(size=(5, model.n)), strict=True))
    took: dict[str, list[float]] = {"bytes": [], "messages": []}
    other.start()
    try:
        ready.wait()
        for i in range(rounds + WARM_UP):
            start = time.perf_counter_ns()
            network.publish(PING, PAYLOAD)
            while not network.take(PONG):
                network.wait(1000)
            between = time.perf_counter_ns()
            network.publish(COMMAND, codec.encode(seq=i, timestamp_us=between // 1000, **rows))
            while not (data := network.take(STATE)):
                network.wait(1000)
            reports.state(reports.record(data[-1]), 0)
            end = time.perf_counter_ns()
            if i >= WARM_UP:
                took["bytes"].append((between - start) / 1e6)
                took["messages"].append((end - between) / 1e6)
        network.publish(END, b"")
        other.join(5)
    finally:
        other.kill()
        network.close()
    return {
        name: {f"p{share}": round(float(np.percentile(ms, share)), 4) for share in (50, 90, 99)}
        | {"max": round(max(ms), 3), "n": len(ms)}
        for name, ms in took.items()
    }


def main() -> None:
    """Print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robot", default="unitree_g1", help="robot whose messages are timed")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="round trips of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    results = measure(arguments.robot, arguments.rounds)
    if arguments.json:
        print(json.dumps({"robot": arguments.robot, "ms": results}))
        return
    for name, row in results.items():
        print(
            f"{name:9} p50 {row['p50']:.3f} ms   p90 {row['p90']:.3f}   p99 {row['p99']:.3f}   max {row['max']:.1f}   "
            f"n {row['n']:.0f}"
        )
    print(f"target: p50 {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
