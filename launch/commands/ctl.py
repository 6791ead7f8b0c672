"""`teleop ctl`: the operator's acts from a terminal, and the state of the running service."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.robots.ipc.session import Session, SessionMissing, session_of
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Cause, Mode, SafetyStatus
from teleopd.service.force_limit import SLEW_N_S, ForceLimitWriter
from teleopd.service.streams import Bus

Verb = Literal["status", "ready", "arm", "engage", "disengage", "stop", "damp", "reset", "compliance"]
ACTS = {
    "ready": Act.READY, "arm": Act.ARM, "disengage": Act.DISENGAGE, "stop": Act.STOP, "damp": Act.DAMP,
    "reset": Act.RESET,
}  # fmt: skip
EXPECTED = {
    "ready": {Mode.READY}, "arm": {Mode.ARMED}, "disengage": {Mode.HOLD, Mode.RETURN, Mode.ARMED},
    "stop": {Mode.RETURN, Mode.ARMED, Mode.DAMPED}, "damp": {Mode.DAMPED}, "reset": set(Mode) - {Mode.DAMPED},
}  # fmt: skip
HEARTBEAT_S = 0.05
TAKEN_NS = 20_000_000
"""After ten of its ticks robot-io has read a new word."""
SILENT_NS = 1_000_000_000
"""A state older than this is what a dead service left behind."""


@dataclass(frozen=True, slots=True)
class Ctl:
    """Operate the running service: ready, arm, engage (while this runs), stop, damp, reset; or show its state."""

    verb: Annotated[Verb, tyro.conf.Positional]
    """status: print where it stands. ready, arm: the two acts before engaging. engage: hold the deadman while this
    command runs. stop: soft stop, return to stand (again: damp). damp: damp now. reset: leave DAMPED; never moves.
    compliance: how hard the arms may push, --force-limit."""
    robot: str = "unitree_g1"
    """Robot whose service is meant."""
    json: bool = False
    """Print JSON."""
    seconds: float | None = None
    """engage: release after so long [s]."""
    force_limit: float | None = None
    """compliance: force limit [N], 5 to 15, reached at 1 N/s; without it, back to the run's own."""

    def run(self) -> int:
        """Carry out the verb; 0 when the service did it, 1 when it refused (and why is printed)."""
        model = registry.load("robot", self.robot)
        if self.seconds is not None and not 0.0 <= self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds:g}; give 0 or more")
        session = session_of(self.robot)
        if not session.folder.is_dir():
            raise SessionMissing(self.robot)
        bus = Bus(session, model.n)
        if self.verb == "status":
            return self._status(bus)
        if self.verb == "engage":
            with _locked(session.path("operator_ctl_engage.lock"), wait=False):
                return self._engage(bus, OperatorWriter(bus.slot("operator_ctl_engage"), session.token))
        if self.verb == "compliance":
            return self._compliance(bus, session)
        return self._act(bus, session)

    def _compliance(self, bus: Bus, session: Session) -> int:
        status, policy = _read(bus), bus.slot("policy_status").read()
        if policy is None or math.isnan(policy.force_limit_n):
            why = "the policy has no force limit and compliance.admittance is off" if policy else "no policy runs yet"
            return self._say(1, status, f"compliance refused: {why}")
        with _locked(session.path("operator_ctl.lock"), wait=True):
            writer = ForceLimitWriter(bus.slot("compliance_ctl"), session.token)
            try:
                writer.ask(self.force_limit, time.monotonic_ns())
            except ValueError as error:
                raise CommandError(str(error)) from None
        wanted = "the run's own" if self.force_limit is None else f"{self.force_limit:g} N"
        text = f"force limit: {policy.force_limit_n:.1f} N, on the way to {wanted} at {SLEW_N_S:g} N/s"
        return self._say(0, status, text)

    def _act(self, bus: Bus, session: Session) -> int:
        before = _read(bus)
        with _locked(session.path("operator_ctl.lock"), wait=True):
            written_ns = time.monotonic_ns()
            OperatorWriter(bus.slot("operator_ctl"), session.token).act(ACTS[self.verb], written_ns)

        def refused(status: SafetyStatus) -> bool:
            return status.refused_commands > before.refused_commands

        def done(status: SafetyStatus) -> bool:
            taken = status.t_ns - written_ns > TAKEN_NS
            return taken and (refused(status) or status.mode in EXPECTED[self.verb])

        after = _wait(bus, done, 1.0)
        if done(after) and not refused(after):
            return self._say(0, after, f"{self.verb}: {Mode(after.mode).name}")
        return self._say(1, after, f"{self.verb} refused in mode {Mode(before.mode).name}{_why(after)}")

    def _engage(self, bus: Bus, writer: OperatorWriter) -> int:
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        Console(stderr=True).print("holding the deadman; Ctrl-C releases it", highlight=False)
        last_mode, active, status = -1, False, _read(bus)
        try:
            while deadline is None or time.monotonic() < deadline:
                writer.hold(True, time.monotonic_ns())
                status = _read(bus)
                active |= status.mode == Mode.ACTIVE
                if status.mode != last_mode:
                    last_mode = status.mode
                    self._say(0, status, f"engage: {Mode(status.mode).name}")
                time.sleep(HEARTBEAT_S)
        except KeyboardInterrupt:
            pass
        finally:
            writer.hold(False, time.monotonic_ns())
        if active:
            return 0
        return self._say(1, status, f"engage refused in mode {Mode(status.mode).name}{_why(status)}")

    def _status(self, bus: Bus) -> int:
        status = _read(bus)
        source = bus.slot("source_status").read()
        rate = f"source {source.rate_hz:.0f} Hz" if source else "no source yet"
        return self._say(0, status, f"{Mode(status.mode).name}, {rate}, causes: {', '.join(_causes(status)) or 'none'}")

    def _say(self, code: int, status: SafetyStatus, text: str) -> int:
        if self.json:
            answer: dict[str, Any] = {
                "verb": self.verb, "ok": code == 0, "mode": Mode(status.mode).name, "causes": _causes(status),
                "engage_held": status.engage_held, "ready_to_arm": status.ready_to_arm,
                "refused_commands": status.refused_commands,
            }  # fmt: skip
            print(json.dumps(answer), flush=True)
        else:
            print(text, file=sys.stdout if code == 0 else sys.stderr, flush=True)
        return code


def _causes(status: SafetyStatus) -> list[str]:
    return [cause.name for cause in Cause if status.causes >> cause & 1]


def _why(status: SafetyStatus) -> str:
    return f" because of {Cause(status.blocked_by).name}" if status.blocked_by >= 0 else ""


def _read(bus: Bus) -> SafetyStatus:
    """The newest state of a live service.

    Raises:
        CommandError: there is none.
    """
    return _wait(bus, lambda _status: True, 5.0)


def _wait(bus: Bus, done: Callable[[SafetyStatus], bool], timeout_s: float) -> SafetyStatus:
    slot = bus.slot("safety_status")
    deadline = time.monotonic() + timeout_s
    status: SafetyStatus | None = None
    while time.monotonic() < deadline:
        newest: SafetyStatus | None = slot.read()
        if newest is not None and time.monotonic_ns() - newest.t_ns < SILENT_NS:
            status = newest
            if done(newest):
                return newest
        time.sleep(0.01)
    if status is None:
        raise CommandError(f"the service published no state within {timeout_s:.0f} s; is robot-io running?")
    return status


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """A slot has a single writer at a time. An act is written in microseconds, so acts wait for each other; an engage
    lasts, so a second one is refused."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise CommandError("another `teleop ctl engage` holds the deadman of this robot") from None
    finally:
        os.close(fd)
