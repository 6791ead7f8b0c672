"""The processes of a service: one table, and the parent that spawns, watches and ends them."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One row of the table."""

    name: str
    target: str
    """'module:function', called with the keyword arguments the parent gives."""
    when_it_dies: Literal["restart", "restart_damped", "report"]
    """restart: at once, at most `MAX_RESTARTS` times; restart_damped: robot-io, comes back in damp-only mode;
    report: say so and carry on."""
    end_order: int
    """Lower ends first: robot-io outlives the policy, the virtual robot outlives robot-io."""


TABLE: Mapping[str, ProcessSpec] = {
    spec.name: spec
    for spec in (
        ProcessSpec("source", "teleopd.service.source_process:main", "restart", 0),
        ProcessSpec("control", "teleopd.service.control_process:main", "restart", 2),
        ProcessSpec("arms", "teleopd.service.arms_process:main", "restart", 2),
        ProcessSpec("bridge", "teleopd.service.bridge_process:main", "restart", 2),
        ProcessSpec("standby", "teleopd.service.control_process:main", "restart", 2),
        ProcessSpec("robot-io", "teleopd.service.robot_io_process:main", "restart_damped", 1),
        ProcessSpec("virtual-robot", "teleopd.robots.virtual.process:main", "report", 3),
        ProcessSpec("console", "teleopd.service.console.process:main", "report", 0),
        ProcessSpec("telemetry", "teleopd.service.telemetry.process:main", "restart", 4),
        ProcessSpec("cameras", "teleopd.service.camera_process:main", "restart", 0),
        ProcessSpec("recorder", "teleopd.service.recorder_process:main", "restart", 4),
    )
}
MAX_RESTARTS = 5
"""A process that died so often in one run stays down; the run says so."""
SILENT_LOOKS = 5
HUNG_NS = 500_000_000
"""A process that said nothing for so long, at so many looks of its parent in a row, hangs."""
START_NS = 30_000_000_000
"""A process may take so long to say its first word."""


TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
"""What a terminal sends to all processes at once: Ctrl-C, its own closing, Ctrl-\\, Ctrl-Z."""


def run_child(name: str, target: str, arguments: dict[str, Any]) -> None:
    """Entry of every child: the terminal's signals are the parent's business, SIGTERM ends the child in order."""
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # Linux: what `top` shows, at most 15 characters
        Path("/proc/self/comm").write_text(f"teleop:{name}")
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(**arguments)


@dataclass(slots=True)
class Child:
    """A spawned process and how often it was restarted."""

    spec: ProcessSpec
    arguments: dict[str, Any]
    process: BaseProcess
    restarts: int = 0
    started_ns: int = 0
    silent: int = 0
    """Looks in a row at which it had said nothing for too long."""
    reported: bool = False


@dataclass(slots=True)
class Processes:
    """Spawns and watches children. Not thread-safe: the parent's loop owns it."""

    say: Callable[[str], None]
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, **arguments: Any) -> None:
        """Spawn the process of that row."""
        spec = TABLE[name]
        self.children[name] = Child(spec, arguments, self._spawn(spec, arguments), started_ns=time.monotonic_ns())

    def watch(self) -> None:
        """Restart or report what died since the last call."""
        for child in self.children.values():
            if child.process.exitcode is None or child.reported:
                continue
            code = child.process.exitcode
            died = f"{child.spec.name} ended {_how(code)}"
            if child.spec.when_it_dies == "report" or child.restarts >= MAX_RESTARTS:
                child.reported = True
                self.say(died if child.restarts == 0 else f"{died}, {child.restarts + 1} times now; it stays down")
                continue
            child.restarts += 1
            if child.spec.when_it_dies == "restart_damped":
                child.arguments["damp_only"] = True
            self.say(f"{died}; restarting it")
            child.process = self._spawn(child.spec, child.arguments)
            child.started_ns = time.monotonic_ns()

    def watch_silence(self, name: str, spoke_ns: int, now_ns: int, hung_ns: int = HUNG_NS) -> None:
        """Kill a process that runs and says nothing for `hung_ns`, so that `watch` replaces it. Told at every look when
        it spoke: only `SILENT_LOOKS` in a row count, so that a machine that stood still as a whole blames nobody."""
        child = self.children.get(name)
        if child is None:
            return
        silent = now_ns - max(spoke_ns, child.started_ns + START_NS) > hung_ns
        if spoke_ns > child.started_ns:
            silent = now_ns - spoke_ns > hung_ns
        child.silent = child.silent + 1 if silent and child.process.is_alive() else 0
        if child.silent >= SILENT_LOOKS:
            child.silent = 0
            self.say(f"{name} hangs; killing it")
            child.process.kill()
            child.process.join(1.0)

    def alive(self, name: str) -> bool:
        """Whether the process of that row runs."""
        return name in self.children and self.children[name].process.is_alive()

    def end(self, grace_s: float = 3.0) -> None:
        """End every child in order: SIGTERM, then SIGKILL after the grace."""
        for order in sorted({child.spec.end_order for child in self.children.values()}):
            group = [child for child in self.children.values() if child.spec.end_order == order]
            for child in group:
                if child.process.is_alive():
                    child.process.terminate()
            deadline = time.monotonic() + grace_s
            for child in group:
                child.process.join(max(0.0, deadline - time.monotonic()))
                if child.process.is_alive():
                    self.say(f"{child.spec.name} did not end in {grace_s:.0f} s; killing it")
                    child.process.kill()
                    child.process.join(1.0)
        self.children.clear()

    def _spawn(self, spec: ProcessSpec, arguments: dict[str, Any]) -> BaseProcess:
        context = multiprocessing.get_context("spawn")
        process = context.Process(
            target=run_child, args=(spec.name, spec.target, arguments), name=f"teleopd-{spec.name}", daemon=False
        )
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        # Spawn imports the parent's main module into every child: the whole command line, mujoco and all, into the
        # motor process too. An empty one in its place keeps children to what their own target imports.
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        # A Ctrl-C while the child still starts must not end it: it inherits the mask, then ignores the signal.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            sys.modules["__main__"] = main
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
        return process


class ProcessCpu:
    """Share of one core another process used since it was first asked about [%]; 0 where /proc does not tell."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[float, float]] = {}

    def percent(self, pid: int) -> float:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        used_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        now_s = time.monotonic()
        first_s, first_used_s = self._first.setdefault(pid, (now_s, used_s))
        return 100.0 * (used_s - first_used_s) / (now_s - first_s) if now_s > first_s else 0.0


def _how(exitcode: int) -> str:
    if exitcode == 0:
        return "by itself"
    if exitcode < 0:
        try:
            return f"by {signal.Signals(-exitcode).name}"
        except ValueError:
            return f"by signal {-exitcode}"
    return f"with exit status {exitcode}"


