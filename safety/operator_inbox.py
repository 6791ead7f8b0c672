"""Operator commands as robot-io receives them: token, sequence and age are judged here, each act is taken once."""

from __future__ import annotations

from collections.abc import Sequence

from teleopd.safety.stalls import FUTURE_NS, Stalls
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import OPERATOR_WRITERS, Act, OperatorCommand

_KNOWN_ACTS = frozenset(int(act) for act in Act)
RAISING = frozenset({Act.READY, Act.ARM, Act.RESET})
"""Acts refused when they come late; one that lowers authority is never too late."""


class OperatorInbox:
    """The newest word of each writer. What is refused is counted once, however often its slot is read."""

    def __init__(self, token: int, started_ns: int, thresholds: Thresholds, stalls: Stalls) -> None:
        """`started_ns`: words written before this moment were meant for an earlier service."""
        self._token = token
        self._started_ns = started_ns
        self._stalls = stalls
        self._heartbeat_ns = thresholds.ns("deadman_heartbeat")
        self._stale_ns = thresholds.ns("command_stale")
        self._seen: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
        self._last_seq = [-1] * len(OPERATOR_WRITERS)
        self._counted = [(0, 0)] * len(OPERATOR_WRITERS)
        """Stops and damps each writer had given when its last act was taken."""
        self._held_ns = [0] * len(OPERATOR_WRITERS)
        """When each writer last said that it holds its deadman, 0 when it does not."""
        self._must_release = [False] * len(OPERATOR_WRITERS)
        self.refused = 0
        self.held = False
        """A writer holds its deadman, with a heartbeat."""
        self.heartbeat_lost = False
        """A writer that held its deadman fell silent without letting go."""

    def read(self, commands: Sequence[OperatorCommand | None], now_ns: int) -> list[Act]:
        """The acts that are new, of all writers."""
        acts: list[Act] = []
        for i, command in enumerate(commands[: len(self._seen)]):
            if command is not None and command != self._seen[i]:
                acts += self._take(i, command, now_ns)
        self.held = self.heartbeat_lost = False
        for i, held_ns in enumerate(self._held_ns):
            if held_ns:
                # A heartbeat that comes back is not a press: the operator must have let go in between.
                self._must_release[i] |= self._stalls.age_ns(held_ns, now_ns) > self._heartbeat_ns
                self.heartbeat_lost |= self._must_release[i]
                self.held |= not self._must_release[i]
        return acts

    def _take(self, i: int, command: OperatorCommand, now_ns: int) -> list[Act]:
        self._seen[i] = command
        if command.token != self._token or command.t_ns - now_ns > FUTURE_NS or command.act not in _KNOWN_ACTS:
            self.refused += 1
            return []
        if command.t_ns < self._started_ns:
            self._last_seq[i] = max(self._last_seq[i], command.seq)
            self._counted[i] = (command.stops, command.damps)
            return []
        if command.seq < self._last_seq[i] or (command.engage_held and command.t_ns < self._held_ns[i]):
            self.refused += 1
            return []
        self._held_ns[i] = command.t_ns if command.engage_held else 0
        self._must_release[i] &= command.engage_held
        new = command.seq > self._last_seq[i]
        self._last_seq[i] = command.seq
        if not new:
            return []
        acts = self._overwritten(i, command)
        act = Act(command.act)
        if act in RAISING and self._stalls.age_ns(command.t_ns, now_ns) > self._stale_ns:
            self.refused += 1
        elif act is not Act.NONE:
            acts.append(act)
        return acts

    def _overwritten(self, i: int, command: OperatorCommand) -> list[Act]:
        """Stops and damps that this word has taken the place of: one slot, but none of them may be lost."""
        stops, damps = command.stops - self._counted[i][0], command.damps - self._counted[i][1]
        self._counted[i] = (command.stops, command.damps)
        stops -= command.act == Act.STOP
        damps -= command.act == Act.DAMP
        return [Act.STOP] * min(stops, 2) + [Act.DAMP] * (damps > 0)  # none for a number below 1
