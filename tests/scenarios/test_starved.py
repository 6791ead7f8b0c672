"""Processes that run too seldom, a policy that becomes slow, memory that runs short, a console that is overrun."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from teleopd.safety.words import Cause, Mode

from .conftest import LONG_S, Service, StartService, until
from .operating import follow, stands, truth, walking
from .test_process_matrix import free_tcp_port

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.long]

BALANCING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
SLOW_POLICY = """
import os, sys, time
sys.path.insert(0, os.path.dirname(__file__))
def main(**arguments):
    from teleopd.service import control_process
    from teleopd.service.policy.runtime import PolicyRuntime
    step, wish = PolicyRuntime.step, os.environ["SLOW_POLICY_FILE"]
    def slow(self, *given):
        made = step(self, *given)
        if os.path.exists(wish):
            time.sleep(float(open(wish).read() or 0) / 1e3)
        return made
    if not arguments.get("standby"):
        PolicyRuntime.step = slow
    control_process.main(**arguments)
"""
SERVE = """
import sys
sys.path.insert(0, {folder!r})
import teleopd.launch.processes as processes
from dataclasses import replace
processes.TABLE = {{**processes.TABLE, "control": replace(processes.TABLE["control"], target="slow_policy:main")}}
from teleopd.launch.cli import main
main()
"""


@pytest.fixture(autouse=True)
def nothing_is_left_for_the_next_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that fails must not leave its service to burden the others."""
    begun: list[Service] = []
    start = Service.__init__

    def noted(self: Service, *given: Any, **named: Any) -> None:
        begun.append(self)
        start(self, *given, **named)

    monkeypatch.setattr(Service, "__init__", noted)
    yield
    for service in begun:
        service.kill()


class Stuttering:
    """A process that the machine lets run only in between: stopped and continued over and over."""

    def __init__(self, process: psutil.Process, stopped_s: float, runs_s: float) -> None:
        self._process, self._times, self._over = process, (stopped_s, runs_s), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._over.is_set():
                self._process.suspend()
                time.sleep(self._times[0])
                self._process.resume()
                time.sleep(self._times[1])

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.resume()


def finish(service: Service) -> None:
    service.interrupt()
    assert service.end() == 0, service.log()
    assert service.left() == []


@pytest.mark.parametrize("name", ["source", "control", "standby", "robot-io", "console"])
def test_a_process_that_gets_a_quarter_of_the_time_costs_nobody_the_balance(start_service: StartService, name: str):
    """30 ms stopped, 10 ms running, for three seconds of walking."""
    service = walking(start_service, "--auto-engage", "--view", "--view-port", str(free_tcp_port()))
    follow(service)
    time.sleep(1.0)
    starved = Stuttering(service.child(name), 0.03, 0.01)
    try:
        assert stands(service, 3.0), service.log()
    finally:
        starved.end()
    assert Mode(service.status().mode) in BALANCING, service.log()
    assert stands(service, 1.0)
    finish(service)


def burn() -> None:
    """Entry of a process: keep a core busy."""
    while True:
        sum(range(10_000))


def test_every_core_busy(start_service: StartService):
    """Twice as many idle loops as cores. What the loops missed is counted, and nobody is damped for it."""
    service = walking(start_service, "--auto-engage")
    follow(service)
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=burn, daemon=True) for _ in range(2 * (os.cpu_count() or 1))]
    for burner in burners:
        burner.start()
    try:
        assert stands(service, 5.0), service.log()
        assert Mode(service.status().mode) in BALANCING
    finally:
        for burner in burners:
            burner.kill()
            burner.join()
    finish(service)


