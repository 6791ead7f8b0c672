"""Which sender is listened to: the first that sent something valid, until it falls silent; the others are named."""

from __future__ import annotations

import logging

from teleopd.drivers.source import SourceCounters
from teleopd.drivers.udp import Address

REBIND_NS = 1_000_000_000
"""After so long of silence the same computer may go on from another port: its program was restarted."""
MAX_NAMED = 16

log = logging.getLogger(__name__)


class BoundSender:
    """Judges the senders of one source; another computer than the bound one never takes over."""

    def __init__(self, name: str, counters: SourceCounters) -> None:
        """`name`: of the source, for the log; `counters`: whose `foreign` is raised."""
        self.address: Address | None = None
        """The one that is listened to; None until its first valid packet."""
        self.foreign: list[Address] = []
        """The first few others that were heard."""
        self._name = name
        self._counters = counters
        self._heard_ns = 0
        self._released = False

    def admits(self, sender: Address, now_ns: int) -> bool:
        """May this packet be looked at? Counts and, once each, names the senders it may not."""
        if self.address is None or self._released or sender == self.address:
            return True
        if sender[0] == self.address[0] and now_ns - self._heard_ns > REBIND_NS:
            return True
        self._counters.foreign += 1
        if sender not in self.foreign and len(self.foreign) < MAX_NAMED:
            self.foreign.append(sender)
            log.warning("%s: ignoring %s:%d; listening to %s:%d", self._name, *sender, *self.address)
        return False

    def bind(self, sender: Address, now_ns: int) -> bool:
        """Listen to this sender from now on, after a valid packet only; True when it is not the same connection."""
        replaces = self.address is not None and (self._released or sender != self.address)
        self.address, self._heard_ns, self._released = sender, now_ns, False
        return replaces

    def release(self, sender: Address) -> None:
        """This sender said goodbye: if it is the bound one, anybody may be next."""
        self._released = self._released or sender == self.address
