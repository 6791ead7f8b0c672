"""The recorder beside a loop like robot-io's: what a push costs, what the recorder uses, what is lost, what is kept.

The loop runs twice in turn at robot-io's priority, without and with a recording: one machine, two figures of lateness.
`--seconds N` for each run, 20 when not given, the first one 600 at most. `--camera`: with pictures of 640x480 at 30 Hz
too, JPEG from a ZeroMQ server in a process of its own as Unitree's image server sends them; the memory of recorder and
cameras is looked at once a minute, so `--seconds 3600 --camera` says whether it grows.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.launch.processes import ProcessCpu, Processes
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.model import JointTargets, LowState, Reference
from teleopd.robots.rates import Rate, freeze_collector, request_priority
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.capture.cameras.spec import camera_specs
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import RECORDING, SHOWING, CommandSample, as_text
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.capture.writer import EpisodeHeader
from teleopd.service.robot_io_process import PRIORITY
from teleopd.service.streams import MAX_BODIES, Bus, HumanView

N, HZ = MODEL.n, 500.0
MEMORY_S = 60.0
LONGEST_BARE_S = 600.0
"""The loop alone says in ten minutes what it has to say."""
RNG = np.random.default_rng(0)
ANGLES, NOISE = RNG.uniform(0.2, 2.0, N), 1e-3


def moving(t_s: float) -> np.ndarray:
    """Joints that move smoothly, with the noise of encoders, which is what a compressor meets."""
    return np.sin(2 * np.pi * ANGLES * t_s) + NOISE * RNG.standard_normal(N)


@contextmanager
def as_robot_io() -> Iterator[None]:
    """At robot-io's priority, where that is permitted; the processes started before and after are not."""
    freeze_collector()
    granted = request_priority(PRIORITY)
    try:
        yield
    finally:
        if granted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def feed(bus: Bus, seconds: float) -> dict[str, np.ndarray]:
    """Run the loop; microseconds of lateness and of pushing for each tick."""
    with as_robot_io():
        return run_loop(bus, seconds)


def run_loop(bus: Bus, seconds: float) -> dict[str, np.ndarray]:
    """What robot-io pushes, tick after tick."""
    names = ("state", "command", "target", "shaped_reference", "reference", "human")
    push = {name: bus.record(name) for name in names}
    status = bus.slot("safety_status")
    zeros, kp, unit = np.zeros(N), np.full(N, 100.0), np.array([1.0, 0, 0, 0])
    faults, remote, counts = np.zeros(N, np.uint32), np.zeros(40, np.uint8), np.zeros(8, np.uint32)
    body_pos, body_quat = np.zeros((MAX_BODIES, 3)), np.tile(unit, (MAX_BODIES, 1))
    valid = np.ones(MAX_BODIES, dtype=np.bool_)
    count = round(seconds * HZ)
    late, cost = np.zeros(count), np.zeros(count)
    rate = Rate(HZ)
    for i in range(count):
        late[i] = rate.wait() / 1e3
        now_ns, q = time.monotonic_ns(), moving(i / HZ)
        status.write(SafetyStatus(
            now_ns, i, int(Mode.ACTIVE), now_ns, -1, 0, 0, np.zeros(32, np.uint32), counts, faults, True, False, -1, i,
            q, 0,
        ))  # fmt: skip
        dq, tau = moving(i / HZ), moving(i / HZ)
        state = LowState(
            now_ns, i, 5, q, dq, tau, unit, zeros[:3], zeros[:3], zeros, faults, remote, True, zeros[:3], zeros[:3]
        )
        command = CommandSample(now_ns, moving(i / HZ), zeros, zeros, kp, kp, int(Mode.ACTIVE), True, i, 0, counts)
        started = time.perf_counter_ns()
        push["state"](state)
        push["command"](command)
        cost[i] = (time.perf_counter_ns() - started) / 1e3
        if i % 10 == 0:
            reference = Reference(
                i, 1, now_ns, now_ns, now_ns, True, True, 0, 100.0, q[:3], unit, zeros[:3], zeros[:3], q, zeros
            )
            push["target"](JointTargets(
                i, now_ns, q, kp, kp, True, True, i, 1, now_ns, now_ns, True, 100.0, True, 0.0, zeros[:2]
            ))  # fmt: skip
            push["shaped_reference"](reference)
        if i % 5 == 0:
            push["reference"](reference)
            body_pos[:] = q[:3]
            push["human"](HumanView(now_ns, i, 0, len(MVN_SEGMENTS), body_pos, body_quat, valid))
    return {"late_us": late, "push_us": cost}


def publish(port: int) -> None:
    """An image server: 30 pictures a second, half a gradient that moves and half noise, until it is ended."""
    import av
    import zmq

    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 640, 480, "yuvj420p", Fraction(1, 30)
    pictures = []
    for i in range(30):
        pixels = RNG.integers(90, 160, (480, 640, 3), dtype=np.uint8)
        pixels[:, :320] = (np.arange(320)[None, :, None] + 8 * i) % 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuvj420p")
        pictures.append(b"".join(bytes(packet) for packet in codec.encode(frame)))
    out = zmq.Context().socket(zmq.PUB)
    out.bind(f"tcp://127.0.0.1:{port}")
    rate = Rate(30.0)
    while True:
        rate.wait()
        out.send(pictures[rate.ticks % len(pictures)])


