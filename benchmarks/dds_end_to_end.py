"""Pose receipt -> changed motor command at the robot, over DDS on loopback with the virtual robot.

    python benchmarks/dds_end_to_end.py [--motion walk] [--seconds 30] [--policy FILE] [--json]

An emulated Xsens suit sends over UDP, the whole service runs, and the virtual robot, a process of its own, notes when
it hands each command to its motors. Every new policy output that reached a command while the robot followed the person
gives one figure: from the receipt of the newest frame in it to that moment, so the 50 Hz phase of the policy and the
500 Hz ticks of both ends are in it. Targets: p50 14 ms, p99 26 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from teleopd.launch.config import RunConfig
from teleopd.launch.operator_script import BALANCING
from teleopd.launch.service_run import ServiceRun
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.transport import Participant, Reader
from teleopd.robots.rates import Rate, request_priority
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.process import PRIORITY
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.safety.words import Mode

TARGET_P50_MS, TARGET_P99_MS = 14.0, 26.0
CLOCKS_NS = 50_000
"""DDS stamps with the wall clock, the log with the monotonic one; their difference is read once a take."""
AT_ONCE_NS = 1_500_000
"""Less than a tick."""
LEAD_IN_S, START_S, END_S = 6.0, 6.0, 6.0


class TimedReader:
    """The robot's reader of commands, which notes when each was written and when it was taken."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.written_ns: list[int] = []
        self.taken_ns: list[int] = []

    def take(self) -> list[bytes]:
        taken = self._reader._raw_take(self._reader._ref, 0x7F, 16)
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        found = [(data, info) for data, info in taken if info.valid_data] if isinstance(taken, list) else []
        for _, info in found:
            self.written_ns.append(info.source_timestamp - wall_ns + now_ns)
            self.taken_ns.append(now_ns)
        return [data for data, _ in found]


def robot(name: str, domain: int, out: Path) -> None:
    """The virtual robot until SIGTERM; then its notes are written to `out`."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    request_priority(PRIORITY)
    participant = Participant("lo", domain)
    peer = DdsPeer(participant, VirtualRobot(load_robot(name)), mode="ai")
    timed = TimedReader(peer._commands)
    peer._commands = timed  # type: ignore[assignment]
    rate = Rate(500)
    try:
        peer.run(rate)
    except KeyboardInterrupt:
        np.savez(out, written_ns=timed.written_ns, taken_ns=timed.taken_ns, missed=rate.missed, ticks=rate.ticks)
    participant.close()


class Watched(ServiceRun):
    """A run that keeps every row of the command log."""

    def _compose(self, *arguments: Any) -> None:
        super()._compose(*arguments)
        self.rows: list[np.ndarray] = []
        add = self._collector.add_commands

        def keep(rows: np.ndarray) -> None:
            self.rows.append(rows.copy())
            add(rows)

        self._collector.add_commands = keep  # type: ignore[method-assign]


def latencies(rows: np.ndarray, written_ns: np.ndarray, taken_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Receipt -> at the robot, and robot-io -> robot [ms], of the rows in which the robot followed the operator.

    A row is logged right after its command was written, so its command is the last one written before it; one that
    the robot never took is left out.
    """
    followed = rows[(rows["mode"] == Mode.ACTIVE) & (rows["t_reference_ns"] > 0)]
    which = np.searchsorted(written_ns, followed["t_command_ns"] + CLOCKS_NS) - 1
    there = (which >= 0) & (followed["t_command_ns"] - written_ns[which] < AT_ONCE_NS)
    followed, which = followed[there], which[there]
    at = taken_ns[which]
    return (at - followed["t_reference_ns"]) / 1e6, (at - written_ns[which]) / 1e6


def measure(name: str, motion: str, seconds: float, policy: str) -> dict[str, Any]:
    """One run; figures as plain values."""
    domain = 1 + os.getpid() % 200
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TELEOPD_RUNTIME_DIR"] = str(Path(folder) / "run")
        notes = Path(folder) / "robot.npz"
        peer = subprocess.Popen([sys.executable, __file__, "--as-robot", name, str(domain), str(notes)])
        emulator = subprocess.Popen(
            [sys.executable, "-m", "teleopd.launch.cli", "emulate", "xsens", "--motion", motion, "--port", str(port),
             "--lead-in", str(LEAD_IN_S), "--loop", "--quiet"]
        )  # fmt: skip
        try:
            run = Watched(RunConfig(
                source="xsens", host="127.0.0.1", port=port, robot=name, link="dds", interface="lo", domain=domain,
                auto_engage_virtual=True, view=False, policy=policy, seconds=START_S + seconds,
            ))  # fmt: skip
            report = run.run()
        finally:
            emulator.terminate()
            peer.terminate()
            emulator.wait(20)
            peer.wait(20)
        with np.load(notes) as found:
            written, taken = found["written_ns"], found["taken_ns"]
            missed, ticks = int(found["missed"]), int(found["ticks"])
    whole, transit = latencies(np.concatenate(run.rows), written, taken)
    if not len(whole):
        sys.exit("the robot was never engaged: this machine is too busy, or --seconds too short")
    stood = [mode for _, mode, _ in report["modes"] if mode in {one.name for one in BALANCING}]
    return {
        "robot": name, "upright": report["upright"] and bool(stood), "n": len(whole),
        "receipt_to_robot_ms": shares(whole), "robot_io_to_robot_ms": shares(transit),
        "receipt_to_command_ms": {k: report["latency_ms"]["receipt_to_command"][k] for k in ("p50", "p90", "p99")},
        "robot_loop_missed": missed, "robot_loop_ticks": ticks, "link": report["link"], "loop": report["loop"],
    }  # fmt: skip


def shares(values: np.ndarray) -> dict[str, float]:
    """Percentiles of a set of figures."""
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 90, 99)}


def main() -> int:
    if sys.argv[1:2] == ["--as-robot"]:
        robot(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--motion", default="walk")
    parser.add_argument("--seconds", type=float, default=30.0, help="of service, the climb to ACTIVE included [s]")
    parser.add_argument("--policy", default="", help="name or ONNX file; the robot's default when not given")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    found = measure(arguments.robot, arguments.motion, arguments.seconds, arguments.policy)
    if arguments.json:
        print(json.dumps(found))
        return 0 if found["upright"] else 1
    print(f"{found['robot']} over DDS on loopback: {'upright' if found['upright'] else 'FELL'}, {found['n']} figures")
    for key in ("receipt_to_robot_ms", "receipt_to_command_ms", "robot_io_to_robot_ms"):
        row = found[key]
        print(f"  {key:24} p50 {row['p50']:6.2f}   p90 {row['p90']:6.2f}   p99 {row['p99']:6.2f}")
    print(f"  targets of the first: p50 {TARGET_P50_MS:g}, p99 {TARGET_P99_MS:g}")
    print(f"  virtual robot: {found['robot_loop_missed']} of {found['robot_loop_ticks']} ticks missed; {found['link']}")
    return 0 if found["upright"] else 1


if __name__ == "__main__":
    sys.exit(main())
