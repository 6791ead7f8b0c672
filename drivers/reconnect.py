"""When to try a lost connection again: a pure state machine, time passed in."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phase(enum.Enum):
    """Where a connection stands."""

    WAITING = enum.auto()
    """Not connected; the next attempt is due later or now."""
    TRYING = enum.auto()
    CONNECTED = enum.auto()


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts [ns]."""

    first_ns: int = 250_000_000
    factor: float = 2.0
    longest_ns: int = 5_000_000_000
    settled_ns: int = 5_000_000_000
    """A connection that held so long starts the waits anew; a shorter one does not, so that two clients which push each
    other out of a service that serves one do not do it many times a second."""

    def __post_init__(self) -> None:
        """Raises ValueError for waits that are not positive and growing."""
        if not 0 < self.first_ns <= self.longest_ns or not self.factor >= 1.0 or self.settled_ns < 0:
            raise ValueError(
                f"waits from {self.first_ns} to {self.longest_ns} ns growing {self.factor} times; "
                "give 0 < first <= longest and a factor of at least 1"
            )


class Reconnect:
    """Attempts, successes and failures of one connection; the first attempt is due at once."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self.phase = Phase.WAITING
        self.attempts = 0
        self.connections = 0
        """Attempts that succeeded."""
        self.last_failure = ""
        """Why the newest attempt or connection ended, as one sentence."""
        self._backoff = backoff or Backoff()
        self._wait_ns = self._backoff.first_ns
        self._due_ns: int | None = None
        self._since_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """Time until the next attempt is due [ns], 0 when it is; 0 too while one is under way or holds."""
        if self.phase is not Phase.WAITING or self._due_ns is None:
            return 0
        return max(0, self._due_ns - now_ns)

    def begin(self, now_ns: int) -> None:
        """An attempt starts; raises ValueError unless waiting (a caller's mistake)."""
        if self.phase is not Phase.WAITING:
            raise ValueError(f"an attempt cannot begin while {self.phase.name}")
        self.phase, self._since_ns = Phase.TRYING, now_ns
        self.attempts += 1

    def connected(self, now_ns: int) -> None:
        """The attempt succeeded; raises ValueError unless one was under way."""
        if self.phase is not Phase.TRYING:
            raise ValueError(f"no attempt is under way while {self.phase.name}")
        self.phase, self._since_ns = Phase.CONNECTED, now_ns
        self.connections += 1

    def failed(self, now_ns: int, why: str) -> None:
        """The attempt failed or the connection ended; the next one is due after the current wait, which grows.

        Raises:
            ValueError: nothing was tried.
        """
        if self.phase is Phase.WAITING:
            raise ValueError("nothing was tried that could fail")
        held_ns = now_ns - self._since_ns
        if self.phase is Phase.CONNECTED and held_ns >= self._backoff.settled_ns:
            self._wait_ns = self._backoff.first_ns
        self.phase, self.last_failure = Phase.WAITING, why
        self._due_ns = now_ns + self._wait_ns
        self._wait_ns = min(int(self._wait_ns * self._backoff.factor), self._backoff.longest_ns)
