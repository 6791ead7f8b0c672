"""The motor loop while two other processes take both cores: how late it wakes, and what the robot sees.

    python benchmarks/bench_loop.py [--seconds 30] [--load 2] [--json]

The real robot-io process (supervisor, gate, DDS, shared memory) drives a robot on loopback that stands still and notes
when each command arrives. At the same time a probe in C, on every core and above all priorities, wakes every
millisecond: what it misses, the machine took. Targets: wake lateness p99 at most 3 times the probe's; gaps over 3 ms at
the robot no more than the probe's own stalls (over 1 ms) and 0.1 % of the commands; reading a state, the gate, and
filling, sealing and writing a command together 0.12 ms in the median and 0.30 ms at p99 (`timed_robot_io.py`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timed_robot_io

from teleopd.launch import processes as process_table
from teleopd.launch.processes import Processes
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.link import LinkOptions
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import JointTargets, RobotModel
from teleopd.robots.rates import Rate, request_priority, request_real_time, sleep_until_ns
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Mode
from teleopd.service.child import refusal
from teleopd.service.streams import Bus

ROBOT = "unitree_g1"
GAP_MS, LATE_RATIO, SHARE = 3.0, 3.0, 0.001
START_TICKS = 3000
"""Of 20 ms: the ladder takes 4 s, and what starts on a machine whose cores are taken much longer."""
POLL_NS = 200_000
"""The robot looks for a command five times a millisecond: as exact as its gaps are."""
PROBE = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static int order(const void *a, const void *b) { double d = *(double *)a - *(double *)b; return (d > 0) - (d < 0); }
int main(int argc, char **argv) {
  int core = atoi(argv[1]), n = atoi(argv[2]) * 1000, fifo, over = 0;
  cpu_set_t set; CPU_ZERO(&set); CPU_SET(core, &set); sched_setaffinity(0, sizeof set, &set);
  struct sched_param p = {.sched_priority = 95}; fifo = sched_setscheduler(0, SCHED_FIFO, &p) == 0;
  double *late = malloc(n * sizeof *late); mlockall(MCL_CURRENT | MCL_FUTURE);
  struct timespec at, now; clock_gettime(CLOCK_MONOTONIC, &at);
  for (int i = 0; i < n; i++) {
    at.tv_nsec += 1000000; if (at.tv_nsec >= 1000000000) { at.tv_nsec -= 1000000000; at.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0); clock_gettime(CLOCK_MONOTONIC, &now);
    late[i] = (now.tv_sec - at.tv_sec) * 1e6 + (now.tv_nsec - at.tv_nsec) / 1e3;
    if (late[i] > 1000) { over++; at = now; }
  }
  qsort(late, n, sizeof *late, order);
  printf("{\"core\": %d, \"fifo\": %d, \"p50\": %.1f, \"p99\": %.1f, \"max\": %.1f, \"over_1ms\": %d}\n", core, fifo,
         late[n / 2], late[(int)(n * 0.99)], late[n - 1], over);
}
"""


def compiled_probe(folder: Path) -> Path:
    """The probe as a program.

    Raises:
        SystemExit: there is no C compiler.
    """
    cc = shutil.which("cc") or shutil.which("gcc")
    if cc is None:
        sys.exit("bench_loop: the probe is written in C, and there is no cc here; install one (apt install gcc)")
    (folder / "probe.c").write_text(PROBE)
    subprocess.run([cc, "-O2", "-o", folder / "probe", folder / "probe.c"], check=True)
    return folder / "probe"


def busy() -> None:
    """Takes a core: arithmetic in numpy and in Python, as a solver."""
    a = np.random.default_rng(0).normal(size=(60, 60))
    while True:
        np.linalg.solve(a, a)
        sum(i * i for i in range(2000))


