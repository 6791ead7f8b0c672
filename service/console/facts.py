"""What the page is told once about its run, and what may be chosen before arming. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from teleopd.safety.words import Mode

CHANGES_IN = (Mode.IDLE, Mode.READY, Mode.DAMPED)
"""Modes in which the source process may be replaced: nobody is followed, and the robot is carried or limp."""
FOLLOWS = (Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
"""Modes in which the robot follows the operator or is on its way back: nobody takes a pose then."""


class RunFacts(NamedTuple):
    """Of one run; made by its parent, picklable."""

    source: str = ""
    operator: str = ""
    """Whose stored body it began with; empty: the first frame measures."""
    policy: str = ""
    """Empty: none."""
    sources: tuple[str, ...] = ()
    """What can be followed in its place without a restart, itself among them; empty: nothing can."""
    keeps: str = ""
    """Why nothing can be chosen in this run, as a sentence; empty: it can."""
    policies: tuple[tuple[str, str], ...] = ()
    """Name of each policy there is for this robot, and the command that starts the run with it."""
    drives: bool = True
    """There is a robot, virtual or not."""

    def as_json(self, *, asks: bool) -> dict[str, Any]:
        """For the page. `asks`: its controls may be used."""
        policies = [{"name": name, "command": command} for name, command in self.policies]
        return {
            "asks": asks, "policy": self.policy, "sources": list(self.sources), "keeps": self.keeps,
            "policies": policies,
        }  # fmt: skip


def why_not_now(facts: RunFacts, mode: Mode | None) -> str:
    """Why the source cannot be changed now; '' when it can."""
    if facts.keeps:
        return facts.keeps
    if not facts.drives:
        return ""
    if mode is None:
        return "the robot loop has not started yet"
    if mode not in CHANGES_IN:
        return f"the robot is {mode.name}; source and operator are changed in {', '.join(m.name for m in CHANGES_IN)}"
    return ""
