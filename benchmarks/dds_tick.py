"""One tick of the DDS link: fill, checksum and write a command, take and read a state; beside the dataclass path.

The dataclass path is what the vendor's package does: fields of message objects, cyclonedds' Python serialiser and a
checksum of packed fields. Target: at least 8 times cheaper, at most 120 us median. Both run on loopback, in turns, in
one process, with a reader that receives everything.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import numpy as np

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LOW_CMD, LOW_STATE, LowCmdEncoder, checksum_stored
from teleopd.robots.links.dds.idl import zero
from teleopd.robots.links.dds.low_state import LowStateDecoder, LowStateEncoder
from teleopd.robots.links.dds.transport import Participant

TICKS = 1500
WARM_UP = 100
TARGET_US = 120.0
TARGET_RATIO = 8.0


def measure(robot: str) -> dict[str, dict[str, float]]:
    """p50, p90 and p99 [us] of each half of the tick and of the whole, for both paths."""
    model = load_robot(robot)
    domain = 1 + os.getpid() % 200
    ours, peer = Participant("lo", domain), Participant("lo", domain)
    commands = ours.writer("rt/lowcmd", model.wire, "LowCmd_")
    states = ours.reader("rt/lowstate", model.wire, "LowState_")
    heard = peer.reader("rt/lowcmd", model.wire, "LowCmd_")
    said = peer.writer("rt/lowstate", model.wire, "LowState_")
    while not (commands.matched and said.matched):
        time.sleep(0.01)
    encoder, decoder = LowCmdEncoder(model), LowStateDecoder(model)
    state = LowStateEncoder(model).encode(state_at_rest(model))
    rows = np.random.default_rng(0).normal(size=(5, model.n))
    low, layout = zero(model.wire, "LowCmd_"), LOW_CMD[model.wire]

    def write_raw() -> None:
        commands.write(encoder.encode(5, *rows))

    def read_raw() -> None:
        for data in states.take():
            assert checksum_stored(data, LOW_STATE[model.wire])
            decoder.decode(data, 0)

    def write_objects() -> None:
        for slot, row in zip(model.wire_slot, rows.T.tolist(), strict=True):
            motor = low.motor_cmd[slot]
            motor.mode, (motor.q, motor.dq, motor.tau, motor.kp, motor.kd) = 1, row
        low.crc = layout.checksum(low.serialize()[4:])
        commands.write_message(low)

    def read_objects() -> None:
        for sample in states.take_messages():
            _ = [(motor.q, motor.dq, motor.tau_est) for motor in (sample.motor_state[s] for s in model.wire_slot)]

    parts: dict[str, Callable[[], None]] = {
        "raw write": write_raw, "raw read": read_raw, "object write": write_objects, "object read": read_objects,
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(TICKS + WARM_UP):
        for name, part in parts.items():
            if name.endswith("read"):
                said.write(state)
                time.sleep(0.0004)  # until the receive thread has it
            start = time.perf_counter_ns()
            part()
            took[name].append((time.perf_counter_ns() - start) / 1e3)
            heard.take()
    ours.close()
    peer.close()
    columns = {name: np.array(values[WARM_UP:]) for name, values in took.items()}
    columns["raw tick"] = columns["raw write"] + columns["raw read"]
    columns["object tick"] = columns["object write"] + columns["object read"]
    return {
        name: {f"p{share}": round(float(np.percentile(us, share)), 1) for share in (50, 90, 99)}
        for name, us in columns.items()
    }


def main() -> None:
    """Print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", default="unitree_g1", help="robot whose messages are timed")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    results = measure(arguments.robot)
    ratio = results["object tick"]["p50"] / results["raw tick"]["p50"]
    if arguments.json:
        print(json.dumps({"robot": arguments.robot, "us": results, "ratio_p50": round(ratio, 1)}))
        return
    for name, row in results.items():
        print(f"{name:13} p50 {row['p50']:8.1f} us   p90 {row['p90']:8.1f}   p99 {row['p99']:8.1f}")
    print(f"the raw tick is {ratio:.1f} times cheaper (target {TARGET_RATIO:g}); its p50 target is {TARGET_US:g} us")


if __name__ == "__main__":
    main()
