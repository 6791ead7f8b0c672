"""Holding the robot's toe where it was when the foot came to rest.

The toe, not the ankle: at heel-off a foot turns about its toe. The lock begins at the toe the robot had in the frame
before, so that it starts without a step; a leash and a slow leak keep it near its target; on release what is left of
the offset fades out.
"""

from __future__ import annotations

import math

RAMP_S = 0.03
"""From no lock to full lock, and back [s]."""
LEASH_M = 0.05
"""A lock farther than this from its target is dragged along [m]."""
LEAK_PER_S = 0.15
"""A shuffling person's feet would drift apart from the robot's without it."""
RELEASE_S = 0.06
"""Time constant of the offset after release [s]."""


class ToeLock:
    """The horizontal lock of one toe; world frame."""

    def __init__(self) -> None:
        self.x = self.y = 0.0
        """Offset of the wanted toe from the target foot's toe [m]."""
        self.weight = 0.0
        """Strength of the lock, 0 to 1."""
        self._anchored = False
        self._anchor = (0.0, 0.0)

    def reset(self) -> None:
        """No lock, no offset."""
        self.x = self.y = self.weight = 0.0
        self._anchored = False

    @property
    def shift(self) -> tuple[float, float]:
        """What the ankle's target moves [m]: all of the offset while free, half while locked, the rest by pitching."""
        share = 1.0 - 0.5 * self.weight
        return share * self.x, share * self.y

    def update(self, stands: bool, target: tuple[float, float], toe: tuple[float, float], dt_s: float) -> None:
        """One frame: `target` is the toe of the target foot, `toe` the robot's toe of the previous frame, xy [m]."""
        if stands:
            self._hold(target, toe, dt_s)
            self.weight = min(1.0, self.weight + dt_s / RAMP_S)
        else:
            keep = math.exp(-dt_s / RELEASE_S)
            self.x, self.y = self.x * keep, self.y * keep
            self.weight = max(0.0, self.weight - dt_s / RAMP_S)
        self._anchored = stands

    def _hold(self, target: tuple[float, float], toe: tuple[float, float], dt_s: float) -> None:
        anchor = self._anchor if self._anchored else toe
        keep = max(0.0, 1.0 - LEAK_PER_S * dt_s)
        x, y = (anchor[0] - target[0]) * keep, (anchor[1] - target[1]) * keep
        length = math.hypot(x, y)
        if length > LEASH_M:
            x, y = x * LEASH_M / length, y * LEASH_M / length
        self.x, self.y = x, y
        self._anchor = target[0] + x, target[1] + y
