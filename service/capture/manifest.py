"""The list of a folder's episodes: one JSON line each, appended; a later line about the same file wins.

An append of one line is whole or absent, so two recorders may share a folder, and a crash costs at most its own line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "manifest.jsonl"
SCHEMA = "teleopd.manifest/1"
LABELS = ("success", "verdict", "verdict_reasons", "notes")
"""What a line may say anew about an episode after its file was closed."""


def append(folder: Path, row: Mapping[str, Any]) -> None:
    """Add one line; `file` names the episode.

    Raises:
        OSError: the disk failed.
    """
    line = json.dumps({"schema": SCHEMA, **row}, ensure_ascii=False) + "\n"
    fd = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        end = os.lseek(fd, 0, os.SEEK_END)
        torn = end > 0 and os.pread(fd, 1, end - 1) != b"\n"  # an append that a power cut divided
        os.write(fd, ("\n" if torn else "").encode() + line.encode())
        os.fdatasync(fd)
    finally:
        os.close(fd)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """File name -> everything said about it, in the order of the first mention; unreadable lines are left out."""
    found: dict[str, dict[str, Any]] = {}
    try:
        lines = (folder / NAME).read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("file"), str):
            found.setdefault(row["file"], {}).update(row)
    return found


def label_of(path: Path) -> dict[str, str]:
    """What the manifest beside an episode says about it anew, as episode metadata."""
    row = rows(path.parent).get(path.name, {})
    return {key: _text(row[key]) for key in LABELS if key in row}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)
