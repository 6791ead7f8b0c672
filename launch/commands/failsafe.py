"""`teleop failsafe`: the table of causes and what each one does."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rich.console import Console
from rich.table import Column, Table

from teleopd.safety.failsafe import TABLE
from teleopd.safety.thresholds import THRESHOLD_TABLE


@dataclass(frozen=True, slots=True)
class Failsafe:
    """Print what the service does about each fault: cause, action, threshold, when it clears, from where."""

    limits: bool = False
    """Print the limits that `serve --safety name=value` may tighten instead."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print the table."""
        if self.limits:
            return self._limits()
        if self.json:
            print(json.dumps([row.as_dict() for row in TABLE]))
            return 0
        cause, threshold = Column("cause", no_wrap=True), Column("threshold", overflow="fold")
        table = Table(cause, "action", threshold, "clears", "what happens", title="Failsafe table")
        for row in TABLE:
            shown = row.as_dict()
            table.add_row(*(str(shown[key]) for key in ("cause", "action", "threshold", "clears", "text")))
        Console().print(table)
        return 0

    def _limits(self) -> int:
        if self.json:
            print(json.dumps([row._asdict() for row in THRESHOLD_TABLE]))
            return 0
        table = Table(Column("limit", no_wrap=True), "value", "may be tightened to", "from", title="Safety limits")
        for row in THRESHOLD_TABLE:
            table.add_row(row.name, f"{row.value:g} {row.unit}", f"{row.strictest:g}", row.provenance)
        Console().print(table)
        return 0
