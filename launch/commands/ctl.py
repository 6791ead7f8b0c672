"""`teleop ctl`: the operator's acts from a terminal, and the state of the running service."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import sys
import time
import typing
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
from teleopd.service.capture.records import RECORDING, RecorderStatus, as_text
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.console.snapshot import RECORDER_SILENT_NS
from teleopd.service.force_limit import SLEW_N_S, ForceLimitWriter
from teleopd.service.policy.commands import CANNOT, clipped_words
from teleopd.service.streams import Bus

Verb = Literal["status", "ready", "arm", "engage", "disengage", "stop", "damp", "reset", "compliance", "episode"]
EpisodeVerb = Literal["start", "stop", "success", "discard"]
ACTS = {
    "ready": Act.READY, "arm": Act.ARM, "disengage": Act.DISENGAGE, "stop": Act.STOP, "damp": Act.DAMP,
    "reset": Act.RESET,
}  # fmt: skip
EXPECTED = {
    "ready": {Mode.READY}, "arm": {Mode.ARMED}, "disengage": {Mode.HOLD, Mode.RETURN, Mode.ARMED},
    "stop": {Mode.RETURN, Mode.ARMED, Mode.DAMPED}, "damp": {Mode.DAMPED}, "reset": set(Mode) - {Mode.DAMPED},
}  # fmt: skip
HEARTBEAT_S = 0.05
WRITER_S = 1.0
"""A writer takes microseconds; one that keeps its slot so long hangs."""
HELD_ELSEWHERE = "another `teleop ctl engage` holds the deadman of this robot"
HANGS = (
    f"another `teleop ctl` has kept this robot's operator slot for {WRITER_S:g} s and hangs: end it; meanwhile stop "
    "from the console, the remote, or Ctrl-C in `teleop serve`"
)
TAKEN_NS = 20_000_000
"""After ten of its ticks robot-io has read a new word."""
EPISODE_S = 10.0
"""Closing an episode waits for the disk."""
SILENT_NS = 1_000_000_000
"""A state older than this is what a dead service left behind."""


@dataclass(frozen=True, slots=True)
class Ctl:
    """Operate the running service: ready, arm, engage (while this runs), stop, damp, reset; or show its state."""

    verb: Annotated[Verb, tyro.conf.Positional]
    """status: print where it stands. ready, arm: the two acts before engaging. engage: hold the deadman while this
    command runs. stop: soft stop, return to stand (again: damp). damp: damp now. reset: leave DAMPED; never moves.
    compliance: how hard the arms may push, --force-limit. episode: start, stop, success or discard a recording; never
    moves the robot."""
    what: Annotated[EpisodeVerb | None, tyro.conf.Positional] = None
    """episode: start one; stop it; stop it as a success (or call the last one that); discard it (or the last one)."""
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
        if (self.what is None) is (self.verb == "episode"):
            raise CommandError(
                f"episode what? {', '.join(typing.get_args(EpisodeVerb))}" if self.what is None
                else f"{self.verb} takes no further word, and '{self.what}' is one"
            )  # fmt: skip
        session = session_of(self.robot)
        if not session.folder.is_dir():
            raise SessionMissing(self.robot)
        bus = Bus(session, model.n)
        if self.verb == "status":
            return self._status(bus)
        if self.verb == "engage":
            with _locked(session.path("operator_ctl_engage.lock"), 0.0, HELD_ELSEWHERE):
                return self._engage(bus, OperatorWriter(bus.slot("operator_ctl_engage"), session.token))
        if self.verb == "compliance":
            return self._compliance(bus, session)
        if self.what is not None:
            with _locked(session.path("episode_ctl.lock"), EPISODE_S, "another `teleop ctl episode` waits already"):
                return self._episode(bus, EpisodeWishes(bus.slot("episode_ctl"), session.token), self.what)
        return self._act(bus, session)

    def _compliance(self, bus: Bus, session: Session) -> int:
        status, policy = _read(bus), bus.slot("policy_status").read()
        if policy is None or math.isnan(policy.force_limit_n):
            why = "the policy has no force limit and compliance.admittance is off" if policy else "no policy runs yet"
            return self._say(1, status, f"compliance refused: {why}")
        with _locked(session.path("operator_ctl.lock"), WRITER_S, HANGS):
            writer = ForceLimitWriter(bus.slot("compliance_ctl"), session.token)
            try:
                writer.ask(self.force_limit, time.monotonic_ns())
            except ValueError as error:
                raise CommandError(str(error)) from None
        wanted = "the run's own" if self.force_limit is None else f"{self.force_limit:g} N"
        text = f"force limit: {policy.force_limit_n:.1f} N, on the way to {wanted} at {SLEW_N_S:g} N/s"
        return self._say(0, status, text)

    def _episode(self, bus: Bus, wishes: EpisodeWishes, what: EpisodeVerb) -> int:
        slot, asked_ns = bus.slot("recorder_status"), time.monotonic_ns()
        before: RecorderStatus | None = slot.read()
        if before is None or asked_ns - before.t_ns > RECORDER_SILENT_NS:
            raise CommandError("nothing is recorded in this run; start the service with --record DIR")
        wishes.wish(what, asked_ns)
        deadline = time.monotonic() + EPISODE_S
        after = before
        while after.taken_ns < asked_ns and time.monotonic() < deadline:
            time.sleep(0.01)
            after = slot.read() or after
        if after.taken_ns < asked_ns:
            raise CommandError(f"the recorder did not answer within {EPISODE_S:.0f} s")
        ok, sentence, path = not after.refused, as_text(after.sentence), as_text(after.path)
        if self.json:
            print(json.dumps({"verb": f"episode {what}", "ok": ok, "recording": after.state == RECORDING,
                              "path": path, "sentence": sentence}), flush=True)  # fmt: skip
        else:
            text = sentence if ok else f"episode {what} refused: {sentence}"
            print(text, file=sys.stdout if ok else sys.stderr, flush=True)
        return 0 if ok else 1

    def _act(self, bus: Bus, session: Session) -> int:
        before = _read(bus)
        with _locked(session.path("operator_ctl.lock"), WRITER_S, HANGS):
            written_ns = time.monotonic_ns()
            OperatorWriter(bus.slot("operator_ctl"), session.token).act(ACTS[self.verb], written_ns)

        def refused(status: SafetyStatus) -> bool:
            return status.refused_commands > before.refused_commands

        def done(status: SafetyStatus) -> bool:
            taken = status.t_ns - written_ns > TAKEN_NS
            return taken and (refused(status) or status.mode in EXPECTED[self.verb] or self._is_noted(status))

        after = _wait(bus, done, 1.0)
        if self._is_noted(after) and not refused(after):
            return self._say(0, after, f"{self.verb}: noted in {Mode(after.mode).name}; damps before anything moves")
        if done(after) and not refused(after):
            return self._say(0, after, f"{self.verb}: {Mode(after.mode).name}")
        return self._say(1, after, f"{self.verb} refused in mode {Mode(before.mode).name}{_why(after)}")

    def _is_noted(self, status: SafetyStatus) -> bool:
        """A stop before anything is sent to the robot: latched, so that the ladder begins damped."""
        latched = bool(status.causes >> Cause.OPERATOR_DAMP & 1)
        return self.verb in ("stop", "damp") and status.mode in (Mode.BOOT, Mode.CHECK) and latched

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
        return self._say(1, status, f"engage refused in mode {Mode(status.mode).name}{_why(status)}{_limits(bus)}")

    def _status(self, bus: Bus) -> int:
        status = _read(bus)
        source = bus.slot("source_status").read()
        rate = f"source {source.rate_hz:.0f} Hz" if source else "no source yet"
        causes = ", ".join(_causes(status)) or "none"
        return self._say(0, status, f"{Mode(status.mode).name}, {rate}, causes: {causes}{_limits(bus)}")

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


def _limits(bus: Bus) -> str:
    """What the policy cannot do of what the operator does; empty where it can, and for policies that follow legs."""
    policy = bus.slot("policy_status").read()
    if policy is None:
        return ""
    clipped = f"; {clipped_words(policy.clipped)} beyond the policy's range, clipped" if policy.clipped else ""
    return clipped + (f"; {CANNOT[policy.cannot]}" if policy.cannot else "")


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
def _locked(path: Path, wait_s: float, refusal: str) -> Iterator[None]:
    """A slot has a single writer at a time. An act is written in microseconds, so acts wait for each other; an engage
    lasts, so a second one is refused. Raises CommandError with `refusal` after `wait_s`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while not _taken(fd):
            if time.monotonic() >= deadline:
                raise CommandError(refusal)
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