@pytest.fixture
def slow_service(start_service: StartService, tmp_path: Path, shared_data: Path) -> Iterator[tuple[Service, Path]]:
    """A service whose policy takes as many milliseconds longer as a file says."""
    wish = tmp_path / "slow_ms"
    (tmp_path / "slow_policy.py").write_text(SLOW_POLICY)
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "SLOW_POLICY_FILE")}
    os.environ |= {"PYTHONPATH": str(tmp_path), "SLOW_POLICY_FILE": str(wish)}
    try:
        program = (sys.executable, "-c", SERVE.format(folder=str(tmp_path)))
        policy = str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx")
        yield walking(start_service, "--auto-engage", "--policy", policy, program=program), wish
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.mark.parametrize("extra_ms", [60, 150, 500])
def test_a_policy_that_becomes_slow_is_relieved_by_its_twin(slow_service: tuple[Service, Path], extra_ms: int):
    service, wish = slow_service
    follow(service)
    time.sleep(1.0)
    wish.write_text(str(extra_ms))
    try:
        if extra_ms > 80:
            until(lambda: service.status().cause_counts[Cause.STANDBY_TOOK_OVER] > 0, "the twin took over")
        assert stands(service, 4.0), service.log()
        counts = service.status().cause_counts
        assert counts[Cause.TARGETS_LATE] > 0 and counts[Cause.TARGETS_LOST] == 0
        assert Mode(service.status().mode) in BALANCING
    finally:
        wish.unlink()
    follow(service)  # quick again: it leads again
    finish(service)


def churn(megabytes: int) -> None:
    """Entry of a process: take memory, touch all of it, give it back, again and again."""
    while True:
        np.ones((megabytes, 1 << 17)).sum()


def test_memory_that_is_taken_and_given_back_all_the_time(start_service: StartService):
    """Two processes that take and touch half of what is free, up to 1 GiB each."""
    service = walking(start_service, "--auto-engage")
    follow(service)
    each = min(1024, psutil.virtual_memory().available // (4 << 20))
    context = multiprocessing.get_context("spawn")
    hungry = [context.Process(target=churn, args=(each,), daemon=True) for _ in range(2)]
    for process in hungry:
        process.start()
    try:
        assert stands(service, 5.0), service.log()
        assert Mode(service.status().mode) in BALANCING
    finally:
        for process in hungry:
            process.kill()
            process.join()
    finish(service)


def test_a_thousand_connections_at_the_console(start_service: StartService):
    """They are opened, half of them say something, and all stay open. The robot walks on; later the page answers."""
    port = free_tcp_port()
    service = walking(start_service, "--auto-engage", "--view", "--view-port", str(port))
    follow(service)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    connections: list[socket.socket] = []
    try:
        until(lambda: answers(port), "the page answers")
        for i in range(1000):
            one = socket.socket()
            one.settimeout(2.0)
            connections.append(one)
            with contextlib.suppress(OSError):  # the queue of the port is full: as good as connected
                one.connect(("127.0.0.1", port))
                if i % 2:
                    one.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert stands(service, 3.0), service.log()
        assert Mode(service.status().mode) in BALANCING
    finally:
        for one in connections:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: answers(port), "the page answers again")
    assert service.has_child("console")
    finish(service)


def answers(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5.0)
        try:
            client.connect(("127.0.0.1", port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return client.recv(12).startswith(b"HTTP/1.1 ")
        except OSError:
            return False


def test_killing_the_parent_stands_the_robot_and_then_damps_it(start_service: StartService):
    """SIGKILL of `teleop serve` mid-walk: what it started brings the robot to stand, damps it after five seconds and
    ends; nothing of the service goes on running."""
    service = walking(start_service, "--auto-engage")
    follow(service)
    time.sleep(1.5)
    slot = service.bus.slot("safety_status")
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait(LONG_S)
    killed_s = time.monotonic()
    modes: list[tuple[float, Mode]] = []
    fell_before_damping = False
    while time.monotonic() - killed_s < LONG_S:
        status = slot.read()
        mode = Mode(status.mode)
        if not modes or modes[-1][1] is not mode:
            modes.append((time.monotonic() - killed_s, mode))
        fell_before_damping |= mode is not Mode.DAMPED and truth(service).fallen
        if mode is Mode.DAMPED and time.monotonic_ns() - status.t_ns > 1_000_000_000:
            break
        time.sleep(0.005)
    names = [mode for _, mode in modes]
    assert names[-3:] == [Mode.RETURN, Mode.ARMED, Mode.DAMPED] and Mode.ACTIVE not in names[1:], modes
    assert 4.5 < modes[-1][0] < 4.5 + LONG_S / 2, modes
    assert not fell_before_damping
    assert service.left() == []
