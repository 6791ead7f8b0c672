"""Small episodes of a toy robot, written as the recorder writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.schemas import channels
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

JOINTS, BODIES = ("hip", "knee"), ("Pelvis", "Head")
T0_MONO, T0_WALL = 5_000_000_000, 1_790_000_000_000_000_000
Begin = Callable[..., EpisodeWriter]


def made(n: int, seed: int = 0, step_ns: int = 2_000_000) -> dict[str, tuple[np.ndarray, list[np.ndarray]]]:
    """Random samples of every stream, `n` each: name -> (stamps [ns], columns)."""
    draw = np.random.default_rng(seed)
    found = {}
    for name, channel in channels(JOINTS, BODIES).items():
        arrays = [draw.normal(size=(n, c.size)).astype(f"<{c.kind}").astype(float) for c in channel.columns]
        found[name] = (T0_MONO + step_ns * np.arange(n, dtype=np.int64), arrays)
    return found


def write(writer: EpisodeWriter, streams: dict[str, tuple[np.ndarray, list[np.ndarray]]], chunk: int = 5) -> None:
    """Write them in chunks of so many samples."""
    for at in range(0, max(len(t) for t, _ in streams.values()), chunk):
        for name, (t_ns, arrays) in streams.items():
            writer.write(name, t_ns[at : at + chunk], [array[at : at + chunk] for array in arrays])
        writer.flush()


def begin_in(folder: Path, stem: str = "toy", **metadata: str) -> EpisodeWriter:
    """Begin a file of that stem in `folder`."""
    header = EpisodeHeader("toy", JOINTS, BODIES, {"task": "wave", **metadata}, {"robot.xml": b"<mujoco/>"})
    return EpisodeWriter(PartFile(folder, stem), header, T0_MONO, T0_WALL)
