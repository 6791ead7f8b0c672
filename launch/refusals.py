"""Parts of a run that cannot be set up: their sentence, and whether the run goes on without them."""

from __future__ import annotations

from collections.abc import Callable

from teleopd.launch.errors import CommandError
from teleopd.launch.operator_script import BALANCING
from teleopd.launch.processes import Processes
from teleopd.robots.ipc.session import Session
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.child import REFUSED_EXIT, refusal


def check_refusals(
    session: Session, processes: Processes, status: SafetyStatus | None, say: Callable[[str], None]
) -> None:
    """A part that cannot be set up ends the run, but never one in which a robot is on its feet.

    Raises:
        CommandError: what the part said.
    """
    standing = status is not None and Mode(status.mode) in BALANCING
    for name, child in processes.children.items():
        replaces = child.restarts > 0 and child.spec.when_it_dies == "restart_damped"  # is tried again by `watch`
        if child.process.exitcode == REFUSED_EXIT and not child.reported and not replaces:
            child.reported = True
            sentence = refusal(session, name) or f"{name} refused its set-up"
            if name == "console" or standing:
                say(f"{name} stays down: {sentence}")
            else:
                raise CommandError(sentence)
