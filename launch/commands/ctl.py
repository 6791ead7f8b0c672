"""`teleop ctl`: the operator's acts from a terminal, and the state of the running service."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.robots.ipc.session import Session, SessionMissing, session_of
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Cause, Mode, SafetyStatus
from teleopd.service.streams import Bus

Verb = Literal["status", "ready", "arm", "engage", "disengage", "stop", "damp", "reset"]
ACTS = {
    "ready": Act.READY, "arm": Act.ARM, "disengage": Act.DISENGAGE, "stop": Act.STOP, "damp": Act.DAMP,
    "reset": Act.RESET,
}  # fmt: skip
EXPECTED = {
    "ready": {Mode.READY}, "arm": {Mode.ARMED}, "disengage": {Mode.HOLD, Mode.RETURN, Mode.ARMED},
    "stop": {Mode.RETURN, Mode.ARMED, Mode.DAMPED}, "damp": {Mode.DAMPED}, "reset": {Mode.IDLE},
}  # fmt: skip
HEARTBEAT_S = 0.05


@dataclass(frozen=True, slots=True)
class Ctl:
    """Operate the running service: ready, arm, engage (while this runs), stop, damp, reset; or show its state."""

    verb: Annotated[Verb, tyro.conf.Positional]
    """status: print where it stands. ready, arm: the two acts before engaging. engage: hold the deadman while this
    command runs. stop: soft stop, return to stand (again: damp). damp: damp now. reset: leave DAMPED; never moves."""
    robot: str = "unitree_g1"
    """Robot whose service is meant."""
    json: bool = False
    """Print JSON."""
    seconds: float | None = None
    """engage: release after so long [s]."""

    def run(self) -> int:
        """Carry out the verb; 0 when the service did it, 1 when it refused (and why is printed)."""
        model = registry.load("robot", self.robot)
        session = session_of(self.robot)
        if not session.folder.is_dir():
            raise SessionMissing(self.robot)
        bus = Bus(session, model.n)
        if self.verb == "status":
            return self._status(bus)
        with _only_ctl(session):
            writer = OperatorWriter(bus.slot("operator_ctl"), session.token)
            if self.verb == "engage":
                return self._engage(bus, writer)
            return self._act(bus, writer)

    def _act(self, bus: Bus, writer: OperatorWriter) -> int:
        before = _read(bus)
        writer.act(ACTS[self.verb], time.monotonic_ns())
        after = _wait(bus, lambda s: s.mode in EXPECTED[self.verb], 1.0)
        if after.mode in EXPECTED[self.verb]:
            return self._say(0, after, f"{self.verb}: {Mode(after.mode).name}")
        why = f" because of {Cause(after.blocked_by).name}" if after.blocked_by >= 0 else ""
        return self._say(1, after, f"{self.verb} refused in mode {Mode(before.mode).name}{why}")

    def _engage(self, bus: Bus, writer: OperatorWriter) -> int:
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        Console(stderr=True).print("holding the deadman; Ctrl-C releases it", highlight=False)
        last_mode = -1
        try:
            while deadline is None or time.monotonic() < deadline:
                writer.hold(True, time.monotonic_ns())
                status = _read(bus)
                if status.mode != last_mode:
                    last_mode = status.mode
                    self._say(0, status, f"engage: {Mode(status.mode).name}")
                time.sleep(HEARTBEAT_S)
        except KeyboardInterrupt:
            pass
        finally:
            writer.hold(False, time.monotonic_ns())
        return 0

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


def _read(bus: Bus) -> SafetyStatus:
    return _wait(bus, lambda _status: True, 5.0)


def _wait(bus: Bus, done: Callable[[SafetyStatus], bool], timeout_s: float) -> SafetyStatus:
    slot = bus.slot("safety_status")
    deadline = time.monotonic() + timeout_s
    status: SafetyStatus | None = None
    while time.monotonic() < deadline:
        newest: SafetyStatus | None = slot.read()
        if newest is not None and done(newest):
            return newest
        status = newest
        time.sleep(0.01)
    if status is None:
        raise CommandError(f"the service published no state within {timeout_s:.0f} s; is robot-io running?")
    return status


class _only_ctl:
    """One `teleop ctl` writes at a time: the slot has a single writer."""

    def __init__(self, session: Session) -> None:
        self._path = session.path("operator_ctl.lock")

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise CommandError("another `teleop ctl` is operating this robot (is an engage running?)") from None

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)
