"""Why no velocity comes from a pad or a keyboard, in plain words, with what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from teleopd.drivers.diagnosis import NOTE, OK, PROBLEM, Finding


@dataclass(frozen=True, slots=True)
class PadFacts:
    """What was seen in so many seconds of reading."""

    source: str
    seconds: float
    device: str = ""
    """Name of the pad that was read."""
    refused: str = ""
    """Why the source could not be opened; '' when it was."""
    trouble: str = ""
    """Why there was no pad at the end; '' with one."""
    commands: int = 0
    deadman: bool = False
    """It was held at some moment."""
    moved: bool = False
    """A velocity was commanded at some moment."""


def findings(facts: PadFacts) -> list[Finding]:
    """All that can be said, the worst first."""
    if facts.refused:
        return [Finding(PROBLEM, facts.refused, "mend that first; nothing was read")]
    found = []
    if facts.trouble:
        found.append(Finding(PROBLEM, facts.trouble, "plug it in again; the service takes it up by itself"))
    if not facts.commands:
        return [*found, Finding(PROBLEM, f"no command came in {facts.seconds:g} s", "is another program holding it?")]
    what = f"'{facts.device}'" if facts.device else f"the {facts.source}"
    if not facts.deadman:
        found.append(Finding(NOTE, "the deadman was not pressed", "hold the bumper (or a key) while it reads"))
    if not facts.moved:
        found.append(Finding(NOTE, "no stick was moved out of its dead zone", "move one while the doctor reads"))
    found.append(Finding(OK, f"{what} is read: {facts.commands} commands in {facts.seconds:g} s"))
    return found
