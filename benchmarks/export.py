"""Export of recordings to each format, as multiples of real time. Target: 50x without video.

Recordings of the G1 with every stream at its own rate are written first, so that what is timed is what a user waits
for: starting the processes, reading the MCAP, putting it on the grid, writing the data set and checking it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.cameras.h264 import Coded, Encoder
from teleopd.service.capture.export.run import export_episodes
from teleopd.service.capture.export.settings import FORMATS, Settings
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

RATES_HZ = {"state": 500, "command": 500, "target": 50, "reference": 90, "shaped_reference": 50, "human": 90}
BODIES = tuple(f"body_{i}" for i in range(24))
TARGET = 50.0
FLUSH = 50
"""Samples of the fastest stream between two flushes: 100 ms, as the recorder does."""


CAMERA_HZ = 30


def pictures(seconds: float, size: tuple[int, int]) -> Iterator[Coded]:
    """What a camera at 30 Hz sees: grey of a shade that says which picture it is, and noise in its lower half."""
    encoder, draw = Encoder(), np.random.default_rng(0)
    noise = draw.integers(0, 255, (size[1] // 2, size[0], 3), dtype=np.uint8)
    for i in range(int(seconds * CAMERA_HZ)):
        pixels = np.full((size[1], size[0], 3), 30 + 4 * (i % 50), dtype=np.uint8)
        pixels[size[1] // 2 :] = np.roll(noise, i, axis=1)
        yield encoder.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"), key=i == 0)


def write_recording(
    folder: Path, name: str, seconds: float, seed: int, camera: tuple[int, int] | None = None
) -> Path:
    """One recording of smooth motion with noise; every stream complete. `camera`: size of its pictures [px]."""
    draw = np.random.default_rng(seed)
    t0_ns = 5_000_000_000
    about = {"task": f"wave {seed % 3}", "verdict": "keep"}
    header = EpisodeHeader(G1.name, G1.joint_names, BODIES, about, {}, ("head",) if camera else ())
    writer = EpisodeWriter(PartFile(folder, name), header, t0_ns, 1_790_000_000_000_000_000)
    table = channels(G1.joint_names, BODIES)
    made = {}
    for stream, rate in RATES_HZ.items():
        n = int(seconds * rate)
        t = np.arange(n) / rate
        arrays = []
        for column in table[stream].columns:
            if "quat" in column.name:
                one = np.stack([np.cos(t / 9.0), 0.0 * t, 0.0 * t, np.sin(t / 9.0)], axis=1)
                arrays.append(np.tile(one, (1, column.size // 4)))
            else:
                arrays.append(0.3 * np.sin(t[:, None] + np.arange(column.size)) + 1e-3 * draw.normal(size=(n, 1)))
        made[stream] = (t0_ns + np.rint(t * 1e9).astype(np.int64), arrays)
    for block in range(int(seconds * RATES_HZ["state"]) // FLUSH):
        for stream, (t_ns, arrays) in made.items():
            step = FLUSH * RATES_HZ[stream] // RATES_HZ["state"]
            part = slice(block * step, (block + 1) * step)
            writer.write(stream, t_ns[part], [array[part] for array in arrays])
        writer.flush()
    for i, coded in enumerate(pictures(seconds, camera) if camera else ()):
        t_ns = t0_ns + round(i * 1e9 / CAMERA_HZ)
        writer.picture("head", t_ns, t_ns, coded.data, coded.size)
    return writer.finish({"success": "true"}, {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each episode [s]")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--camera", action="store_true", help="with a camera of 640x480 at 30 Hz; lerobot only")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    asked = parser.parse_args()
    worst = np.inf
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        camera = (640, 480) if asked.camera else None
        paths = [write_recording(folder, f"episode_{i:03d}", asked.seconds, i, camera) for i in range(asked.episodes)]
        size = sum(path.stat().st_size for path in paths) / 1e6
        print(f"{asked.episodes} episodes of {asked.seconds:g} s, {size:.1f} MB of MCAP, {asked.processes} processes")
        for fmt in ("lerobot",) if camera else asked.formats:
            settings = Settings(fmt, cameras=("head",) if camera else ())
            start = time.perf_counter()
            summary = export_episodes(paths, folder / fmt, settings, processes=asked.processes)
            took = time.perf_counter() - start
            assert summary.status == 0, summary.failed
            ratio = asked.episodes * asked.seconds / took
            worst = min(worst, ratio)
            written = sum(path.stat().st_size for path in (folder / fmt).rglob("*") if path.is_file()) / 1e6
            print(f"{fmt:8} {took:6.2f} s, {ratio:6.0f}x real time, {written:.1f} MB")
    if camera:
        return 0
    print(f"slowest {worst:.0f}x; target {TARGET:g}x: {'met' if worst >= TARGET else 'MISSED'}")
    return 0 if worst >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
