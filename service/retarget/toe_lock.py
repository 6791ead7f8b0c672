"""Holding the robot's toe where it was when the foot came to rest.

The toe, not the ankle: at heel-off a foot turns about its toe. The lock begins at the toe the robot had in the frame
before, so that it starts without a step; a leash and a slow leak keep it near its target; on release what is left of
the offset fades out. A foot that comes to rest turned otherwise than the person's (a hip at its limit) stays turned so
in the same way: pulled straight while its toe is held, it would push its ankle off.
"""

from __future__ import annotations

import math

from teleopd.service.retarget.floor import smoothstep

RAMP_S, FADE_S = 0.015, 0.03
"""From no lock to full lock, and from full lock to none [s]."""
LEASH_M = 0.075
"""A lock farther than this from its target, at the person's size, is dragged along [m]."""
LEAK_PER_S = 0.2
"""A shuffling person's feet would drift apart from the robot's without it."""
MOVES_M_S, STRAYS_M_S = 0.23, 0.43
"""A toe slower than the first is held where it is; from the second on its motion is its own [m/s]. A toe that pivots or
shuffles in between is followed in part: held fully it would end a leash away from where it stands next."""
RELEASE_S = 0.06
"""Time constant of the offset after release [s]."""
TURNED_RAD = 0.1
"""A foot that comes to rest turned less is not held so [rad]."""


def followed(pace_m_s: float) -> float:
    """Share of a standing toe's motion that is its own, by `Stance.pace_m_s`."""
    return smoothstep(pace_m_s, MOVES_M_S, STRAYS_M_S)


class HeldTurn:
    """How a standing foot stays turned from its target, about the vertical."""

    def __init__(self) -> None:
        self.rad = 0.0
        """[rad]"""
        self._held = False

    def reset(self) -> None:
        """None."""
        self.rad, self._held = 0.0, False

    def update(self, stands: bool, missed_rad: float, pace_m_s: float, dt_s: float) -> float:
        """One frame: how far the robot's foot is turned from its target counts where the foot begins to stand [rad]."""
        if stands and not self._held:
            self.rad = math.copysign(max(0.0, abs(missed_rad) - TURNED_RAD), missed_rad)
        self.rad *= math.exp(-dt_s * (LEAK_PER_S + (followed(pace_m_s) if stands else 1.0) / RELEASE_S))
        self._held = stands
        return self.rad


class ToeLock:
    """The horizontal lock of one toe; world frame."""

    def __init__(self, leash_m: float = LEASH_M) -> None:
        """`leash_m` at the robot's size [m]."""
        self._leash_m = leash_m
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
            self._hold(target, toe, dt_s, followed(pace_m_s))
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
        if length > self._leash_m:
            x, y = x * self._leash_m / length, y * self._leash_m / length
        self.x, self.y = x, y
        self._anchor = target[0] + x, target[1] + y
