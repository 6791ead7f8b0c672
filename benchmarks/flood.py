"""Garbage from a foreign sender beside a good 120 Hz sender: frames delivered, memory, and the loops' deadlines.

    python benchmarks/flood.py [--seconds 10] [--source network] [--json out.json]

Serves the virtual robot twice, without and with the flood: real processes, real UDP, one flooding process that
sends as fast as one core can. Good frames are counted by the source against those sent; loops report lateness and
missed ticks. Figures depend on the machine: run nothing else meanwhile. Exits with 1 where fewer than 99 % of the good
frames arrived.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

HZ = 120.0
PATIENCE_S = 60.0
"""For the service to climb its ladder to ACTIVE."""
PORTS = {"xsens": 9763, "network": 9870, "vmc": 39539}
NEEDED = 0.99
SIZE_B = 760
"""Of a piece of garbage: that of a pose."""


def flood(port: int, stop: Event, sent: Any) -> None:
    """Send garbage until told to stop; the socket blocks where the kernel's own queue is full."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        data, to, count = os.urandom(SIZE_B), ("127.0.0.1", port), 0
        while not stop.is_set():
            for _ in range(256):
                try:
                    sock.sendto(data, to)
                    count += 1
                except OSError:
                    pass
        sent.value = count


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Run:
    """One service with one good sender; figures of a stretch of time come from its shared memory and /proc."""

    def __init__(self, source: str, seconds: float, flooded: bool) -> None:
        self.source, self.seconds, self.flooded = source, seconds, flooded

    def measure(self) -> dict[str, Any]:
        from teleopd.robots.ipc.session import Session
        from teleopd.robots.unitree_g1.model import MODEL
        from teleopd.service.streams import Bus

        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "TELEOPD_RUNTIME_DIR": f"{folder}/run"}
            teleop = [sys.executable, "-m", "teleopd.launch.cli"]
            report = Path(folder) / "report.json"
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
            serve = subprocess.Popen(
                [*teleop, "serve", "--source", self.source, "--host", "127.0.0.1", "--port", str(port), "--auto-engage",
                 "--no-view", "--report", str(report)], **quiet,
            )  # fmt: skip
            emulate = subprocess.Popen(
                [*teleop, "emulate", self.source, "--port", str(port), "--motion", "wave", "--rate", str(HZ), "--loop",
                 "--quiet"], **quiet,
            )  # fmt: skip
            try:
                bus = Bus(Session("unitree_g1", Path(folder) / "run" / "unitree_g1"), MODEL.n)
                _wait_active(bus, serve)
                figures = self._stretch(bus, port, _child(serve.pid, "teleop:source"))
                serve.terminate()
                serve.wait(60.0)
                figures["modes"] = json.loads(report.read_text())["modes"]
            finally:
                for process in (emulate, serve):
                    process.terminate()
                    process.wait(20.0)
        return figures

    def _stretch(self, bus: Any, port: int, source_pid: int) -> dict[str, Any]:
        context = multiprocessing.get_context("spawn")
        stop, sent = context.Event(), context.Value("q", 0)
        flooding = context.Process(target=flood, args=(port, stop, sent)) if self.flooded else None
        if flooding:
            flooding.start()
            time.sleep(1.0)
        before, first, rss = self._now(bus), time.monotonic(), [_rss_mb(source_pid)]
        while time.monotonic() - first < self.seconds:
            time.sleep(0.5)
            rss.append(_rss_mb(source_pid))
        after = self._now(bus)
        if flooding:
            stop.set()
            flooding.join(10.0)
        passed_s = (after["source"].t_ns - before["source"].t_ns) / 1e9
        # Datagrams of the good sender that the source took in; poses that a newer one overtook inside are no loss here.
        good = sum((after["source"].received, -before["source"].received,
                    before["source"].rejected, -after["source"].rejected))  # fmt: skip
        loops = {
            name: {
                "late_p50_us": round(after[name].late_p50_us, 1), "late_p99_us": round(after[name].late_p99_us, 1),
                "late_max_us": round(after[name].late_max_us, 1), "missed": after[name].missed - before[name].missed,
                "ticks": after[name].ticks - before[name].ticks,
            }
            for name in ("control", "robot_io")
        }  # fmt: skip
        return {
            "flooded": self.flooded, "garbage_sent": int(sent.value),
            "garbage_heard": int(after["source"].rejected - before["source"].rejected),
            "good_share": round(good / (passed_s * HZ), 4), "good": int(good),
            "lost": int(after["source"].lost - before["source"].lost),
            "rss_mb": {"first": rss[0], "last": rss[-1], "most": max(rss)}, "loops": loops,
        }  # fmt: skip

    def _now(self, bus: Any) -> dict[str, Any]:
        return {"source": bus.slot("source_status").read(), "control": bus.slot("loop_control").read(),
                "robot_io": bus.slot("loop_robot_io").read()}  # fmt: skip


def _wait_active(bus: Any, serve: subprocess.Popen[bytes]) -> None:
    from teleopd.robots.ipc.segment import SegmentMissing
    from teleopd.safety.words import Mode

    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and serve.poll() is None:
        try:
            status = bus.slot("safety_status").read()
        except SegmentMissing:
            status = None
        if status is not None and status.mode == Mode.ACTIVE:
            return
        time.sleep(0.1)
    raise SystemExit(f"the service did not become ACTIVE; its exit status is {serve.poll()}")


def _child(parent: int, name: str) -> int:
    """Process id of the child of that name."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text()
        except OSError:
            continue
        if f"({name})" in fields and int(fields.rpartition(")")[2].split()[1]) == parent:
            return int(folder.name)
    raise SystemExit(f"the service has no child {name}")


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--source", choices=sorted(PORTS), default="xsens")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [Run(arguments.source, arguments.seconds, flooded).measure() for flooded in (False, True)]
    for row in rows:
        print(f"{'with' if row['flooded'] else 'without'} flood: good frames {row['good_share']:.2%} "
              f"({row['good']}, {row['lost']} lost); garbage sent {row['garbage_sent']}, heard {row['garbage_heard']}; "
              f"memory of the source {row['rss_mb']['first']} -> {row['rss_mb']['last']} MB")  # fmt: skip
        for name, loop in row["loops"].items():
            print(f"    {name:9s} late p50 {loop['late_p50_us']} us, p99 {loop['late_p99_us']} us, "
                  f"max {loop['late_max_us']} us; missed {loop['missed']} of {loop['ticks']}")  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))
    return 0 if rows[1]["good_share"] >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