def robot(domain: int, up: Any, begin: Any, end: Any, told: Any) -> None:
    """The robot's process: reports at 500 Hz, and the times of arrival of commands between `begin` and `end`."""
    # Above the busy processes, so that its own looks are no reason for a gap; below robot-io, because a real robot is
    # another computer: above it, the thread that receives takes the core from the writer in the middle of its write.
    request_real_time(75, None)
    model, participant = load_robot(ROBOT), Participant("lo", domain)
    states = participant.writer("rt/lowstate", "hg", "LowState_")
    commands = participant.reader("rt/lowcmd", "hg", "LowCmd_")
    server, encoder = MotionSwitcherServer(participant, mode=""), LowStateEncoder(model)
    arrived: list[int] = []
    next_ns, looks = time.monotonic_ns(), 0
    up.set()
    while not end.is_set():
        next_ns = max(next_ns + POLL_NS, time.monotonic_ns() - POLL_NS)
        sleep_until_ns(next_ns)
        if commands.take():
            arrived.append(time.monotonic_ns())
        if looks % 10 == 0:
            server.poll()
            states.write(encoder.encode(state_at_rest(model, tick=looks // 5)))
            if not begin.is_set():
                arrived.clear()
        looks += 1
    told.put(np.diff(arrived) / 1e6)
    participant.close()


class Operator:
    """Targets that stand, and the acts that bring the ladder to ARMED."""

    def __init__(self, bus: Bus, token: int, model: RobotModel) -> None:
        self._bus, self._model, self._seq = bus, model, 0
        self._writer = OperatorWriter(bus.slot("operator_ctl"), token)

    def tick(self) -> Mode | None:
        model, now_ns = self._model, time.monotonic_ns()
        self._seq += 1
        self._bus.slot("targets").write(JointTargets(
            self._seq, now_ns, model.q_stand, model.kp_ready, model.kd_ready, True, True, 0, 0, 0, 0, False, 0.0,
            False, np.inf, np.zeros(2),
        ))  # fmt: skip
        status = self._bus.slot("safety_status").read()
        if status is None:
            return None
        if self._seq % 25 == 0 and status.mode == Mode.IDLE:
            self._writer.act(Act.READY, now_ns)
        elif self._seq % 25 == 0 and status.mode == Mode.READY and status.ready_to_arm:
            self._writer.act(Act.ARM, now_ns)
        return Mode(status.mode)


def measure(seconds: int, load: int) -> dict[str, Any]:
    """Everything of one run."""
    context, model = multiprocessing.get_context("spawn"), load_robot(ROBOT)
    domain = 1 + os.getpid() % 200
    up, begin, end, told = context.Event(), context.Event(), context.Event(), context.Queue()
    others = [context.Process(target=busy, daemon=True) for _ in range(load)]
    peer = context.Process(target=robot, args=(domain, up, begin, end, told), daemon=True)
    with tempfile.TemporaryDirectory() as folder:
        probe = compiled_probe(Path(folder))
        os.environ["TELEOPD_RUNTIME_DIR"] = f"{folder}/run"
        own = replace(process_table.TABLE["robot-io"], target=f"{timed_robot_io.__name__}:main")
        process_table.TABLE = {**process_table.TABLE, "robot-io": own}
        owner, processes = SessionOwner(ROBOT), Processes(lambda sentence: print(sentence, file=sys.stderr))
        try:
            bus = Bus(owner.session, model.n, create=True)
            peer.start()
            up.wait(60)
            for one in others:
                one.start()
            processes.start(
                "robot-io", session=owner.session, robot=ROBOT, link="dds", overrides={},
                card_gains=("bench", model.kp_ready, model.kd_ready), options=LinkOptions("lo", domain),
            )  # fmt: skip
            request_priority(70)  # the targets come on time: what is measured is the loop behind them
            operator, rate = Operator(bus, owner.session.token, model), Rate(50)
            while operator.tick() is not Mode.ARMED:
                rate.wait()
                slow = "it does not get there" if rate.ticks > START_TICKS else ""
                why = refusal(owner.session, "robot-io") or slow
                if why:
                    sys.exit(f"bench_loop: the motor process is not ARMED: {why}")
            begin.set()
            probes = [
                subprocess.Popen([probe, str(core), str(seconds)], stdout=subprocess.PIPE, text=True)
                for core in sorted(os.sched_getaffinity(0))
            ]
            while any(one.poll() is None for one in probes):
                operator.tick()
                rate.wait()
            loop = bus.slot("loop_robot_io").read()
            end.set()
            gaps = told.get(timeout=20)
            granted = owner.session.path("robot-io.real_time").read_text()
        finally:
            processes.end()
            parts = owner.session.path(timed_robot_io.PARTS_FILE)
            ticks = np.array(json.loads(parts.read_text())) / 1e3 if parts.is_file() else np.zeros((0, 3))
            for one in multiprocessing.active_children():
                one.kill()
            owner.close()
    floor = [json.loads(one.communicate()[0]) for one in probes]
    return {"loop": loop._asdict(), "gaps_ms": gaps, "floor": floor, "granted": granted, "parts_us": parts_of(ticks)}


def parts_of(ticks: Any) -> dict[str, dict[str, float]]:
    """p50 and p99 of each part and of their sum [us], from durations (k, 3)."""
    columns = {name: ticks[:, i] for i, (name, _, _) in enumerate(timed_robot_io.PARTS)} | {"sum": ticks.sum(axis=1)}
    return {
        name: {f"p{share}": round(float(np.percentile(took, share)), 1) for share in (50, 99)}
        for name, took in columns.items() if len(took)
    }  # fmt: skip


def main() -> None:
    """Print the distributions, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="length of the measurement [s]")
    parser.add_argument("--load", type=int, default=2, help="processes that take a core each")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.load)
    gaps, loop, floor = found.pop("gaps_ms"), found["loop"], found["floor"]
    shares = {f"p{share}": round(float(np.percentile(gaps, share)), 3) for share in (50, 90, 99, 99.9)}
    found["gaps"] = {**shares, "max": round(float(gaps.max()), 3), "over_3ms": int((gaps > GAP_MS).sum()),
                     "n": len(gaps)}  # fmt: skip
    stalls, worst = sum(one["over_1ms"] for one in floor), max(one["p99"] for one in floor)
    found["ratio_p99"] = round(loop["late_p99_us"] / worst, 2)
    found["gaps_allowed"] = stalls + round(SHARE * len(gaps))
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{found['granted']}; {arguments.load} busy processes on {len(floor)} cores, {arguments.seconds} s")
    for one in floor:
        print(f"probe core {one['core']}   late p50 {one['p50']:8.1f} us   p99 {one['p99']:8.1f}   "
              f"max {one['max']:9.1f}   over 1 ms: {one['over_1ms']}"
              + ("" if one["fifo"] else "   (without SCHED_FIFO)"))  # fmt: skip
    print(f"robot-io       late p50 {loop['late_p50_us']:8.1f} us   p99 {loop['late_p99_us']:8.1f}   "
          f"max {loop['late_max_us']:9.1f}   missed: {loop['missed']}   work p50 {loop['work_p50_us']:.0f} us, "
          f"p99 {loop['work_p99_us']:.0f}")  # fmt: skip
    print("of it, p50 and p99 us:   " + "   ".join(
        f"{name} {took['p50']:.0f}, {took['p99']:.0f}" for name, took in found["parts_us"].items()
    ))  # fmt: skip
    print("gaps at the robot [ms]   " + "   ".join(f"{name} {value}" for name, value in found["gaps"].items()))
    print(f"late p99 is {found['ratio_p99']} times the probe's (target {LATE_RATIO:g}); "
          f"{found['gaps']['over_3ms']} gaps over {GAP_MS:g} ms, allowed {found['gaps_allowed']}")  # fmt: skip


if __name__ == "__main__":
    main()
