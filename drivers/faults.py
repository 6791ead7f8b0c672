"""What a network does to an emulated device's datagrams: loss, delay, repetition, reordering; reproducible by seed."""

from __future__ import annotations

import random
from typing import NamedTuple

from teleopd.drivers.source import SourceError


class FaultError(SourceError, ValueError):
    """A fault setting outside its range."""


class Faults(NamedTuple):
    """Probabilities per datagram, 0 to 1, and the largest random delay."""

    loss: float = 0.0
    jitter_ms: float = 0.0
    """Uniform extra delay up to this [ms]."""
    dup: float = 0.0
    reorder: float = 0.0
    """Held back until its successor has left."""


class FaultPlan:
    """Decides when each datagram leaves, if at all; the same seed decides the same."""

    def __init__(self, faults: Faults, seed: int) -> None:
        """Raises FaultError for a share outside 0 to 1 or a negative delay."""
        for name in ("loss", "dup", "reorder"):
            share = getattr(faults, name)
            if not 0.0 <= share <= 1.0:
                raise FaultError(f"{name} is {share}; give a share between 0 and 1")
        if not 0.0 <= faults.jitter_ms <= 10_000.0:
            raise FaultError(f"jitter is {faults.jitter_ms} ms; give 0 to 10000")
        self._faults = faults
        self._random = random.Random(seed)

    def departures(self, due_ns: int, period_ns: int) -> list[int]:
        """Times [ns] at which copies of a datagram due at `due_ns` leave; empty when it is lost.

        Always draws five numbers, so that switching one fault on does not move the others.
        """
        lost, twice, late, delay, delay_of_copy = (self._random.random() for _ in range(5))
        if lost < self._faults.loss:
            return []
        jitter_ns = self._faults.jitter_ms * 1e6
        held_ns = period_ns + period_ns // 2 if late < self._faults.reorder else 0
        leaves = [due_ns + held_ns + int(delay * jitter_ns)]
        if twice < self._faults.dup:
            leaves.append(due_ns + held_ns + int(delay_of_copy * jitter_ns))
        return leaves
