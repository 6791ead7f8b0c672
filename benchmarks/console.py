"""What the browser view costs, and how soon its soft stop reaches the motors.

    python benchmarks/console.py [--seconds 30] [--stops 20] [--json out.json]

Serves the virtual robot, real processes over a real policy, and opens one page as a browser does: the 3D stream, the
live figures, the camera's pictures. CPU and memory of the console process come from /proc. A soft stop is timed from
before its request is sent to the first motor command made from targets of the policy in RETURN: an upper bound of
'arrival at the gateway to the first changed command'. Figures depend on the machine: run nothing else meanwhile. Exits
with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import numpy as np
import psutil

MOST_CPU, MOST_RSS_MB, MOST_STOP_MS = 20.0, 300.0, 40.0
PATIENCE_S = 180.0
PORT = 18775
SETTLE_S = 5.0
"""The page's first messages are the robot's shape; the bounds are of what follows."""
CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (2, 0, 1), "fov": 1.0, "near": 0.1,
    "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0, 0, 0), "up_direction": (0, 0, 1),
}  # fmt: skip


class Service:
    """One `teleop serve` on the virtual robot."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        from teleopd.launch.console_access import load_tokens
        from teleopd.robots.ipc.session import Session
        from teleopd.robots.unitree_g1.model import MODEL
        from teleopd.service.streams import Bus

        self.folder, self.process = folder, process
        self.session = Session("unitree_g1", folder / "run" / "unitree_g1")
        self.bus = Bus(self.session, MODEL.n)
        self.tokens = load_tokens(folder / "state" / "teleopd" / "console.toml", print)
        self.address = f"http://127.0.0.1:{PORT}"

    def mode(self) -> str:
        from teleopd.robots.ipc.segment import SegmentMissing
        from teleopd.safety.words import Mode

        try:
            status = self.bus.slot("safety_status").read()
        except SegmentMissing:
            return ""
        return "" if status is None else Mode(status.mode).name

    async def until(self, mode: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.mode() != mode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"the service did not become {mode}; exit status {self.process.poll()}")
            await asyncio.sleep(0.02)

    async def page_up(self, client: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                async with client.get(f"{self.address}/alive") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
        raise SystemExit("the browser view did not answer")

    def console(self) -> psutil.Process:
        found = [child for child in psutil.Process(self.process.pid).children() if child.name() == "teleop:console"]
        if not found:
            raise SystemExit("the service has no console process")
        return found[0]


@contextmanager
def serving(*flags: str, record: bool = False) -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {"TELEOPD_RUNTIME_DIR": f"{name}/run", "XDG_STATE_HOME": f"{name}/state"}
        from teleopd.launch.console_access import load_tokens

        load_tokens(folder / "state" / "teleopd" / "console.toml", lambda _: None)  # made before the service reads them
        if record:
            flags += ("--record", f"{name}/episodes", "--camera", "head=virtual")
        process = subprocess.Popen(
            [sys.executable, "-m", "teleopd.launch.cli", "serve", "--source", "motion_file", "--motion", "walk",
             "--loop", "--view-port", str(PORT), "--log-folder", "none", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**environ, **paths},
        )  # fmt: skip
        try:
            yield Service(folder, process)
        finally:
            process.terminate()
            process.wait(60.0)


@contextmanager
def _task(coroutine: Any) -> Iterator[None]:
    task = asyncio.ensure_future(coroutine)
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()


async def page(client: aiohttp.ClientSession, service: Service, seen: dict[str, int]) -> None:
    """What a browser with the page open asks for."""
    await asyncio.gather(*(way(client, service, seen) for way in (_scene, _live)))


async def _scene(client: aiohttp.ClientSession, service: Service, seen: dict[str, int]) -> None:
    import viser

    async with client.ws_connect(
        service.address, protocols=[f"viser-v{viser.__version__}"], max_msg_size=0, origin=service.address
    ) as socket:
        async for message in socket:
            if not seen["scene"]:  # a page says where it looks from once it has been told what there is
                await socket.send_bytes(msgspec.msgpack.encode(CAMERA))
            seen["scene"] += 1
            seen["scene_bytes"] += len(message.data)
    raise SystemExit("the console ended the page's connection")


async def _live(client: aiohttp.ClientSession, service: Service, seen: dict[str, int]) -> None:
    pictures: dict[int, int] = {}
    async with client.ws_connect(f"{service.address}/teleopd/live", origin=service.address) as socket:
        async for message in socket:
            seen["live"] += 1
            for camera in json.loads(message.data)["cameras"]:
                number, seq = camera["number"], camera["seq"]
                if seq and pictures.get(number) != seq:
                    pictures[number] = seq
                    async with client.get(f"{service.address}/teleopd/camera/{number}") as answer:
                        seen["pictures"] += answer.status == 200
                        await answer.read()


async def cost(seconds: float) -> dict[str, Any]:
    """CPU [% of a core] and resident memory [MB] of the console process with one page open, and with none."""
    with serving("--auto-engage", record=True) as service:
        await service.until("ACTIVE")
        process = service.console()
        seen = dict.fromkeys(("scene", "scene_bytes", "live", "pictures"), 0)
        headers = {"Authorization": f"Bearer {service.tokens.operate}"}
        async with aiohttp.ClientSession(headers=headers) as client:
            await service.page_up(client)
            await asyncio.sleep(SETTLE_S)
            process.cpu_percent()
            await asyncio.sleep(SETTLE_S)
            nobody = process.cpu_percent()
            with _task(page(client, service, seen)):
                await asyncio.sleep(SETTLE_S)
                before = dict(seen)
                process.cpu_percent()
                shares = []
                for _ in range(max(1, round(seconds / 5.0))):
                    await asyncio.sleep(5.0)
                    shares.append(process.cpu_percent())
                rss_mb = process.memory_info().rss / 1e6
    rates = {name: round((seen[name] - before[name]) / (5.0 * len(shares)), 1) for name in seen}
    return {
        "cpu_percent_nobody": nobody, "cpu_percent": round(float(np.mean(shares)), 1), "cpu_percent_max": max(shares),
        "rss_mb": round(rss_mb, 1), "messages_per_s": rates,
    }  # fmt: skip


async def stops(count: int) -> list[float]:
    """Milliseconds from a press of the soft stop to the first command of the policy's return, `count` times."""
    from teleopd.safety.operator import OperatorWriter
    from teleopd.safety.words import Act

    found: list[float] = []
    with serving("--auto-arm") as service:
        await service.until("ARMED")
        operator = OperatorWriter(service.bus.slot("operator_ctl"), service.session.token)
        ticks, commands = Tail(service.bus.ring("tick_log")), Tail(service.bus.ring("command_log"))
        headers = {"Authorization": f"Bearer {service.tokens.watch}"}
        async with aiohttp.ClientSession(headers=headers) as client:
            await service.page_up(client)
            while len(found) < count:
                await _engaged(service, operator)
                began = time.monotonic() + 1.0 + 0.02 * np.random.default_rng(len(found)).random()
                while time.monotonic() < began:
                    operator.hold(True, time.monotonic_ns())
                    await asyncio.sleep(0.005)
                async with client.get(f"{service.address}/alive") as answer:  # a page's connection is open already
                    await answer.read()
                operator.hold(True, time.monotonic_ns())
                sent_ns = time.monotonic_ns()
                async with client.post(f"{service.address}/stop") as answer:
                    if answer.status != 200:
                        raise SystemExit(f"the soft stop was refused: {await answer.text()}")
                found.append((await _returned(ticks, commands, sent_ns) - sent_ns) / 1e6)
                operator.hold(False, time.monotonic_ns())
                await service.until("ARMED")
                operator.act(Act.RESET, time.monotonic_ns())
    return found


class Tail:
    """The newest records of a ring that another process drains; takes none away."""

    def __init__(self, ring: Any) -> None:
        self._ring = ring

    def newest(self, count: int) -> Any:
        written = int(self._ring._written[0])
        records = self._ring._records.view(self._ring._codec.dtype)
        return records[np.arange(max(0, written - count), written) % self._ring._capacity]


async def _engaged(service: Service, operator: Any) -> None:
    """Press the deadman until the robot follows: a press while something forbids it counts for nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while service.mode() != "ACTIVE":
        if time.monotonic() > deadline:
            raise SystemExit(f"the robot stays {service.mode()} and cannot be engaged")
        operator.hold(False, time.monotonic_ns())
        await asyncio.sleep(0.3)
        pressed = time.monotonic()
        while service.mode() != "ACTIVE" and time.monotonic() - pressed < 1.0:
            operator.hold(True, time.monotonic_ns())
            await asyncio.sleep(0.02)


async def _returned(ticks: Tail, commands: Tail, sent_ns: int) -> int:
    """When the first command from targets made in RETURN was written [ns]."""
    from teleopd.safety.words import Mode

    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        await asyncio.sleep(0.02)
        rows = ticks.newest(400)
        first = rows[(rows["t_ns"] > sent_ns) & (rows["mode"] == Mode.RETURN)]["targets_seq"]
        if len(first):
            rows = commands.newest(400)
            written = rows[(rows["targets_seq"] >= first.min()) & (rows["t_command_ns"] > sent_ns)]["t_command_ns"]
            if len(written):
                return int(written.min())
    raise SystemExit("the soft stop changed no command within 5 s")


def main() -> int:
    """Both figures; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    figures = asyncio.run(cost(chosen.seconds))
    print(f"console with one page: CPU {figures['cpu_percent']} % of a core (at most {MOST_CPU:g}), "
          f"RSS {figures['rss_mb']} MB (at most {MOST_RSS_MB:g}); nobody looks: {figures['cpu_percent_nobody']} %; "
          f"a second: {figures['messages_per_s']}")  # fmt: skip
    measured = asyncio.run(stops(chosen.stops)) if chosen.stops else [0.0]
    p50, p95 = (float(v) for v in np.percentile(measured, (50, 95)))
    figures["stop_ms"] = {"p50": round(p50, 1), "p95": round(p95, 1), "max": round(max(measured), 1),
                          "n": len(measured)}  # fmt: skip
    print(f"soft stop to the first changed command: p50 {p50:.1f} ms, p95 {p95:.1f} ms (at most {MOST_STOP_MS:g}), "
          f"largest {max(measured):.1f} ms of {len(measured)}")  # fmt: skip
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    good = figures["cpu_percent"] <= MOST_CPU and figures["rss_mb"] <= MOST_RSS_MB and p95 <= MOST_STOP_MS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
