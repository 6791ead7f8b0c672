"""When episodes begin and end, what operators wish, and what happens when the disk refuses. No clock, no processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from teleopd.robots.model import RobotModel
from teleopd.service.capture import manifest
from teleopd.service.capture.part_file import RecordingError
from teleopd.service.capture.recording import Inputs, Recording
from teleopd.service.capture.records import (
    ENDED,
    FAILED,
    PATH_BYTES,
    RECORDING,
    SENTENCE_BYTES,
    VERBS,
    WAITING,
    RecorderStatus,
    as_bytes,
    as_text,
)
from teleopd.service.capture.spool import SpooledFile
from teleopd.service.capture.verdict import ON_ITS_FEET
from teleopd.service.capture.writer import EpisodeHeader

SPACE_NS = 1_000_000_000
"""How often free space is looked at."""
RESERVE_BYTES = 64 << 20
"""Recording ends while so much is left, so that the episode gets its index and the machine keeps working."""
AFTERMATH_NS = 1_000_000_000
"""An episode goes on so long after the policy lost the motors."""
DISCARDED = "discarded"
"""Folder inside the recordings' one for episodes nobody wants; nothing is deleted."""


def free_bytes(folder: Path) -> int:
    """Space left for this user.

    Raises:
        OSError: the folder is gone.
    """
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Recorder:
    """The recorder's logic. `step` often; it never raises for anything a disk may do."""

    def __init__(
        self, folder: Path, header: EpisodeHeader, model: RobotModel, token: int, *, balances: bool = True,
        before: RecorderStatus | None = None, space: Callable[[Path], int] = free_bytes,
    ) -> None:  # fmt: skip
        """
        Args:
            token: the session's; wishes with another are not heard.
            balances: a policy and a robot are there; else an episode begins with the first reference.
            before: last word of a recorder that died in this run; this one goes on in a new episode.
            space: bytes left in a folder.
        """
        self._folder, self._header, self._model, self._token = folder, header, model, token
        self._balances, self._space = balances, space
        self._recording: Recording | None = None
        self._state, self._episodes, self._lost = WAITING, 0, 0
        self._auto, self._sentence, self._refused = True, "recording begins when the robot is armed", False
        self._last: Path | None = None
        self._taken_ns = 0
        if before is not None:
            self._taken_ns, self._episodes = before.taken_ns, before.episodes
            self._auto = before.state != FAILED
            if before.state == RECORDING:
                torn = Path(as_text(before.path)).name
                self._header = replace(header, metadata={**header.metadata, "continues": torn})
                self._sentence = f"the recorder was restarted; {torn}.part can be recovered"
        self._since_ns = self._taken_ns
        self._heard: dict[int, int] = {}
        self._spaced_ns = self._unwanted_ns = 0

    @property
    def file(self) -> SpooledFile | None:
        """The file that is being written, for a thread that syncs it."""
        return self._recording.file if self._recording is not None else None

    @property
    def ended(self) -> bool:
        """The end of the run was wished."""
        return self._state == ENDED

    def step(self, given: Inputs) -> RecorderStatus:
        """Take everything in; returns what to publish."""
        for writer, wish in enumerate(given.wishes):
            if wish is None or wish.token != self._token or wish.t_ns <= self._heard.get(writer, self._since_ns):
                continue
            self._heard[writer] = wish.t_ns
            self._obey(VERBS[wish.verb] if 0 <= wish.verb < len(VERBS) else "", given)
            self._taken_ns = max(self._taken_ns, wish.t_ns)
        if self._recording is None and self._auto and self._state == WAITING and self._has_begun(given):
            self._begin(given)
        self._take(given)
        self._end_by_itself(given)
        return self.status(given.now_ns)

    def end(self, given: Inputs, why: str = "the run ended") -> RecorderStatus:
        """The run is over."""
        self._take(given)
        self._finish(given, why)
        self._state = ENDED
        return self.status(given.now_ns)

    def disk_failed(self, error: OSError) -> None:
        """A sync in another thread failed."""
        self._fail(error)

    def status(self, now_ns: int) -> RecorderStatus:
        """The state as a record to publish."""
        now = self._recording
        path = now.file.path if now is not None else self._last
        return RecorderStatus(
            now_ns, self._state, now.begun_ns if now is not None else 0, self._episodes,
            now.lost if now is not None else self._lost, self._taken_ns, self._refused,
            as_bytes(str(path or ""), PATH_BYTES), as_bytes(self._sentence, SENTENCE_BYTES),
        )  # fmt: skip

    # What operators wish

    def _obey(self, verb: str, given: Inputs) -> None:
        self._refused = False
        if verb == "end":
            self.end(given)
        elif verb == "start":
            if self._recording is not None:
                self._refuse(f"{self._recording.file.path.name} is being recorded already")
            else:
                self._auto = False
                self._begin(given)
                self._refused = self._recording is None
        elif verb and self._recording is None and (self._last is None or verb == "stop"):
            self._refuse("no episode is being recorded")
        elif verb:
            self._auto = False
            self._label(verb, given)

    def _label(self, verb: str, given: Inputs) -> None:
        """stop, success or discard, of the episode that runs, or success or discard of the last one."""
        success = {"success": "true", "discard": "false"}.get(verb, "")
        if self._recording is not None:
            self._take(given)
            self._finish(given, "the operator", success=success)
        elif self._last is not None:
            self._sentence = f"{self._last.name}: success {success}"
            self._note(self._last, {"success": success})
        if verb == "discard" and self._last is not None:
            self._discard(self._last)

    def _refuse(self, sentence: str) -> None:
        self._refused, self._sentence = True, sentence

    def _discard(self, path: Path) -> None:
        target = self._folder / DISCARDED / path.name
        try:
            target.parent.mkdir(exist_ok=True)
            if target.exists():
                raise FileExistsError(17, "there is one of that name")
            path.rename(target)
        except OSError as error:
            self._refuse(f"cannot move {path.name} to {DISCARDED}: {error.strerror}")
            return
        self._last = None
        self._sentence = f"{path.name} is discarded (kept in {DISCARDED}/)"
        self._note(path, {"success": "false", "verdict": "drop", "split": "drop", "discarded": True})

    # One episode after another

    def _has_begun(self, given: Inputs) -> bool:
        return given.mode in ON_ITS_FEET if self._balances else len(given.rows.get("reference", ())) > 0

    def _begin(self, given: Inputs) -> None:
        try:
            if self._space(self._folder) < RESERVE_BYTES:
                raise RecordingError(f"cannot record: less than {RESERVE_BYTES >> 20} MB are left on {self._folder}")
            self._recording = Recording(self._folder, self._header, self._model, given, balances=self._balances)
        except (OSError, RecordingError) as error:
            self._fail(error)
            return
        self._state, self._unwanted_ns, self._spaced_ns = RECORDING, 0, given.now_ns
        self._sentence = f"recording {self._recording.file.path.name}"

    def _take(self, given: Inputs) -> None:
        if self._recording is None:
            return
        try:
            self._recording.take(given)
            if given.now_ns - self._spaced_ns >= SPACE_NS:
                self._spaced_ns = given.now_ns
                self._look_at_space(given)
        except OSError as error:
            self._fail(error)

    def _look_at_space(self, given: Inputs) -> None:
        if self._space(self._folder) >= RESERVE_BYTES:
            return
        self._finish(given, "the disk is full")
        if self._last is not None:
            self._state, self._auto = FAILED, False
            self._sentence = (
                f"recording stopped: less than {RESERVE_BYTES >> 20} MB are left on {self._folder}; "
                f"{self._last.name} is whole"
            )

    def _end_by_itself(self, given: Inputs) -> None:
        """The policy has lost the motors for a while; an episode that an operator began ends when operators say so."""
        if self._recording is None or given.mode in ON_ITS_FEET or not self._balances or not self._auto:
            self._unwanted_ns = 0
        elif not self._unwanted_ns:
            self._unwanted_ns = given.now_ns
        elif given.now_ns - self._unwanted_ns >= AFTERMATH_NS:
            self._finish(given, "the policy lost the motors")

    def _finish(self, given: Inputs, why: str, success: str = "") -> None:
        """Close the episode that runs, if one does, and add it to the manifest."""
        if self._recording is None:
            return
        try:
            done = self._recording.finish(given, why, success)
        except OSError as error:
            self._fail(error)
            return
        self._lost = self._recording.lost
        self._recording = None
        self._state, self._episodes, self._last = WAITING, self._episodes + 1, done.path
        reason = f", {done.verdict.reasons[0]}" if done.verdict.reasons else ""
        self._sentence = f"{done.path.name}: {done.verdict.verdict}{reason}"
        self._note(done.path, done.row)

    def _note(self, path: Path, row: Mapping[str, Any]) -> None:
        try:
            manifest.append(self._folder, {"file": path.name, **row})
        except OSError as error:
            self._sentence += f"; the manifest cannot be written: {error.strerror}"

    def _fail(self, error: Exception) -> None:
        self._state, self._auto = FAILED, False
        if isinstance(error, RecordingError):
            self._sentence = str(error)
        else:
            self._sentence = f"recording stopped: {getattr(error, 'strerror', None) or error}"
        if self._recording is not None:
            failed, self._recording = self._recording, None
            failed.abandon()
            self._lost, part = failed.lost, failed.file.part.name
            self._sentence += f"; what was written is in {part} (teleop capture recover)"
