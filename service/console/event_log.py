"""What happened, newest first: changes of mode, and causes as they are counted; from the snapshots that are shown."""

from __future__ import annotations

from collections import deque
from html import escape
from typing import NamedTuple

from teleopd.safety.words import Cause, Mode
from teleopd.service.console.snapshot import Snapshot, cause_words

KEPT, SHOWN = 200, 8


class Event(NamedTuple):
    """One line."""

    t_ns: int
    words: str


class EventLog:
    """Compares each snapshot with the one before."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=KEPT)
        self._mode: Mode | None = None
        self._counts: dict[Cause, int] = {}

    def see(self, snapshot: Snapshot) -> None:
        """Write down what is new."""
        safety, mode = snapshot.safety, snapshot.mode
        if safety is None or mode is None:
            return
        first = self._mode is None
        if mode is not self._mode:
            because = f": {cause_words(safety.mode_cause)}" if safety.mode_cause >= 0 else ""
            self.events.appendleft(Event(snapshot.now_ns, f"{mode.name}{because}"))
            self._mode = mode
        counts = {cause: int(safety.cause_counts[cause]) for cause in Cause}
        for cause, count in counts.items():
            more = count - self._counts.get(cause, 0)
            if more > 0 and not first and cause != safety.mode_cause:
                self.events.appendleft(Event(snapshot.now_ns, f"{cause_words(cause)}{f' x{more}' if more > 1 else ''}"))
        self._counts = counts

    def html(self, now_ns: int) -> str:
        """The newest lines, each with its age."""
        if not self.events:
            return ""
        lines = "".join(
            f'<div><span style="display:inline-block;width:52px;color:#868e96">{_age(now_ns - event.t_ns)}</span>'
            f"{escape(event.words)}</div>"
            for event in list(self.events)[:SHOWN]
        )
        return f'<div style="padding:6px 14px 10px;font-size:12px"><b>events</b>{lines}</div>'


def _age(ns: int) -> str:
    seconds = max(0, ns) / 1e9
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
