"""Many recordings in one export: each put on the grid and kept, then all of them written as one data set.

A recording that cannot be exported does not cost the others; recordings of different robots or joints do not mix.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.export.frames import load
from teleopd.service.capture.export.one import LOST, Job, Read
from teleopd.service.capture.export.peers import read_recording, recording_body
from teleopd.service.capture.export.recordings import Body, check_alike, check_names
from teleopd.service.capture.export.settings import VERDICTS, Settings
from teleopd.service.capture.export.stage import Row, Stage
from teleopd.service.capture.export.workers import each

Progress = Callable[[int, int, str], None]
"""Recordings done, recordings in all, the name of the last."""

NEEDS: Mapping[str, tuple[str, str]] = {
    "lerobot": ("pyarrow", "capture"), "csv": ("pyarrow", "capture"), "hdf5": ("h5py", "hdf5"),
}  # fmt: skip
"""Format -> what it imports, and the extra that installs it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of every recording."""

    to: Path
    """The data set; not there when no episode was exported."""
    episodes: list[Row] = field(default_factory=list)
    """Of each episode in it: name, robot, metadata, frames, skew_ms, in the order of the data set."""
    failed: list[tuple[Path, str]] = field(default_factory=list)
    """Recordings that could not be exported, and why."""
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """Recordings that were not to be exported, and why."""

    @property
    def frames(self) -> int:
        """Of all episodes."""
        return sum(int(row["frames"]) for row in self.episodes)

    @property
    def status(self) -> int:
        """Exit status: 0 when nothing failed and something was exported."""
        return 0 if self.episodes and not self.failed else 1


def export_episodes(
    paths: Sequence[Path], to: Path, settings: Settings, *, resume: bool = False, processes: int = 1,
    progress: Progress | None = None, read: Read = read_recording,
    identify: Callable[[Path], Body | None] = recording_body,
) -> Summary:  # fmt: skip
    """Export all recordings to the new folder `to`; an export that was stopped goes on with `resume`.

    Args:
        read: how a recording becomes an `Episode`; what it raises is that recording's failure.
        identify: robot and joints of a recording, None where it does not say; from its beginning by default.

    Raises:
        ExportError: it cannot be done as asked; nothing is at `to`.
        OSError: the disk says no; what was done is kept beside `to`.
    """
    module, extra = NEEDS.get(settings.fmt, ("numpy", ""))
    if importlib.util.find_spec(module) is None:
        raise ExportError(f"format {settings.fmt} needs {module}: pip install 'teleopd[{extra}]'")
    check_names(paths, settings.fmt)
    check_alike(paths, identify)
    to.parent.mkdir(parents=True, exist_ok=True)
    stage = Stage(to, settings.record(), resume=resume)
    summary = Summary(to)
    try:
        rows = _on_the_grid(paths, stage, Job(stage.frames, settings, read), summary, progress, processes)
        if rows:
            _write(stage, rows, settings)
            summary.episodes.extend(_episodes(rows))
            stage.publish()
        else:
            stage.discard()
    except ExportError:
        if not resume:
            stage.discard()
        raise
    finally:
        stage.close()
    return summary


def _on_the_grid(
    paths: Sequence[Path], stage: Stage, job: Job, summary: Summary, progress: Progress | None, processes: int
) -> list[Row]:  # fmt: skip
    """The row of every recording that can be exported, in the order of the data set."""
    rows = {path: row for path in paths if (row := stage.row(path)) is not None}
    done = len(rows)
    if progress is not None:
        progress(done, len(paths), "")
    for path, row in each([path for path in paths if path not in rows], job, processes, LOST):
        rows[path] = row
        if "pieces" in row:
            stage.add(path, row)
        done += 1
        if progress is not None:
            progress(done, len(paths), path.name)
    for path in paths:
        if "error" in rows[path]:
            summary.failed.append((path, rows[path]["error"]))
        elif "left_out" in rows[path]:
            summary.left_out.append((path, rows[path]["left_out"]))
    kept = [rows[path] for path in paths if "pieces" in rows[path]]
    return sorted(kept, key=lambda row: VERDICTS.index(row["verdict"]))


def _write(stage: Stage, rows: Sequence[Row], settings: Settings) -> None:
    """The whole data set, in the stage; what was asked for decides which modules are imported."""
    root = stage.fresh_folder()
    loads = [partial(load, stage.frames / name) for row in rows for name in row["pieces"]]
    if settings.fmt == "lerobot":
        from teleopd.service.capture.export.lerobot import write_lerobot
        from teleopd.service.capture.export.lerobot_check import check_lerobot

        write_lerobot(root, loads, settings)
        check_lerobot(root)
    elif settings.fmt == "hdf5":
        from teleopd.service.capture.export.hdf5 import write_hdf5

        write_hdf5(root, loads, settings)
    else:  # the pieces are the files
        for row in rows:
            for name, episode in zip(row["pieces"], row["episodes"], strict=True):
                os.rename(stage.frames / name, root / f"{episode['name']}.{settings.fmt}")
        text = json.dumps({"schema": 1, "settings": settings.record(), "episodes": _episodes(rows)}, indent=2)
        (root / "episodes.json").write_text(text + "\n", encoding="utf-8")


def _episodes(rows: Sequence[Row]) -> list[Row]:
    return [episode for row in rows for episode in row["episodes"]]
