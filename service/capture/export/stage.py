"""What a stopped export leaves behind and goes on from: TO.part with a journal and the episodes that are done.

    TO.part/journal.jsonl   first the settings, then one line for each recording that was put on the grid
    TO.part/frames/         those episodes (`one.Job`)
    TO.part/whole/          the data set while it is put together; renamed to TO at the very end
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.manifest import label_of

Row = dict[str, Any]


class Stage:
    """The part folder of one export, held by one process at a time."""

    def __init__(self, to: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """
        Raises:
            ExportError: `to` exists; a part is there and nobody asked to go on with it; it was made with other
                settings; another process works on it.
            OSError: the disk says no.
        """
        to = to if to.name else to.resolve()
        if to.is_symlink() or to.exists() and not (to.is_dir() and not any(to.iterdir())):
            raise ExportError(f"{to} exists: give the name of a folder that does not, or delete it")
        self.to, self.folder = to, to.with_name(f"{to.name}.part")
        self.frames, self._whole = self.folder / "frames", self.folder / "whole"
        journal = self.folder / "journal.jsonl"
        if journal.exists() and not resume:
            raise ExportError(
                f"{self.folder} is there from an export that was stopped: go on with --resume, or delete it"
            )
        self.frames.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = journal.open("a+", encoding="utf-8")
        try:
            self._rows = self._begin(json.loads(json.dumps(settings)))
        except BaseException:
            self._file.close()
            raise

    def _begin(self, settings: Row) -> dict[str, Row]:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ExportError(f"another export to {self.to} is running") from None
        self._file.seek(0)
        lines = self._file.read().split("\n")
        rows: dict[str, Row] = {}
        if lines[0]:
            kept = _value(lines[0])
            if kept != settings:
                raise ExportError(
                    f"{self.folder} is of an export with other settings ({_differences(kept, settings)}): "
                    "give those again, or delete it"
                )
            for line in lines[1:]:
                row = _value(line)  # the last line may be half a line
                if isinstance(row, dict) and all((self.frames / name).exists() for name in row["pieces"]):
                    rows[row["key"]] = row
            if lines[-1]:
                self._file.write("\n")
        else:
            self._line(settings)
        return rows

    def row(self, path: Path) -> Row | None:
        """What was done with a recording before; None: nothing, or it has changed since."""
        try:
            return self._rows.get(key_of(path))
        except OSError:
            return None  # reading it will say why

    def add(self, path: Path, row: Row) -> None:
        """Keep the row of a recording whose frames are on the disk; `pieces` names their files."""
        self._line({"key": key_of(path), **row})

    def _line(self, value: object) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()

    def fresh_folder(self) -> Path:
        """An empty folder for the data set."""
        shutil.rmtree(self._whole, ignore_errors=True)
        self._whole.mkdir(parents=True)
        return self._whole

    def publish(self) -> None:
        """Give the finished data set its name and delete the rest."""
        os.rename(self._whole, self.to)
        self.discard()

    def discard(self) -> None:
        """Delete everything that was kept."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Leave the part where it is, for --resume; safe to call twice."""
        self._file.close()


def key_of(path: Path) -> str:
    """What tells one recording, and one state of it, from another."""
    status = path.stat()
    said = json.dumps(label_of(path), sort_keys=True)  # verdict and success may be given later
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {said}"


def piece_names(path: Path, count: int) -> list[str]:
    """Files for the pieces of a recording."""
    digest = hashlib.sha256(key_of(path).encode()).hexdigest()[:24]
    return [f"{digest}-{i}" for i in range(count)]


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _differences(kept: Any, asked: Row) -> str:
    if not isinstance(kept, dict):
        return "its journal cannot be read"
    names = [name for name in {**kept, **asked} if kept.get(name) != asked.get(name)]
    return ", ".join(f"{name} {kept.get(name)}, now {asked.get(name)}" for name in names)
