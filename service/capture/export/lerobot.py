"""A LeRobotDataset v3.0 of recorded episodes, written with pyarrow alone.

Frame k of an episode is the instant t_k = t_0 + k / fps on the recording host's clock (see `resample`).

`observation.state` is what the robot measured: the sample of the stream `state` nearest to t_k. By default joint
positions [rad], joint velocities [rad/s], the pelvis IMU's orientation wxyz and angular velocity [rad/s] in the
pelvis' frame. `action` is the answer to it: the joint targets [rad] of the first policy tick that ended in
[t_k, t_k + 1 / fps), and where none did, those still in force. With the setting `action` = command they are what the
safety gate let through, with reference the root position [m], root orientation wxyz and joint positions that the
operator asked the policy for. `observation.images.NAME` is the picture of that camera taken nearest to t_k, as H.264
in films of many episodes. `skew_s` says for all of them how far their sample lies from t_k [s]. Joints in motor order;
`features` in info.json names every number.

Layout: that of the files LeRobot 0.4.4 writes. Beside them `meta/modality.json`, slices of state and action for GR00T
(not tried with NVIDIA's loader), and `meta/teleopd.json`, where every episode comes from and how it was resampled.
Episodes judged `maybe` or `drop` come last and are in no split named train.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from teleopd.service.capture.export.film import Reel, feature, keys
from teleopd.service.capture.export.frames import Frames
from teleopd.service.capture.export.layout import ACTIONS, names, side_by_side, slices
from teleopd.service.capture.export.lerobot_stats import Stats, as_lists, stats_of, together
from teleopd.service.capture.export.lerobot_tables import episodes_table, splits, tasks_table
from teleopd.service.capture.export.settings import Settings
from teleopd.service.capture.video import CAMERA

DATA_FILE = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_FILE = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"
FILES_A_CHUNK = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
DEFINITION = {
    "t_k": "t_0 + k / fps on the recording host's clock; t_0 a quarter of a period before the typical action",
    "observation.state": "measured by the robot, the sample of the setting state_rule at t_k; wxyz, SI, motor order",
    "action": "of the stream in the setting `action`: the first sample in [t_k, t_k + 1 / fps), else the newest before",
    "observation.images": "the picture taken nearest to t_k on the host's clock; a slow camera shows one twice",
    "skew_s": "time of the sample less t_k [s], of state, action and cameras; a held action's is negative",
}
INDEX_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


class LeRobotWriter:
    """One data set in the making: `add` every episode, then `finish`."""

    def __init__(self, root: Path, first: Frames, settings: Settings, *, file_mb: float = DATA_FILE_MB) -> None:
        """`root` is an empty folder; `first` says robot and joints, which all episodes share."""
        self.root, self._settings, self._robot = root, settings, first.robot
        self._joints = first.joint_names
        self._keys = keys(settings.cameras)
        self._reels = {
            name: Reel(root, VIDEO_FILE.replace("{video_key}", key), FILES_A_CHUNK, VIDEO_FILE_MB)
            for name, key in self._keys.items()
        }
        self._file_bytes = file_mb * 1e6
        self._writer: pq.ParquetWriter | None = None
        self._sink: pa.NativeFile | None = None
        self._file = -1
        self._frames = 0
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._stats: list[Stats] = []
        self._origins: list[dict[str, Any]] = []
        self._verdicts: list[str] = []
        self._schema = pa.schema(
            [(name, pa.list_(pa.float32(), len(given))) for name, given in self._vectors().items()]
            + [("timestamp", pa.float32())]
            + [(name, pa.int64()) for name in INDEX_COLUMNS[1:]]
        )

    def _vectors(self) -> dict[str, list[str]]:
        """Feature -> a name for each of its numbers."""
        s = self._settings
        return {
            "observation.state": names(s.state, self._joints, s.joint_names),
            "action": names(ACTIONS[s.action], self._joints, s.joint_names),
            "skew_s": ["state", "action", *(f"{CAMERA}{name}".replace("/", ".") for name in s.cameras)],
        }

    def add(self, frames: Frames) -> None:
        """Append one episode."""
        settings, episode = self._settings, len(self._rows)
        task = self._tasks.setdefault(frames.task, len(self._tasks))
        index = np.arange(frames.n)
        skewed = ("state", settings.action, *(f"{CAMERA}{name}" for name in settings.cameras))
        columns: dict[str, np.ndarray[Any, Any]] = {
            "observation.state": side_by_side(frames.columns, "state", settings.state).astype(np.float32),
            "action": side_by_side(frames.columns, settings.action, ACTIONS[settings.action]).astype(np.float32),
            "skew_s": np.stack([frames.skew_s[name] for name in skewed], axis=1).astype(np.float32),
            "timestamp": (index / settings.rate_hz).astype(np.float32), "frame_index": index,
            "episode_index": np.full(frames.n, episode), "index": index + self._frames,
            "task_index": np.full(frames.n, task),
        }  # fmt: skip
        chunk, file = self._open_file()
        arrays = [_column(columns[field.name], field.type) for field in self._schema]
        assert self._writer is not None
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=frames.n)
        stats = {name: stats_of(values) for name, values in columns.items()}
        stats |= {key: frames.films[name].stats for name, key in self._keys.items()}
        places = {
            f"videos/{self._keys[name]}/{what}": value for name, reel in self._reels.items()
            for what, value in reel.add(frames.films[name], frames, settings.rate_hz).items()
        }  # fmt: skip
        self._rows.append({
            "episode_index": episode, "tasks": [frames.task], "length": frames.n,
            "data/chunk_index": chunk, "data/file_index": file,
            "dataset_from_index": self._frames, "dataset_to_index": self._frames + frames.n, **places,
        })  # fmt: skip
        self._stats.append(stats)
        self._origins.append({"episode_index": episode, **frames.record()})
        self._verdicts.append(frames.verdict)
        self._frames += frames.n

    def _open_file(self) -> tuple[int, int]:
        """Chunk and file to write to: the next one when the last has become too large."""
        if self._writer is None or (self._sink is not None and self._sink.tell() > self._file_bytes):
            self._close_file()
            self._file += 1
            path = self.root / DATA_FILE.format(
                chunk_index=self._file // FILES_A_CHUNK, file_index=self._file % FILES_A_CHUNK
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(self._sink, self._schema, compression="snappy")
        return self._file // FILES_A_CHUNK, self._file % FILES_A_CHUNK

    def _close_file(self) -> None:
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.close()
        self._writer = self._sink = None

    def close(self) -> None:
        """Let go of the open files; safe to call twice."""
        self._close_file()
        for reel in self._reels.values():
            reel.close()

    def finish(self) -> None:
        """Write everything that only the end knows."""
        self.close()
        (self.root / EPISODES_FILE).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(episodes_table(self._rows, self._stats), self.root / EPISODES_FILE, compression="snappy")
        pq.write_table(tasks_table(list(self._tasks)), self.root / "meta/tasks.parquet", compression="snappy")
        self._json("info.json", self._info())
        self._json("stats.json", as_lists(together(self._stats)))
        self._json("modality.json", self._modality())
        self._json("teleopd.json", {
            "schema": 1, "settings": self._settings.record(), "definition": DEFINITION,
            "episodes": self._origins,
        })  # fmt: skip

    def _json(self, name: str, value: object) -> None:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        (self.root / "meta" / name).write_text(text + "\n", encoding="utf-8")

    def _info(self) -> dict[str, Any]:
        features: dict[str, Any] = {
            name: {"dtype": "float32", "shape": [len(given)], "names": given} for name, given in self._vectors().items()
        }
        features |= {key: feature(self._reels[name].size, self._settings.rate_hz) for name, key in self._keys.items()}
        for name in INDEX_COLUMNS:
            kind = "float32" if name == "timestamp" else "int64"
            features[name] = {"dtype": kind, "shape": [1], "names": None}
        return {
            "codebase_version": "v3.0", "robot_type": self._robot, "total_episodes": len(self._rows),
            "total_frames": self._frames, "total_tasks": len(self._tasks), "chunks_size": FILES_A_CHUNK,
            "data_files_size_in_mb": DATA_FILE_MB, "video_files_size_in_mb": VIDEO_FILE_MB,
            "fps": int(self._settings.rate_hz), "splits": splits(self._verdicts), "data_path": DATA_FILE,
            "video_path": VIDEO_FILE, "features": features,
        }  # fmt: skip

    def _modality(self) -> dict[str, Any]:
        """GR00T's names for slices of state and action."""
        def ends(columns: Sequence[str]) -> dict[str, dict[str, int]]:
            found = slices(columns, len(self._joints))
            return {name: {"start": start, "end": end} for name, (start, end) in found.items()}

        return {
            "state": ends(self._settings.state), "action": ends(ACTIONS[self._settings.action]),
            "video": {name: {"original_key": key} for name, key in self._keys.items()},
            "annotation": {"human.task_description": {"original_key": "task_index"}},
        }  # fmt: skip


def write_lerobot(
    root: Path, episodes: Iterable[Callable[[], Frames]], settings: Settings, *, file_mb: float = DATA_FILE_MB
) -> None:  # fmt: skip
    """Write a whole data set into the empty folder `root`; each episode is loaded when its turn comes.

    Episodes have to come in the order of their verdicts: keep, maybe, drop.

    Raises:
        OSError: the disk says no.
    """
    writer: LeRobotWriter | None = None
    try:
        for load in episodes:
            frames = load()
            writer = writer or LeRobotWriter(root, frames, settings, file_mb=file_mb)
            writer.add(frames)
        if writer is not None:
            writer.finish()
    finally:
        if writer is not None:
            writer.close()


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, type=kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
