"""Holding the robot's toe where it was when the foot came to rest.

The toe, not the ankle: at heel-off a foot turns about its toe. The lock begins at the toe the robot had in the frame
before, so that it starts without a step; a leash and a slow leak keep it near its target; on release what is left of
the offset fades out.
"""

from __future__ import annotations

import math

from teleopd.service.retarget.floor import smoothstep

RAMP_S, FADE_S = 0.015, 0.03
"""From no lock to full lock, and from full lock to none [s]."""
LEASH_M = 0.06
"""A lock farther than this from its target is dragged along [m]."""
LEAK_PER_S = 0.2
"""A shuffling person's feet would drift apart from the robot's without it."""
MOVES_M_S, STRAYS_M_S = 0.23, 0.43
"""A toe slower than the first is held where it is; from the second on its motion is its own [m/s]. A toe that pivots or
shuffles in between is followed in part: held fully it would end a leash away from where it stands next."""
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
        self._anchor = self._target = (0.0, 0.0)

    def reset(self) -> None:
        """No lock, no offset."""
        self.x = self.y = self.weight = 0.0
        self._anchored = False

    @property
    def shift(self) -> tuple[float, float]:
        """What the ankle's target moves [m]: all of the offset while free, half while locked, the rest by pitching."""
        share = 1.0 - 0.5 * self.weight
        return share * self.x, share * self.y

    def update(
        self, stands: bool, target: tuple[float, float], toe: tuple[float, float], dt_s: float, pace_m_s: float = 0.0
    ) -> None:
        """One frame: `target` is the toe of the target foot, `toe` the robot's toe of the previous frame, xy [m].

        `pace_m_s` of the person's toe, see `Stance.pace_m_s`.
        """
        if stands:
            self._hold(target, toe, dt_s, smoothstep(pace_m_s, MOVES_M_S, STRAYS_M_S))
            self.weight = min(1.0, self.weight + dt_s / RAMP_S)
        else:
            keep = math.exp(-dt_s / RELEASE_S)
            self.x, self.y = self.x * keep, self.y * keep
            self.weight = max(0.0, self.weight - dt_s / FADE_S)
        self._anchored, self._target = stands, target

    def _hold(self, target: tuple[float, float], toe: tuple[float, float], dt_s: float, free: float) -> None:
        """`free`: share of the target's motion that is followed, and of a release's fading."""
        x, y = self._anchor if self._anchored else toe
        if self._anchored:
            x, y = x + free * (target[0] - self._target[0]), y + free * (target[1] - self._target[1])
        keep = math.exp(-dt_s * (LEAK_PER_S + free / RELEASE_S))
        x, y = (x - target[0]) * keep, (y - target[1]) * keep
        length = math.hypot(x, y)
        if length > LEASH_M:
            x, y = x * LEASH_M / length, y * LEASH_M / length
        self.x, self.y = x, y
        self._anchor = target[0] + x, target[1] + y
