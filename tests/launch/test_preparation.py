"""Compiling before the first run: said, done once, and never in the way."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from teleopd.launch import preparation
from teleopd.launch.preparation import PATIENCE_S, prepare_solver
from teleopd.service.retarget.compiled import cache

SAID = "compiling the retargeter, once on this machine: about half a minute"


@pytest.fixture
def nothing_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "is_installed", lambda: True)
    monkeypatch.setattr(cache, "is_ready", lambda: False)


def outcome(monkeypatch: pytest.MonkeyPatch, result: Any) -> list[list[str]]:
    """What `subprocess.run` gives or raises; returns the commands it was given."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(preparation.subprocess, "run", run)
    return commands


@pytest.mark.usefixtures("nothing_ready")
def test_it_is_said_and_done(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    commands = outcome(monkeypatch, subprocess.CompletedProcess([], 0, "", ""))
    prepare_solver("auto", said.append)
    assert said == [SAID] and commands[0][1:] == ["-m", "teleopd.service.retarget.compiled"]


@pytest.mark.usefixtures("nothing_ready")
@pytest.mark.parametrize(
    ("result", "why"),
    [
        (subprocess.CompletedProcess([], 1, "", "Traceback\nOSError: no room"), "OSError: no room"),
        (subprocess.CompletedProcess([], -9, "", ""), "no reason given"),
        (subprocess.TimeoutExpired("python", PATIENCE_S), "not done after 300 s"),
    ],
)
def test_where_it_fails_the_run_goes_on_without(monkeypatch: pytest.MonkeyPatch, result: Any, why: str):
    said: list[str] = []
    outcome(monkeypatch, result)
    prepare_solver("compiled", said.append)
    assert said == [
        SAID, f"the retargeter could not be compiled ({why}); it runs without, at four times the processor time",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("solver", "installed", "ready"), [("fast", True, False), ("auto", False, False), ("auto", True, True)]
)
def test_nothing_is_done_where_nothing_is_needed(
    monkeypatch: pytest.MonkeyPatch, solver: str, installed: bool, ready: bool
):
    commands = outcome(monkeypatch, subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr(cache, "is_installed", lambda: installed)
    monkeypatch.setattr(cache, "is_ready", lambda: ready)
    said: list[str] = []
    prepare_solver(solver, said.append)
    assert said == [] and commands == []
