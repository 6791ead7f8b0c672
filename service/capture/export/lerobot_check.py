"""What LeRobot's loader does not check and its users would find out in training: done before a data set gets its name.

Counts, indices without holes, times that are frame / fps, finite numbers, totals, task texts, films as long as the
episodes in them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from teleopd.service.capture.export.errors import ExportError


def check_lerobot(root: Path) -> None:
    """Raises ExportError with what is wrong in a data set; reads one file at a time."""
    info = json.loads((root / "meta/info.json").read_text(encoding="utf-8"))
    episodes = pq.read_table(root / "meta/episodes").to_pydict()
    lengths = dict(zip(episodes["episode_index"], episodes["length"], strict=True))
    _same("episodes in info.json", info["total_episodes"], len(lengths))
    _same("frames in info.json", info["total_frames"], sum(lengths.values()))
    tasks = pq.read_table(root / "meta/tasks.parquet")
    _same("tasks in info.json", info["total_tasks"], tasks.num_rows)
    expected = 0
    for first, end, length in zip(
        episodes["dataset_from_index"], episodes["dataset_to_index"], episodes["length"], strict=True
    ):
        _same("first index of an episode", expected, first)
        _same("frames of an episode", length, end - first)
        expected = end
    at = 0
    for path in sorted((root / "data").rglob("*.parquet")):
        at = _check_file(path, at, lengths, info["fps"])
    _same("rows in data", info["total_frames"], at)
    for key, feature in info["features"].items():
        if feature["dtype"] == "video":
            _check_films(root, key, episodes, info)


def _check_films(root: Path, key: str, episodes: dict[str, list[Any]], info: dict[str, Any]) -> None:
    """Every film is as long as its episodes together, which lie in it one behind the other."""
    from teleopd.service.capture.export.film import count_frames

    ends: dict[Path, int] = {}
    for i, length in enumerate(episodes["length"]):
        chunk, file = (episodes[f"videos/{key}/{what}_index"][i] for what in ("chunk", "file"))
        path = root / info["video_path"].format(video_key=key, chunk_index=chunk, file_index=file)
        start = round(episodes[f"videos/{key}/from_timestamp"][i] * info["fps"])
        _same(f"first frame of an episode in {path.name}", ends.get(path, 0), start)
        ends[path] = start + length
    for path, end in ends.items():
        _same(f"frames in {path.name}", end, count_frames(path))


def _check_file(path: Path, at: int, lengths: dict[int, int], fps: float) -> int:
    """The number of rows up to the end of this file."""
    table = pq.read_table(path)
    index = table["index"].to_numpy()
    if not np.array_equal(index, at + np.arange(len(index))):
        raise ExportError(f"{path.name}: its indices do not go on from {at} one by one")
    frame, episode = table["frame_index"].to_numpy(), table["episode_index"].to_numpy()
    if not np.array_equal(table["timestamp"].to_numpy(), (frame / fps).astype(np.float32)):
        raise ExportError(f"{path.name}: a time is not frame / {fps}")
    for number in np.unique(episode):
        _same(f"rows of episode {number}", lengths[int(number)], int(np.count_nonzero(episode == number)))
    for name in table.column_names:
        column = table[name].combine_chunks()
        values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
        if not np.isfinite(values.to_numpy(zero_copy_only=False)).all():
            raise ExportError(f"{path.name}: '{name}' has a number that is not finite")
    return at + len(index)


def _same(what: str, expected: int, found: int) -> None:
    if expected != found:
        raise ExportError(f"{what}: {expected} expected, {found} found")
