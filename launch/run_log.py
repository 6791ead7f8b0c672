"""What a run says, kept: rotating JSON lines in a folder, and on request JSON (or the journal's levels) on stderr.

A thread of its own writes the files: a disk that stalls never stalls the parent of a service.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import logging.handlers
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from teleopd.drivers.home import expanded
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.robots.model import RobotModel
from teleopd.safety.gate import GATE_STEPS
from teleopd.service.console.snapshot import read_snapshot, warnings
from teleopd.service.streams import Bus
from teleopd.service.telemetry.state import Identity, Stamps, iso, state_message

FILE_BYTES, OLDER_FILES = 2_000_000, 4
"""About an hour of states a file."""
STATE_NS = 1_000_000_000
REPEAT_NS = 10_000_000_000
"""An alarm is told again when it was gone for so long."""
MOST_WAITING = 1000
"""Lines that wait for a stalled disk; more are dropped, and counted."""
CLOSE_S = 2.0
FILE_NAME = "serve-{}.jsonl"
"""With the robot's name."""
JOURNAL_LEVEL = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Python's levels as syslog's, which sd-daemon(3) reads from a prefix."""


def log_folder(chosen: str, environ: dict[str, str] | None = None) -> Path | None:
    """Where logs go; None: nowhere. `chosen` is `--log-folder`."""
    given = dict(os.environ) if environ is None else environ
    if chosen:
        return None if chosen == "none" else expanded(chosen, CommandError, "--log-folder ").absolute()
    if given.get("LOGS_DIRECTORY"):  # systemd's
        return Path(given["LOGS_DIRECTORY"].partition(":")[0])
    state = given.get("XDG_STATE_HOME") or "~/.local/state"
    return expanded(state, CommandError) / "teleopd" / "log"


def in_journal(stream: Any = None, environ: dict[str, str] | None = None) -> bool:
    """Whether what is written to `stream` (stderr) ends in systemd's journal."""
    given = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        found = os.fstat((stream or sys.stderr).fileno())
    except (OSError, ValueError):
        return False
    return given == f"{found.st_dev}:{found.st_ino}"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, robot, event, and whatever else the record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": iso(record.created), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "fields", {}))


class Journal(logging.Formatter):
    """Puts syslog's level before each line, for the journal."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return f"<{JOURNAL_LEVEL.get(record.levelno, 6)}>{self._inner.format(record)}"


class RotatingFile(logging.Handler):
    """JSON lines into rotating files, written by a thread: drops and counts when the disk does not keep up."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: the file cannot be written.
        """
        super().__init__()
        self._file = logging.handlers.RotatingFileHandler(
            path, maxBytes=FILE_BYTES, backupCount=OLDER_FILES, encoding="utf-8"
        )
        self._file.setFormatter(JsonLines())
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._write, name="teleopd-log", daemon=True)
        self._thread.start()
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on; never waits."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self.lost += 1

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._file.handle(record)

    def close(self) -> None:
        """Write what waits; a disk that stalls is waited for `CLOSE_S` and no longer."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._file.close()
        super().close()


class RunLog:
    """The log of one run. Owned by the service's parent."""

    def __init__(self, config: RunConfig, model: RobotModel, policy: str) -> None:
        """Nothing is written before `open`."""
        self._config = config
        self._who = Identity(
            config.serial or config.robot, model, config.source, config.operator, policy, config.sha256,
            importlib.metadata.version("teleopd"), time.monotonic_ns(), GATE_STEPS,
        )  # fmt: skip
        self._stamps = Stamps(self._who.serial)
        self._alarms: dict[str, int] = {}
        """Alarm -> when it was last in force."""
        self._told_ns = 0
        self._logger = logging.Logger("teleopd")  # outside the tree: nobody else's handlers hear it
        self._logger.addHandler(logging.NullHandler())
        self._file: RotatingFile | None = None
        self.speaks = config.log_format == "json" or in_journal()
        """This log writes to stderr, in place of the terminal's sentences."""

    def open(self) -> None:
        """
        Raises:
            CommandError: the folder that was named cannot be written to.
        """
        if self.speaks:
            self._logger.addHandler(_stderr(self._config.log_format))
        folder = log_folder(self._config.log_folder)
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = RotatingFile(folder / FILE_NAME.format(self._config.robot))
        except OSError as error:
            if self._config.log_folder:
                raise CommandError(f"--log-folder {folder} cannot be written to: {error.strerror}") from None
            return  # nobody asked for that folder
        self._logger.addHandler(self._file)

    @property
    def lost(self) -> int:
        """Lines dropped because the disk stalled."""
        return 0 if self._file is None else self._file.lost

    def say(self, sentence: str, level: int = logging.INFO, **fields: Any) -> None:
        """Keep one sentence, and what belongs to it."""
        self._logger.log(level, "%s", sentence, extra={"fields": {"robot": self._config.robot, **fields}})

    def look(self, bus: Bus, now_ns: int) -> None:
        """Once a second: the state into the file, and alarms that are new."""
        if now_ns - self._told_ns < STATE_NS:
            return
        self._told_ns = now_ns
        snapshot = read_snapshot(bus, now_ns)
        for alarm in warnings(snapshot):
            kind = re.sub(r"[\d.]+", "#", alarm)  # its figures may change from second to second
            if now_ns - self._alarms.get(kind, -REPEAT_NS) >= REPEAT_NS:
                self.say(alarm, logging.WARNING, kind="alarm")
            self._alarms[kind] = now_ns
        self._alarms = {kind: t_ns for kind, t_ns in self._alarms.items() if now_ns - t_ns < REPEAT_NS}
        if self._file is not None:
            state = msgspec.to_builtins(state_message(snapshot, self._who, self._stamps.next("state", time.time())))
            record = self._logger.makeRecord("teleopd", logging.DEBUG, "", 0, "state", (), None)
            record.fields = {"robot": self._config.robot, "state": state}
            self._file.emit(record)

    def close(self) -> None:
        """Write what waits, and close the files."""
        if self._file is not None:
            self._logger.removeHandler(self._file)
            self._file.close()
            self._file = None


def _stderr(kind: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = JsonLines() if kind == "json" else logging.Formatter("%(message)s")
    handler.setFormatter(Journal(formatter) if in_journal() else formatter)
    return handler
