"""What the console's loop and the gateway's thread share: the newest figures and pictures, and what pages ask for.

The loop alone reads slots and writes them; the gateway only hands over bytes and questions. Nobody waits for anybody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

MOST_WAITING: Final = 8
"""Questions that wait for the loop; more than people press."""


class Answer(NamedTuple):
    """What a page is told at once."""

    taken: bool
    sentence: str


class Calibrate(msgspec.Struct, tag="calibrate", tag_field="what", forbid_unknown_fields=True):
    """Measure the operator in a pose and store the body under a name."""

    operator: str
    pose: Literal["t", "n"]


class CancelCalibration(msgspec.Struct, tag="cancel_calibration", tag_field="what", forbid_unknown_fields=True):
    """Stop measuring."""


class ForceLimit(msgspec.Struct, tag="force_limit", tag_field="what", forbid_unknown_fields=True):
    """How hard the arms may push [N]; None: back to the run's own."""

    newton: float | None


class ChooseSource(msgspec.Struct, tag="source", tag_field="what", forbid_unknown_fields=True):
    """Follow another source."""

    name: str


Ask = Calibrate | CancelCalibration | ForceLimit | ChooseSource


class Desk:
    """Thread-safe. `check` answers a question without writing anything; what it accepts, `take` gives to the loop."""

    def __init__(self) -> None:
        self.message = b""
        """The newest figures, JSON; each new one is a new object."""
        self.facts = b"{}"
        """What a page is told once of the run, JSON."""
        self.pictures: dict[int, bytes] = {}
        """Camera -> its newest picture, JPEG."""
        self.watchers = 0
        """Pages that hear the figures now; the gateway counts."""
        self.check: Callable[[Ask], Answer] = _closed
        self._asked: deque[Ask] = deque()
        self._lock = threading.Lock()

    def ask(self, ask: Ask) -> Answer:
        """A page's question, in the gateway's thread."""
        with self._lock:
            answer = self.check(ask)
            if not answer.taken:
                return answer
            if len(self._asked) >= MOST_WAITING:
                return Answer(False, "too many presses at once; wait a second")
            self._asked.append(ask)
            return answer

    def take(self) -> Ask | None:
        """The oldest question that was accepted, in the loop's thread."""
        with self._lock:
            return self._asked.popleft() if self._asked else None


def _closed(_ask: Ask) -> Answer:
    return Answer(False, "this view only looks on")
