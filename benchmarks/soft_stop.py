"""From a soft stop in the operator slot to the first changed command at the robot.

    python benchmarks/soft_stop.py [--stops 60] [--json]

The real robot-io process drives a robot on loopback over DDS, on the ready ramp, where a soft stop damps at once: the
first command without position gain is the stop's. (Where a policy balances, the stop reaches its reference in the same
tick, and the command at the policy's next one.) The robot looks for commands five times a millisecond. Target: 4 ms at
p99.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from typing import Any

import numpy as np

from teleopd.launch.processes import Processes
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.link import LinkOptions
from teleopd.robots.links.dds.cdr import LowCmdDecoder
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.rates import request_real_time, sleep_until_ns
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Mode
from teleopd.service.child import refusal
from teleopd.service.streams import Bus

ROBOT = "unitree_g1"
TARGET_MS = 4.0
POLL_NS = 200_000
STEP_S = 60.0
"""Longest wait for a step of the ladder."""
RAMP_S = 0.15
"""On the ready ramp before the stop, and a little more each time, so that stops fall anywhere between two ticks."""


def robot(domain: int, up: Any, end: Any, told: Any) -> None:
    """The robot's process: reports at 500 Hz; tells when a command without position gain follows one with it."""
    request_real_time(90, None)
    model, participant = load_robot(ROBOT), Participant("lo", domain)
    states = participant.writer("rt/lowstate", model.wire, "LowState_")
    commands = participant.reader("rt/lowcmd", model.wire, "LowCmd_")
    server, encoder, decoder = MotionSwitcherServer(participant, mode=""), LowStateEncoder(model), LowCmdDecoder(model)
    next_ns, looks, stiff = time.monotonic_ns(), 0, False
    up.set()
    while not end.is_set():
        next_ns = max(next_ns + POLL_NS, time.monotonic_ns() - POLL_NS)
        sleep_until_ns(next_ns)
        for data in commands.take():
            arrived_ns, was = time.monotonic_ns(), stiff
            stiff = bool(decoder.decode(data).kp.any())
            if was and not stiff:
                told.put(arrived_ns)
        if looks % 10 == 0:
            server.poll()
            states.write(encoder.encode(state_at_rest(model, tick=looks // 5)))
        looks += 1
    participant.close()


def measure(stops: int) -> list[float]:
    """Milliseconds of each stop."""
    context, model = multiprocessing.get_context("spawn"), load_robot(ROBOT)
    domain = 1 + os.getpid() % 200
    up, end, told = context.Event(), context.Event(), context.Queue()
    peer = context.Process(target=robot, args=(domain, up, end, told), daemon=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TELEOPD_RUNTIME_DIR"] = f"{folder}/run"
        owner, processes = SessionOwner(ROBOT), Processes(lambda sentence: print(sentence, file=sys.stderr))
        try:
            bus = Bus(owner.session, model.n, create=True)
            peer.start()
            up.wait(STEP_S)
            processes.start(
                "robot-io", session=owner.session, robot=ROBOT, link="dds", overrides={},
                card_gains=("bench", model.kp_ready, model.kd_ready), options=LinkOptions("lo", domain),
            )  # fmt: skip
            writer, took = OperatorWriter(bus.slot("operator_ctl"), owner.session.token), []
            for number in range(stops):
                reach(bus, owner, writer, Mode.IDLE, Act.RESET)
                reach(bus, owner, writer, Mode.READY, Act.READY)
                time.sleep(RAMP_S + 0.00037 * number)
                asked_ns = time.monotonic_ns()
                writer.act(Act.STOP, asked_ns)
                took.append((told.get(timeout=STEP_S) - asked_ns) / 1e6)
            end.set()
        finally:
            processes.end()
            peer.kill()
            owner.close()
    return took


def reach(bus: Bus, owner: SessionOwner, writer: OperatorWriter, wanted: Mode, act: Act) -> None:
    """Ask for `act` until the ladder is on `wanted`.

    Raises:
        SystemExit: it does not get there, and why.
    """
    deadline = time.monotonic() + STEP_S
    while (status := bus.slot("safety_status").read()) is None or status.mode != wanted:
        why = refusal(owner.session, "robot-io") or ("the time is over" if time.monotonic() > deadline else "")
        if why:
            sys.exit(f"soft_stop: the motor process is not {wanted.name}: {why}")
        writer.act(act, time.monotonic_ns())
        time.sleep(0.1)


def main() -> None:
    """Print the distribution, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=60, help="how many")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a sentence")
    arguments = parser.parse_args()
    took = measure(arguments.stops)
    figures = {f"p{share}": round(float(np.percentile(took, share)), 2) for share in (50, 99)}
    figures |= {"max": round(max(took), 2), "n": len(took)}
    if arguments.json:
        print(json.dumps({"soft_stop_ms": figures}))
    else:
        print(f"soft stop to the first changed command at the robot [ms]: {figures}; target p99 {TARGET_MS:g}")


if __name__ == "__main__":
    main()
