"""Bounds of the reference: how fast, how far, how high an operator may ask the robot to go."""

from __future__ import annotations

from dataclasses import dataclass, replace

PERSON = {"joint_speed": 8.0, "root_speed": 1.5, "root_climb": 1.0, "turn_speed": 2.5}
"""What `reference_speed` below 1 is a share of [rad/s], [m/s]: the legs' proposal of the safety page, a brisk walk."""


@dataclass(frozen=True, slots=True)
class GuardBounds:
    """Bounds of the reference. Public walking and boxing clips reach 6.5-11 rad/s (p99) and must pass unchanged."""

    joint_speed: float = 15.0
    """[rad/s]"""
    root_speed: float = 3.0
    """Horizontal [m/s]: above a fast walk, below a teleport."""
    root_climb: float = 2.0
    """Vertical [m/s]"""
    turn_speed: float = 8.0
    """[rad/s]"""
    lowest_m: float = 0.40
    """Root height; a public squatting clip reaches 0.418 m."""
    highest: float = 1.1
    """Root height as a share of the stand height."""
    tilt_rad: float = 0.8
    """Largest lean of the pelvis: leaves 14 deg to the absolute trip."""
    engage_s: tuple[float, float] = (1.0, 2.0)
    """Shortest and longest engage blend; longer with the distance between the poses."""
    resume_s: float = 0.5
    """Shortest blend when the stream is back after a gap, or the motion restarted."""
    far_rad: float = 1.5
    """Distance between the poses that takes the longest blend."""
    return_s: float = 1.0

    def slowed(self, share: float) -> GuardBounds:
        """No speed above its share of a person's; from 1 on nothing is changed."""
        if share >= 1.0:
            return self
        return replace(self, **{name: min(getattr(self, name), share * most) for name, most in PERSON.items()})
