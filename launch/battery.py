"""Says when the robot's battery gets low, once for each step down."""

from __future__ import annotations

from teleopd.service.link_status import LinkStatus

STEPS = (20, 15, 10, 5)
"""[%] The vendor's own example goes passive below 20."""


class BatteryWarning:
    """One run's warnings."""

    def __init__(self) -> None:
        self._said = 101

    def sentence(self, status: LinkStatus | None) -> str:
        """What is to be said now; empty when nothing is new."""
        if status is None or status.battery < 0:
            return ""
        reached = min((step for step in STEPS if status.battery <= step), default=101)
        if reached >= self._said:
            return ""
        self._said = reached
        return (
            f"battery low: {status.battery} %; bring the robot to its gantry and end the run, as its own protection "
            "may end it otherwise"
        )
