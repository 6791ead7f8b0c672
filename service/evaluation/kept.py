"""Rows of an evaluation on the disk while it runs: a stopped one keeps what it has, and can go on from there.

`FILE.part`, one JSON value a line: first what the rows depend on, then one line for each run that ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from teleopd.service.evaluation.trial import Trial

Key = tuple[str, str, str, int]
"""Policy's label, clip as typed, disturbance, seed."""


class NotKept(ValueError):
    """What lies there is no part of this evaluation; one sentence."""


class KeptRows:
    """The part file of one evaluation. Every row is on its way to the disk when `add` returns."""

    def __init__(self, out: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        """
        Args:
            out: where the whole will be written; the part lies beside it.
            settings: what makes rows comparable: robot, length, policies by sha256.
            resume: go on with the part that is there.

        Raises:
            NotKept: there is a part and nobody asked to go on with it, or it is of other settings, or none.
            OSError: it cannot be read or written.
        """
        self._out, self.path = out, out.with_name(out.name + ".part")
        self._rows: dict[Key, dict[str, Any]] = {}
        settings = json.loads(json.dumps(settings))
        if self.path.exists():
            if not resume:
                raise NotKept(f"{self.path} is there from a run that was stopped: go on with --resume, or delete it")
            self._read(settings)
        draft = self._draft()
        self._file: IO[str] = draft.open("w", encoding="utf-8")
        self._line(settings)
        for key, row in self._rows.items():
            self._line({"key": key, "row": row})
        draft.replace(self.path)

    def _read(self, settings: Mapping[str, Any]) -> None:
        lines = self.path.read_bytes().split(b"\n")
        if _value(lines[0]) != settings:
            raise NotKept(
                f"{self.path} is of a run of another robot, other policies or another --seconds: "
                "give those again, or delete it"
            )
        for line in lines[1:]:
            kept = _value(line)  # the last line may be half a line
            if isinstance(kept, dict) and "error" not in kept["row"]:
                policy, clip, disturbance, seed = kept["key"]
                self._rows[policy, clip, disturbance, seed] = kept["row"]

    def row(self, trial: Trial) -> dict[str, Any] | None:
        """The row of a trial that was run before; None: it was not, or could not be."""
        return self._rows.get(_key(trial))

    def add(self, trial: Trial, row: dict[str, Any]) -> None:
        """Keep the row of a trial that ended."""
        self._line({"key": _key(trial), "row": row})

    def _line(self, value: object) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Leave the part where it is; safe to call twice."""
        self._file.close()

    def done(self, document: Mapping[str, Any]) -> None:
        """Write the whole, which a reader sees at once or not at all; then the part goes."""
        self.close()
        draft = self._draft()
        draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
        draft.replace(self._out)
        self.path.unlink(missing_ok=True)

    def _draft(self) -> Path:
        return self.path.with_name(self.path.name + ".tmp")


def _key(trial: Trial) -> Key:
    return trial.label, trial.clip, trial.disturbance.name, trial.seed


def _value(line: bytes) -> Any:
    """What a line says; None for one that broke off."""
    try:
        return json.loads(line)
    except ValueError:
        return None
