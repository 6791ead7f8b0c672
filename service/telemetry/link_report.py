"""What passed between robot-io and the robot, for the status line and the run report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teleopd.service.link_status import COUNTS, LinkStatus
from teleopd.service.streams import Bus
from teleopd.service.telemetry.totals import Total

REFUSED = {
    "bad_crc": "with a wrong checksum", "bad_length": "with a wrong length", "frozen": "repeated",
    "held_back": "commands held back", "send_failed": "commands not sent", "foreign_commands": "commands of others",
    "hardware_changes": "changes of hardware", "late": "late",
}  # fmt: skip
"""Counters that are zero while all is well, in words."""


class LinkMeter:
    """Adds up the counters of a run, over restarts of the motor process too."""

    def __init__(self) -> None:
        self._totals = Total(len(COUNTS))
        self._first: LinkStatus | None = None
        self._newest: LinkStatus | None = None

    def collect(self, bus: Bus) -> None:
        """Read the slot."""
        status = bus.slot("link_status").read()
        if status is not None:
            self.note(status)

    def note(self, status: LinkStatus) -> None:
        """Newest `LinkStatus`."""
        self._totals.update(status[2 : 2 + len(COUNTS)])
        if self._first is None or self._newest is None or status.received < self._newest.received:
            self._first = status  # the process restarted
        self._newest = status

    def result(self) -> dict[str, Any] | None:
        """For the report: hardware variant, rate of good reports [Hz] and every counter; None where nothing counts."""
        first, newest = self._first, self._newest
        if first is None or newest is None or not (newest.received or newest.sent):
            return None
        elapsed_s = (newest.t_ns - first.t_ns) / 1e9
        return {
            "mode_machine": newest.mode_machine, "battery_percent": newest.battery if newest.battery >= 0 else None,
            "state_hz": round((newest.received - first.received) / elapsed_s, 1) if elapsed_s > 0 else None,
            **{name: self._totals[i] for i, name in enumerate(COUNTS)},
        }


def link_words(found: Mapping[str, Any] | LinkStatus | None) -> str:
    """'hardware 5, 5210 reports, 5020 commands' and whatever was refused; empty where nothing was counted."""
    if isinstance(found, LinkStatus):
        charge = found.battery if found.battery >= 0 else None
        found = {**found._asdict(), "battery_percent": charge} if found.received or found.sent else None
    if not found:
        return ""
    parts = [f"hardware {found['mode_machine']}", f"{found['received']} reports"]
    if found.get("state_hz") is not None:
        parts[-1] += f" at {found['state_hz']:.1f} Hz"
    parts.append(f"{found['sent']} commands")
    if found.get("battery_percent") is not None:
        parts.append(f"battery {found['battery_percent']} %")
    parts += [f"{found[name]} {words}" for name, words in REFUSED.items() if found[name]]
    return ", ".join(parts)
