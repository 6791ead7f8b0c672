"""The log of a run: JSON lines in rotating files, levels for the journal, and a disk that stalls."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.launch import run_log
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.run_log import Journal, JsonLines, RotatingFile, RunLog, in_journal, log_folder
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.streams import Bus

S = 10**9


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    owner = SessionOwner("unitree_g1")
    yield Bus(owner.session, MODEL.n, create=True)
    owner.close()


def status(t_ns: int, mode: Mode, causes: int) -> SafetyStatus:
    return SafetyStatus(
        t_ns, 1, int(mode), t_ns, -1, 0, causes, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(29, np.uint32), False, False, -1, 0, np.zeros(29), 0,
    )  # fmt: skip


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "serve-unitree_g1.jsonl").read_text().splitlines()]


def test_sentences_states_and_new_alarms_are_json_lines(tmp_path: Path, bus: Bus):
    log = RunLog(RunConfig(log_folder=str(tmp_path / "log"), operator="anna"), MODEL, "default")
    log.open()
    log.say("source ended by SIGKILL; restarting it")
    for second in range(1, 4):
        bus.slot("safety_status").write(status(second * S, Mode.ACTIVE, (second > 1) << Cause.MOTOR_WARM))
        log.look(bus, second * S)
        log.look(bus, second * S + 10)
    log.close()
    found = lines(tmp_path / "log")
    assert [(line["level"], line["event"]) for line in found] == [
        ("info", "source ended by SIGKILL; restarting it"), ("debug", "state"), ("warning", "motor warm"),
        ("debug", "state"), ("debug", "state"),
    ]  # fmt: skip
    assert {line["robot"] for line in found} == {"unitree_g1"}
    states = [line["state"] for line in found if line["event"] == "state"]
    assert [(state["mode"], state["alarms"]) for state in states] == [
        ("ACTIVE", []), ("ACTIVE", ["motor warm"]), ("ACTIVE", ["motor warm"])
    ]  # fmt: skip


def test_files_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_log, "FILE_BYTES", 2000)
    log = RunLog(RunConfig(log_folder=str(tmp_path)), MODEL, "")
    log.open()
    for number in range(200):
        log.say(f"sentence {number}")
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["serve-unitree_g1.jsonl", *(f"serve-unitree_g1.jsonl.{n}" for n in range(1, 5))]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    assert lines(tmp_path)[-1]["event"] == "sentence 199"


def test_a_disk_that_stalls_costs_lines_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_log, "MOST_WAITING", 10)
    monkeypatch.setattr(run_log, "CLOSE_S", 0.01)
    stalled, begun = threading.Event(), threading.Event()
    file = RotatingFile(tmp_path / "x.jsonl")

    def stall(_record: logging.LogRecord) -> None:
        begun.set()
        stalled.wait()

    monkeypatch.setattr(file._file, "handle", stall)
    record = logging.LogRecord("teleopd", logging.INFO, "", 0, "x", (), None)
    file.emit(record)
    assert begun.wait(60)
    for _ in range(15):
        file.emit(record)
    assert file.lost == 5
    file.close()
    stalled.set()


def test_where_logs_go():
    home = str(Path.home())
    assert log_folder("none", {}) is None
    assert log_folder("", {"LOGS_DIRECTORY": "/var/log/teleopd:/x", "XDG_STATE_HOME": "/s"}) == Path("/var/log/teleopd")
    assert log_folder("", {"XDG_STATE_HOME": "/s"}) == Path("/s/teleopd/log")
    assert log_folder("", {}) == Path(home, ".local/state/teleopd/log")
    assert log_folder("/a", {"LOGS_DIRECTORY": "/b"}) == Path("/a")


def test_a_named_folder_that_cannot_be_written_to_is_one_sentence_and_another_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError) as raised:
        RunLog(RunConfig(log_folder=str(tmp_path / "file")), MODEL, "").open()
    assert str(raised.value) == f"--log-folder {tmp_path}/file cannot be written to: File exists"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    log = RunLog(RunConfig(), MODEL, "")
    log.open()
    log.say("is kept nowhere")
    log.close()


def test_in_the_journal_each_line_begins_with_its_level(tmp_path: Path):
    def line(level: int, inner: logging.Formatter) -> str:
        return Journal(inner).format(logging.LogRecord("teleopd", level, "", 0, "motor %s", ("warm",), None))

    assert line(logging.WARNING, logging.Formatter("%(message)s")) == "<4>motor warm"
    prefix, _, rest = line(logging.INFO, JsonLines()).partition(">")
    assert (prefix, json.loads(rest)["event"]) == ("<6", "motor warm")
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert in_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not in_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not in_journal(stream, {})
    assert not in_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})


def test_json_on_the_terminal_takes_the_place_of_sentences(capfd: pytest.CaptureFixture[str]):
    log = RunLog(RunConfig(log_format="json", log_folder="none"), MODEL, "")
    log.open()
    assert log.speaks
    log.say("READY", kind="mode")
    log.close()
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["kind"], line["level"]) == ("READY", "mode", "info")
    assert not RunLog(RunConfig(log_folder="none"), MODEL, "").speaks
