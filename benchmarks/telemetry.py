"""What telemetry costs the control path: lateness of the loops of a whole service without it, with a broker, and with
brokers that are mad, one after the other and again (paired); and how soon a freeze becomes the last will."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TELEOP = [sys.executable, "-m", "teleopd.launch.cli"]


def run_once(seconds: float, *flags: str) -> dict[str, Any]:
    """The report of one run of a walking virtual robot."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [*TELEOP, "serve", "--source", "motion_file", "--motion", "walk", "--loop", "--no-view", "--auto-engage",
             "--seconds", str(seconds), "--report", str(report), "--log-folder", "none", *flags],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "TELEOPD_RUNTIME_DIR": f"{folder}/run"},
        )  # fmt: skip
        found: dict[str, Any] = json.loads(report.read_text())
        return found


async def paired(seconds: float, rounds: int) -> None:
    from tests.service.telemetry.brokers import MAD, MadBroker, Mosquitto, free_port

    with tempfile.TemporaryDirectory() as folder:
        mosquitto = Mosquitto(Path(folder))
        for number in range(rounds):
            for way in ("none", "mosquitto", "absent", *MAD):
                mad = None if way in ("none", "mosquitto", "absent") else MadBroker(way)
                if mad:
                    await mad.__aenter__()
                port = {"mosquitto": mosquitto.port, "absent": free_port()}.get(way, mad.port if mad else 0)
                flags = () if way == "none" else ("--mqtt", f"127.0.0.1:{port}")
                report = await asyncio.to_thread(run_once, seconds, *flags)
                if mad:
                    await mad.__aexit__()
                late = {name: (loop["late_us"]["p50"], loop["late_us"]["p99"], loop["missed"])
                        for name, loop in report["loop"].items() if name in ("robot_io", "control")}  # fmt: skip
                print(f"round {number + 1} {way:20} upright {report['upright']}  "
                      + "  ".join(f"{name} late p50 {p50:.0f} p99 {p99:.0f} us, missed {missed}"
                                  for name, (p50, p99, missed) in late.items()), flush=True)  # fmt: skip
        mosquitto.close()


async def will_delay(times: int) -> None:
    from tests.service.telemetry.brokers import Mosquitto, Subscriber

    with tempfile.TemporaryDirectory() as folder:
        mosquitto = Mosquitto(Path(folder) / "mosquitto")
        robot = subprocess.Popen(
            [sys.executable, "-m", "tests.service.telemetry.robots", "1", str(mosquitto.port)], cwd=ROOT
        )
        delays = []
        async with Subscriber(mosquitto.port) as live:
            for _ in range(times):
                await live.until(lambda: live.of("connection")[-1:] and
                                 live.of("connection")[-1]["connectionState"] == "ONLINE", "ONLINE")  # fmt: skip
                await asyncio.sleep(1.3)
                psutil.Process(robot.pid).send_signal(signal.SIGSTOP)
                began = time.monotonic()
                await live.until(lambda: live.of("connection")[-1]["connectionState"] == "CONNECTIONBROKEN", "the will")
                delays.append(time.monotonic() - began)
                psutil.Process(robot.pid).send_signal(signal.SIGCONT)
        robot.terminate()
        robot.wait(10)
        mosquitto.close()
        delays.sort()
        print(f"SIGSTOP -> last will, {times} times: median {delays[len(delays) // 2]:.2f} s, max {delays[-1]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--wills", type=int, default=10)
    chosen = parser.parse_args()
    asyncio.run(will_delay(chosen.wills))
    asyncio.run(paired(chosen.seconds, chosen.rounds))


if __name__ == "__main__":
    main()