def start_camera(processes: Processes, owner: SessionOwner) -> subprocess.Popen[bytes]:
    """The image server, and the process that reads it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = subprocess.Popen([sys.executable, __file__, "--publish", str(port)])
    cameras = camera_specs({"head": f"zmq://127.0.0.1:{port}"})
    processes.start("cameras", session=owner.session, robot="unitree_g1", cameras=cameras)
    return server


class Memory:
    """Resident memory of the children, once a minute, from a thread of its own."""

    def __init__(self, processes: Processes) -> None:
        self._processes, self._stop = processes, threading.Event()
        self.mb: dict[str, list[float]] = {name: [] for name in processes.children}
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._stop.wait(MEMORY_S if any(self.mb.values()) else 1.0):
            self.look()

    def look(self) -> None:
        for name, child in self._processes.children.items():
            pages = Path(f"/proc/{child.process.pid}/statm").read_text().split()[1]
            self.mb[name].append(round(int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1))

    def stop(self) -> dict[str, list[float]]:
        """First, largest and last [MB] of each."""
        self._stop.set()
        self.look()
        return {name: [values[0], max(values), values[-1]] for name, values in self.mb.items()}


def percentiles(values: np.ndarray) -> dict[str, float]:
    """p50, p99 and the largest."""
    return {name: round(float(np.percentile(values, p)), 1) for name, p in (("p50", 50), ("p99", 99), ("max", 100))}


def with_recorder(bus: Bus, owner: SessionOwner, folder: Path, seconds: float, *, camera: bool) -> dict[str, Any]:
    """The loop beside a recorder, and what became of the samples."""
    processes, slot, cpu = Processes(print), bus.slot("recorder_status"), ProcessCpu()
    names = ("head",) if camera else ()
    header = EpisodeHeader("unitree_g1", MODEL.joint_names, MVN_SEGMENTS, {}, {}, names)
    server = start_camera(processes, owner) if camera else None
    seen = bus.slot("camera_status_0")
    while camera and (seen.read() is None or seen.read().state != SHOWING):
        time.sleep(0.05)
    processes.start("recorder", session=owner.session, robot="unitree_g1", folder=str(folder), header=header)
    feed(bus, 0.1)
    while slot.read() is None or slot.read().state != RECORDING:
        time.sleep(0.01)
    pid = processes.children["recorder"].process.pid or 0
    cpu.percent(pid)
    eyes = processes.children["cameras"].process.pid or 0 if camera else 0
    cpu.percent(eyes) if camera else 0.0
    memory = Memory(processes)
    measured = feed(bus, seconds)
    percent = cpu.percent(pid)
    camera_percent = cpu.percent(eyes) if camera else 0.0
    rss_mb = memory.stop()
    asked_ns = time.monotonic_ns()
    EpisodeWishes(bus.slot("episode_serve"), owner.session.token).wish("end", asked_ns)
    while slot.read().taken_ns < asked_ns:
        time.sleep(0.01)
    path = Path(as_text(slot.read().path))
    processes.end()
    if server is not None:
        server.kill()
        server.wait()
    started = time.perf_counter()
    episode = read_episode(path)
    read_s = time.perf_counter() - started
    return {
        "late_us": percentiles(measured["late_us"]), "push_us": percentiles(measured["push_us"]),
        "recorder_cpu_percent": round(percent, 1), "camera_cpu_percent": round(camera_percent, 1),
        "rss_mb_first_most_last": rss_mb, "pictures": {name: video.n for name, video in episode.videos.items()},
        "dropped": sum(episode.dropped.values()), "mb_per_minute": round(path.stat().st_size / 1e6 / seconds * 60, 1),
        "read_times_real_time": round(episode.duration_s / read_s, 1), "samples": episode.streams["command"].n,
    }  # fmt: skip


def main() -> int:
    """Measure and print."""
    if "--publish" in sys.argv:
        publish(int(sys.argv[-1]))
    camera = "--camera" in sys.argv
    seconds = float(sys.argv[sys.argv.index("--seconds") + 1]) if "--seconds" in sys.argv else 20.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TELEOPD_RUNTIME_DIR"] = f"{folder}/run"
        owner = SessionOwner("unitree_g1")
        try:
            bare = feed(Bus(owner.session, N, create=True), min(seconds, LONGEST_BARE_S))
            recorded = with_recorder(Bus(owner.session, N, create=True, record=True, cameras=1), owner,
                                     Path(folder), seconds, camera=camera)
        finally:
            owner.close()
    print(json.dumps({"seconds": seconds, "without": {"late_us": percentiles(bare["late_us"])}, "with": recorded}))
    return 1 if recorded["dropped"] else 0


if __name__ == "__main__":
    sys.exit(main())
