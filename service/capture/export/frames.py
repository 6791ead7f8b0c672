"""A piece of an episode on the grid, as it waits on the disk for the data set to be put together."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.recordings import name_of
from teleopd.service.capture.export.resample import Grid, resample
from teleopd.service.capture.export.sampling import TimeArray, nearest
from teleopd.service.capture.export.settings import VERDICTS, Settings
from teleopd.service.capture.video import CAMERA

if TYPE_CHECKING:
    from teleopd.service.capture.export.film import Film

KEPT = (
    "operator", "task", "success", "notes", "verdict", "verdict_reasons", "t0_wall_ns", "t0_mono_ns",
    "software_version", "config_sha256", "policy", "policy_sha256", "robot_sha256", "source", "link", "complete",
)  # fmt: skip
"""Metadata of the recording that every data set carries on."""
NO_TASK = "teleoperation"
"""Stands for the task where nobody wrote one: trainers want a text."""


@dataclass(frozen=True, slots=True)
class Frames:
    """One episode of a data set: N frames of a robot with J joints."""

    name: str
    """Of the recording, with .1, .2 behind it where it was cut."""
    robot: str
    joint_names: tuple[str, ...]
    rate_hz: float
    t_ns: TimeArray
    """(N,) on the recording host's monotonic clock."""
    columns: Mapping[str, Array]
    """'stream.column' -> (N, k)."""
    skew_s: Mapping[str, Array]
    """Stream -> time of its sample less that of the frame [s], (N,)."""
    metadata: Mapping[str, str]
    """Those of KEPT that the recording has."""
    quality: Mapping[str, Any]
    """start_s and seconds in the recording, frames, held, passed_over, skew_ms {stream: {max, p99}}, dropped."""
    films: Mapping[str, Film] = field(default_factory=dict)
    """Camera -> its film, a picture a frame."""

    @property
    def n(self) -> int:
        """Number of frames."""
        return len(self.t_ns)

    @property
    def task(self) -> str:
        """What was done, never empty."""
        return self.metadata.get("task", "").strip() or NO_TASK

    @property
    def verdict(self) -> str:
        """keep, maybe or drop; keep where nobody judged, drop for a word that is none of them."""
        said = self.metadata.get("verdict", "") or "keep"
        return said if said in VERDICTS else "drop"

    def record(self) -> dict[str, Any]:
        """What is known about where it comes from, as JSON values."""
        return {"name": self.name, "robot": self.robot, **self.metadata, **self.quality}


def frames_of(episode: Episode, settings: Settings) -> tuple[Frames, ...]:
    """The pieces of a recorded episode at the rate asked for.

    Raises:
        EpisodeRefused: see `resample`.
    """
    if settings.cameras:
        times = {f"{CAMERA}{name}": Stream(video.t_ns, {}) for name, video in episode.videos.items()}
        episode = replace(episode, streams={**episode.streams, **times})
    grids = resample(episode, settings.wants(), settings.rate_hz, on_gap=settings.on_gap)
    metadata = {key: _text(episode.metadata[key]) for key in KEPT if key in episode.metadata}
    stem = _text(name_of(episode.path))
    return tuple(
        Frames(
            stem if len(grids) == 1 else f"{stem}.{i}", episode.robot, tuple(episode.joint_names), settings.rate_hz,
            grid.t_ns, grid.columns, grid.skew_s, metadata, _quality(episode, grid), _films(episode, grid, settings),
        )
        for i, grid in enumerate(grids, 1)
    )  # fmt: skip


def _films(episode: Episode, grid: Grid, settings: Settings) -> dict[str, Film]:
    """Raises EpisodeRefused where pictures cannot be decoded."""
    if not settings.cameras:
        return {}
    from teleopd.service.capture.export.film import film

    found = {}
    for name in settings.cameras:
        video = episode.videos[name]
        try:
            found[name] = film(video, nearest(video.t_ns, grid.t_ns), settings.rate_hz)
        except EpisodeRefused as error:
            raise EpisodeRefused(f"camera '{name}': {error}") from None
    return found


def _text(said: str) -> str:
    """Without halves of characters, which no file can hold."""
    return said.encode("utf-8", "replace").decode("utf-8")


def _quality(episode: Episode, grid: Grid) -> dict[str, Any]:
    sizes = {name: np.abs(skew) * 1e3 for name, skew in grid.skew_s.items()}
    return {
        "start_s": round((int(grid.t_ns[0]) - episode.t_start_ns) / 1e9, 6),
        "seconds": round((int(grid.t_ns[-1]) - int(grid.t_ns[0])) / 1e9, 6),
        "frames": len(grid.t_ns), "held": grid.held, "passed_over": grid.passed_over,
        "skew_ms": {
            name: {"max": round(float(size.max()), 3), "p99": round(float(np.percentile(size, 99)), 3)}
            for name, size in sizes.items()
        },
        "dropped": dict(episode.dropped),
    }  # fmt: skip


def save(frames: Frames, path: Path) -> None:
    """Write them whole or not at all; OSError where the disk says no."""
    head = {
        "name": frames.name, "robot": frames.robot, "joint_names": frames.joint_names, "rate_hz": frames.rate_hz,
        "metadata": dict(frames.metadata), "quality": dict(frames.quality), "films": list(frames.films),
    }  # fmt: skip
    arrays: dict[str, Any] = {f"column/{name}": values for name, values in frames.columns.items()}
    arrays |= {f"skew/{name}": values for name, values in frames.skew_s.items()}
    for name, one in frames.films.items():
        arrays |= {f"film/{name}/mp4": np.frombuffer(one.mp4, dtype=np.uint8), f"film/{name}/size": np.array(one.size)}
        arrays |= {f"film/{name}/{key}": values for key, values in one.stats.items()}
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez(file, head=np.array(json.dumps(head)), t_ns=frames.t_ns, **arrays)
    os.replace(part, path)


def load(path: Path) -> Frames:
    """What `save` wrote."""
    with np.load(path, allow_pickle=False) as data:
        head = json.loads(str(data["head"]))
        columns = {key.removeprefix("column/"): data[key] for key in data.files if key.startswith("column/")}
        skew = {key.removeprefix("skew/"): data[key] for key in data.files if key.startswith("skew/")}
        return Frames(
            head["name"], head["robot"], tuple(head["joint_names"]), head["rate_hz"], data["t_ns"], columns, skew,
            head["metadata"], head["quality"], {name: _load_film(data, name) for name in head["films"]},
        )  # fmt: skip


def _load_film(data: Any, name: str) -> Film:
    from teleopd.service.capture.export.film import Film

    prefix = f"film/{name}/"
    found = {key.removeprefix(prefix): data[key] for key in data.files if key.startswith(prefix)}
    mp4, size = found.pop("mp4").tobytes(), found.pop("size")
    return Film(mp4, (int(size[0]), int(size[1])), found)
