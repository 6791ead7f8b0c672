"""A real service: processes, shared memory and UDP as a user starts them, in a runtime folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.model import Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.streams import Bus, streams

TELEOP = [sys.executable, "-m", "teleopd.launch.cli"]
LONG_S = 60.0
"""Nothing is asserted about how long things take on a loaded machine; this only ends a test that would hang."""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(done: Callable[[], bool], what: str, timeout_s: float = LONG_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.005)


class Emulator:
    """`teleop emulate` as a process, which sees the service whose `environment` it is given."""

    def __init__(
        self, port: int, *flags: str, device: str = "xsens", environment: dict[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [*TELEOP, "emulate", device, "--port", str(port), "--rate", "60", "--loop", "--quiet", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


class Service:
    """`teleop serve` as a process, seen through its shared memory."""

    started: ClassVar[list[Service]] = []
    """Those whose log is at hand."""

    def __init__(self, folder: Path, *flags: str, program: Sequence[str] = TELEOP) -> None:
        self.runtime, self.report_path = folder / "run", folder / "report.json"
        self.port = free_port()
        self.environment = {**os.environ, "TELEOPD_RUNTIME_DIR": str(self.runtime)}
        self._log = (folder / "serve.log").open("a")  # whoever reads must not move where the service writes
        self.process = subprocess.Popen(
            [*program, "serve", "--host", "127.0.0.1", "--port", str(self.port), "--no-view", "--report",
             str(self.report_path), *flags],
            env=self.environment, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self.session = Session("unitree_g1", self.runtime / "unitree_g1")
        self._bus: Bus | None = None
        self._emulators: list[Emulator] = []
        self.children: list[psutil.Process] = []
        """Every process that was seen below the service."""
        self.started.append(self)

    @property
    def bus(self) -> Bus:
        if self._bus is None:
            until(self._has_slots, "slots")
            self._alive()
            self._bus = Bus(self.session, MODEL.n)
        return self._bus

    def _has_slots(self) -> bool:
        return all(self.session.path(name).exists() for name in streams(MODEL.n)) or self.process.poll() is not None

    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def _alive(self) -> None:
        assert self.process.poll() is None, f"the service ended with {self.process.returncode}:\n{self.log()}"

    def status(self) -> SafetyStatus:
        status = self.bus.slot("safety_status").read()
        assert isinstance(status, SafetyStatus)
        return status

    def reference(self) -> Reference:
        reference = self.bus.slot("reference").read()
        assert isinstance(reference, Reference)
        return reference

    @property
    def mode(self) -> Mode | None:
        self._alive()
        status = self.bus.slot("safety_status").read()
        return None if status is None else Mode(status.mode)

    def wait_mode(self, *modes: Mode) -> SafetyStatus:
        until(lambda: self.mode in modes, f"{modes} after {self.mode}\n{self.log()}")
        self.see_children()
        return self.status()

    def see_children(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.children += [child for child in found if child not in self.children]
        return found

    def _named(self, name: str) -> list[psutil.Process]:
        found = []
        for child in self.see_children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended since
                if child.name() == f"teleop:{name}"[:15]:
                    found.append(child)
        return found

    def child(self, name: str) -> psutil.Process:
        """The running child of that row of the process table."""
        until(lambda: self.has_child(name), f"{name} runs")
        return self._named(name)[0]

    def has_child(self, name: str, beside: int = 0) -> bool:
        """Whether one runs. `beside`: and it is not this one."""
        return any(child.pid != beside for child in self._named(name))

    def emulate(self, *flags: str, device: str = "xsens") -> Emulator:
        self._emulators.append(Emulator(self.port, *flags, device=device, environment=self.environment))
        return self._emulators[-1]

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*TELEOP, "ctl", *arguments], env=self.environment, capture_output=True, text=True, timeout=LONG_S
        )

    def arm(self) -> None:
        """Ready and arm, once nothing is in the way. A machine that starves the virtual robot while it starts costs a
        reset, as it would cost a person."""
        acts = {Mode.IDLE: "ready", Mode.READY: "arm", Mode.DAMPED: "reset"}

        def climbed() -> bool:
            status, mode = self.status(), self.mode
            if mode in acts and status.blocked_by < 0 and (mode is not Mode.READY or status.ready_to_arm):
                self.ctl(acts[mode])
            return self.mode is Mode.ARMED

        until(climbed, f"{self.mode} is armed\n{self.log()}", 2 * LONG_S)

    def left(self) -> list[psutil.Process]:
        """Processes of the service that still run after its end."""
        def runs(child: psutil.Process) -> bool:
            try:
                return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                return False

        psutil.wait_procs(self.children, timeout=5)
        return [child for child in self.children if runs(child)]

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for the end; returns the exit status."""
        status = self.process.wait(LONG_S)
        for emulator in self._emulators:
            emulator.kill()
        return status

    def report(self) -> dict[str, Any]:
        report = json.loads(self.report_path.read_text())
        assert isinstance(report, dict)
        return report

    def kill(self) -> None:
        """Whatever is left, after a failed test too."""
        for emulator in self._emulators:
            emulator.kill()
        if self.process.poll() is None:
            self.see_children()
            for process in (psutil.Process(self.process.pid), *self.children):
                if process.is_running():
                    process.kill()
            self.process.wait(10)
        if self in self.started:  # some are killed twice
            self.started.remove(self)
        self._log.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the services said, below a test that failed or was not set up: elsewhere nobody can ask them."""
    report = yield
    if report.failed:
        report.sections += [(f"log of the service on port {one.port}", one.log()) for one in Service.started]
    return report


StartService = Callable[..., Service]


@pytest.fixture(scope="module")
def start_service(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[StartService]:
    """Starts services with the policy of the data folder; what is left of them is ended after the module."""
    services: list[Service] = []
    policy = str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx")

    def start(*flags: str, program: Sequence[str] = TELEOP) -> Service:
        named = ("--policy", policy) if program is TELEOP else ()
        services.append(Service(tmp_path_factory.mktemp("service"), *named, *flags, program=program))
        return services[-1]

    yield start
    for service in services:
        service.kill()


def times(report: dict[str, Any], mode: str) -> list[float]:
    """When the report says that a mode was entered [s]."""
    return [t for t, name, _ in report["modes"] if name == mode]


def without_flicker(changes: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """The changes of mode without HOLD for a moment, which a busy machine causes by starving the emulator."""
    kept: list[tuple[str, str | None]] = []
    for change in changes:
        if kept and kept[-1] == ("HOLD", "SOURCE_STALE") and change[1] != "SOURCE_LOST":
            kept.pop()
            if change == ("ACTIVE", None):
                continue
        kept.append(change)
    return kept
