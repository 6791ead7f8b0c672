"""One hand at a time on a virtual robot that is reached over a network, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable

from teleopd.robots.links.sim.wire import VirtualControl, VirtualTruth
from teleopd.robots.rates import Rate
from teleopd.robots.virtual.guided import Guided
from teleopd.robots.virtual.process import STATS_EVERY_S, TRUTH_EVERY_S

HAND_GONE_NS = 1_000_000_000
"""Whoever works the gantry keeps it until silent for so long."""


class GuidedTurns:
    """Takes the wishes that arrived, says when a truth is due."""

    def __init__(self, guided: Guided, publish_hz: int) -> None:
        self._guided = guided
        self._truth_every = max(1, round(TRUTH_EVERY_S * publish_hz))
        self._stats_every = max(1, round(STATS_EVERY_S * publish_hz))
        self._ticks = 0
        self._heard_ns = 0
        self._last: VirtualControl | None = None

    def obey(self, controls: Iterable[VirtualControl], now_ns: int) -> None:
        """What arrived since the last tick, oldest first."""
        for control in controls:
            if control.nonce != self._guided.nonce:
                if self._guided.nonce and now_ns - self._heard_ns < HAND_GONE_NS:
                    continue
                self._guided.begin_anew()
                self._last = None
            self._heard_ns = now_ns
            if self._last is None or control.seq != self._last.seq:
                self._guided.obey(control)
                self._last = control

    def stepped(self, now_ns: int, steps: int, rate: Rate | None) -> VirtualTruth | None:
        """After each tick of so many physics steps: the truth to show, where one is due."""
        self._guided.stepped(steps)
        if self._ticks % self._stats_every == 0:
            self._guided.measure(now_ns, rate)
        due = self._guided.nonce and self._ticks % self._truth_every == 0
        self._ticks += 1
        return self._guided.truth(now_ns) if due else None
