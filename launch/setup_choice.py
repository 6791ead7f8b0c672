"""What the browser view may change before arming: the source process is replaced by one with another source or another
operator's stored body. The parent's loop decides; the view only asks.

A source that refuses its set-up is replaced by the one before it, so that a wrong choice ends no run.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from teleopd.launch import registry
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.processes import Processes
from teleopd.launch.sources import source_options
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import RobotModel
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.capture.records import as_bytes, as_text
from teleopd.service.child import refusal
from teleopd.service.console.facts import RunFacts, why_not_now
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.library import ResolvedPolicy, resolve, shipped_cards
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.operator_file import load_operator, operator_path
from teleopd.service.setup_words import KINDS, SETUP_NAME_BYTES, SETUP_SENTENCE_BYTES, SetupStatus, SetupWish
from teleopd.service.streams import Bus

OF_ONE_SOURCE: Final[dict[str, Any]] = {
    "host": "", "port": 0, "character": -1, "device": {}, "motion": "", "file": "", "loop": False,
}  # fmt: skip
"""Settings that belong to the configured source and mean nothing, or something else, to another."""
BY_HAND: Final = ("gamepad", "keyboard", "stick")
"""Sources of walking commands: they want a policy and a page of their own, so only a run that has one keeps it."""
END_S: Final = 1.5


def as_source(config: RunConfig, name: str) -> RunConfig:
    """The run with another source, as if only that had been typed."""
    return config if name == config.source else msgspec.structs.replace(config, source=name, **OF_ONE_SOURCE)


def choices(config: RunConfig) -> tuple[str, ...]:
    """Registered sources that need nothing which this run does not give."""
    found = []
    for name in registry.names("source"):
        if name != config.source and (name in BY_HAND or config.source in BY_HAND):
            continue
        try:
            source_options(as_source(config, name))
        except ConfigError:
            continue
        found.append(name)
    return tuple(found)


def facts_of(
    config: RunConfig, model: RobotModel, policy: ResolvedPolicy | None, *, has_source: bool = True
) -> RunFacts:
    """What the page says of the run; the commands it offers are this process's own with another policy."""
    keeps = ""
    if not has_source:
        keeps = "targets come from another program, so there is no source to choose"
    elif config.record:
        keeps = "this run records, and its episodes name source and operator: start it anew to change them"
    elif config.tap:
        keeps = "this run taps its source: start it anew to change it"
    drives = policy is not None or config.mode == "arms"
    name = policy.card.name if policy else ""
    offered = () if config.kinematic or config.mode == "arms" else _policies(model)
    commands = tuple((each, command_with(sys.argv, each)) for each in offered)
    sources = () if keeps else choices(config)
    return RunFacts(config.source, config.operator, name, sources, keeps, commands, drives)


def command_with(words: Sequence[str], policy: str) -> str:
    """The command line with another policy."""
    kept, skip = [Path(words[0]).name, *words[1:]], False
    found = []
    for word in kept:
        if not skip and not word.startswith("--policy="):
            skip = word == "--policy"
            if not skip:
                found.append(word)
        else:
            skip = False
    return shlex.join([*found, "--policy", policy])


def _policies(model: RobotModel) -> list[str]:
    found = []
    for name in shipped_cards(model):
        try:
            resolve(name, model)
        except (PolicyError, OSError):
            continue  # its weights are not here
        found.append(name)
    return found


class SetupChoice:
    """The parent's end of the two slots. `look` belongs to the parent's loop, before it asks which child refused."""

    def __init__(
        self, config: RunConfig, facts: RunFacts, session: Session, processes: Processes, bus: Bus,
        make: Callable[[RunConfig], object], operator: str,
    ) -> None:  # fmt: skip
        """`make`: the source process's picklable factory for a configuration. `operator`: file of the calibration in
        use, or empty."""
        self._first = self._config = config
        self._facts, self._session, self._processes, self._make = facts, session, processes, make
        self._wishes, self._status, self._source_status = (
            bus.slot(name) for name in ("setup_console", "setup_status", "source_status")
        )
        self._operator, self._name = operator, config.operator
        self._former: tuple[RunConfig, str, str] | None = None
        """What ran before a choice that has not begun to work."""
        self._taken = 0
        self._say_so(False, "")

    def look(self, status: SafetyStatus | None) -> None:
        """Answer a new wish; go back where the newest choice refuses its set-up."""
        if self._former is not None:
            self._watch()
        wish: SetupWish | None = self._wishes.read()
        if wish is None or wish.seq <= self._taken or wish.token != self._session.token:
            return
        self._taken = wish.seq
        kind, name = KINDS[wish.kind] if 0 < wish.kind < len(KINDS) else "", as_text(wish.name)
        why = why_not_now(self._facts, None if status is None else Mode(status.mode)) or self._refusal(kind, name)
        if why:
            self._say_so(True, why)
            return
        self._former = self._config, self._operator, self._name
        if kind == "source":
            self._config = as_source(self._first, name)
        else:
            self._operator, self._name = str(operator_path(name)), name
        self._replace(f"{kind} {name} from now on, chosen in the browser view")

    def _refusal(self, kind: str, name: str) -> str:
        if kind == "source" and name in self._facts.sources:
            return ""
        if kind == "operator":
            try:
                load_operator(operator_path(name))
            except CalibrationError as error:
                return str(error)
            return ""
        return f"{kind or 'that'} {name} cannot be chosen"

    def _watch(self) -> None:
        child, said = self._processes.children["source"], self._source_status.read()
        if child.process.exitcode is not None and self._former is not None:
            why = refusal(self._session, "source") or f"source {self._config.source} did not start"
            self._config, self._operator, self._name = self._former
            self._former = None
            self._replace(f"{why}; back to source {self._config.source}", refused=True)
        elif said is not None and said.t_ns > child.started_ns:
            self._former = None

    def _replace(self, sentence: str, refused: bool = False) -> None:
        child = self._processes.children["source"]
        child.process.terminate()
        child.process.join(END_S)
        if child.process.is_alive():
            child.process.kill()
            child.process.join(END_S)
        self._session.path("source.refused").unlink(missing_ok=True)
        changed = {"make_source": self._make(self._config), "operator": self._operator}
        self._processes.start("source", **{**child.arguments, **changed})
        self._processes.say(sentence)
        self._say_so(refused, sentence)

    def _say_so(self, refused: bool, sentence: str) -> None:
        self._status.write(SetupStatus(
            time.monotonic_ns(), self._taken, refused, as_bytes(self._config.source, SETUP_NAME_BYTES),
            as_bytes(self._name, SETUP_NAME_BYTES), as_bytes(sentence, SETUP_SENTENCE_BYTES),
        ))  # fmt: skip
