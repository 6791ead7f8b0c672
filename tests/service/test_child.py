"""Ends and refusals of child processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.rates import Rate
from teleopd.service.child import REFUSED_EXIT, CpuMeter, Ending, loop_status, refusal, refuse


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = signal.getsignal(signal.SIGTERM)
    yield Ending()
    signal.signal(signal.SIGTERM, before)


def test_sigterm_asks_for_the_end(ending: Ending):
    assert (ending.asked, ending.orphaned, ending.now) == (False, False, False)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (ending.asked, ending.orphaned, ending.now) == (True, False, True)


def test_a_parent_that_is_gone_makes_an_orphan(ending: Ending, monkeypatch: pytest.MonkeyPatch):
    parent = os.getppid()
    monkeypatch.setattr(os, "getppid", lambda: parent + 1)  # not 1: in a container the tests' own parent may be that
    assert (ending.asked, ending.orphaned, ending.now) == (False, True, True)


def test_a_parent_that_died_while_the_child_was_starting_makes_an_orphan(monkeypatch: pytest.MonkeyPatch):
    before = signal.getsignal(signal.SIGTERM)
    starter = SimpleNamespace(pid=os.getppid() + 1)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: starter)
    try:
        assert Ending().orphaned is True
        starter.pid = os.getppid()
        assert Ending().orphaned is False
    finally:
        signal.signal(signal.SIGTERM, before)


def test_refusal_is_one_sentence_and_an_exit_status_of_its_own(tmp_path: Path):
    session = Session("unitree_g1", tmp_path)
    assert refusal(session, "source") is None
    with pytest.raises(SystemExit) as ended:
        refuse(session, "source", "port 9763 is taken")
    assert ended.value.code == REFUSED_EXIT
    assert refusal(session, "source") == "port 9763 is taken"
    assert refusal(session, "control") is None


def test_cpu_share_is_of_the_time_since_the_meter_was_made(monkeypatch: pytest.MonkeyPatch):
    clock, used = [100.0], [5.0]
    monkeypatch.setattr("teleopd.service.child.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(CpuMeter, "_cpu", staticmethod(lambda: used[0]))
    meter = CpuMeter()
    assert meter.percent() == 0.0
    clock[0], used[0] = 104.0, 6.0
    assert meter.percent() == 25.0


def test_loop_status_carries_the_loops_figures():
    rate = Rate(100.0)
    rate.wait()
    rate.wait()
    rate.missed = 3
    status = loop_status(rate, CpuMeter())
    assert (status.rate_hz, status.ticks, status.missed) == (100.0, 2, 3)
    assert status.late_max_us >= status.late_p99_us >= status.late_p50_us > 0.0
