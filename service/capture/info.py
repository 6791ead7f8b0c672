"""What an episode's file holds, as plain values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.part_file import ENDING, PART, is_being_written
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.video import CAMERA, Video

SCHEMA = "teleopd.episode_info/1"
SHOWN = (
    "operator", "task", "success", "notes", "verdict", "ended", "source", "link", "policy", "policy_sha256",
    "config_sha256", "robot_sha256", "software_version", "continues", "time_back",
)  # fmt: skip


def episode_files(place: Path) -> list[Path]:
    """The file itself, or the episodes of a folder, torn ones too, by name.

    Raises:
        EpisodeError: there is nothing.
    """
    if not place.is_dir():
        return [place]
    found = sorted([*place.glob(f"*{ENDING}"), *place.glob(f"*{ENDING}{PART}")])
    if not found:
        raise EpisodeError(f"{place} holds no episodes (*{ENDING})")
    return found


def info(path: Path) -> dict[str, Any]:
    """Streams, rates, losses, duration and metadata of one file.

    Raises:
        EpisodeError: it cannot be read.
    """
    episode = read_episode(path)
    metadata = episode.metadata
    complete = metadata.get("complete") == "true"
    torn = "recovered" if "recovered_messages" in metadata else "torn"
    state = "whole" if complete else torn
    if is_being_written(path):
        state = "being recorded"
    return {
        "schema": SCHEMA, "file": str(path), "state": state, "bytes": path.stat().st_size, "robot": episode.robot,
        "joints": len(episode.joint_names), "duration_s": round(episode.duration_s, 3),
        "streams": {name: _stream(stream, episode, name) for name, stream in episode.streams.items()},
        "cameras": {name: _camera(video, episode, name) for name, video in episode.videos.items()},
        "events": len(episode.events), "damaged_chunks": int(metadata.get("damaged_chunks", "0")),
        "attachments": sorted(episode.attachments), "verdict_reasons": _reasons(metadata.get("verdict_reasons", "")),
        **{key: metadata[key] for key in SHOWN if key in metadata},
    }  # fmt: skip


def _stream(stream: Stream, episode: Episode, name: str) -> dict[str, Any]:
    return {
        **_times(stream.t_ns), "dropped": episode.dropped.get(name, 0),
        "columns": {column: values.shape[1] for column, values in stream.columns.items()},
    }  # fmt: skip


def _camera(video: Video, episode: Episode, name: str) -> dict[str, Any]:
    return {
        **_times(video.t_ns), "dropped": episode.dropped.get(f"{CAMERA}{name}", 0), "size": list(video.size),
        "bytes": sum(map(len, video.data)),
    }  # fmt: skip


def _times(t_ns: npt.NDArray[np.int64]) -> dict[str, Any]:
    gaps_ns = np.diff(t_ns)
    span_s = (int(t_ns[-1]) - int(t_ns[0])) / 1e9 if len(t_ns) else 0.0
    return {
        "samples": len(t_ns), "hz": round((len(t_ns) - 1) / span_s, 2) if span_s > 0 else 0.0,
        "longest_gap_ms": round(float(gaps_ns.max()) / 1e6, 3) if len(gaps_ns) else 0.0,
    }  # fmt: skip


def _reasons(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [str(reason) for reason in found] if isinstance(found, list) else []
