"""CPU of `teleop fleet` while 50 robots report once a second to a real mosquitto; --robots, --seconds."""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    from tests.service.telemetry.brokers import Mosquitto

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder) / "mosquitto")
        robots = subprocess.Popen(
            [sys.executable, "-m", "tests.service.telemetry.robots", str(chosen.robots), str(broker.port)], cwd=ROOT
        )
        master, slave = pty.openpty()  # the live table draws on a terminal only
        view = subprocess.Popen(
            [sys.executable, "-m", "teleopd.launch.cli", "fleet", "--broker", f"127.0.0.1:{broker.port}"],
            stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 160, 0, 0))
        drawn = [0]
        threading.Thread(target=_drain, args=(master, drawn), daemon=True).start()
        try:
            time.sleep(6.0)  # imports, fifty connections
            process = psutil.Process(view.pid)
            shares, before = [], drawn[0]
            process.cpu_percent()
            for _ in range(max(1, int(chosen.seconds / 2))):
                time.sleep(2.0)
                shares.append(process.cpu_percent())
            shares.sort()
            print(f"teleop fleet, {chosen.robots} robots at 1 Hz, 160 x 60 terminal: CPU of one core "
                  f"median {shares[len(shares) // 2]:.1f} %, max {shares[-1]:.1f} % over {2 * len(shares)} s; "
                  f"RSS {process.memory_info().rss / 1e6:.0f} MB; "
                  f"{(drawn[0] - before) / (2 * len(shares)) / 1e3:.1f} kB/s drawn")  # fmt: skip
        finally:
            for child in (view, robots):
                child.terminate()
                child.wait(10)
            broker.close()
            os.close(slave)


def _drain(master: int, drawn: list[int]) -> None:
    while True:
        try:
            drawn[0] += len(os.read(master, 65536))
        except OSError:
            return


if __name__ == "__main__":
    main()
