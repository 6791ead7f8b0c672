"""Holding the robot's toe where it was when the foot came to rest.

The toe, not the ankle: at heel-off a foot turns about its toe. The lock begins at the toe the robot had in the frame
before, so that it starts without a step; a leash and a slow leak keep it near its target; on release what is left of
the offset fades out. A foot that comes to rest turned otherwise than the person's (a hip at its limit) stays turned so
in the same way: pulled straight while its toe is held, it would push its ankle off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class HeldTurn:
    """How a standing foot stays turned from its target, about the vertical."""

    rad: float = 0.0
    """[rad]"""
    held: bool = False


def forget_turn(turn: HeldTurn) -> None:
    """None."""
    turn.rad, turn.held = 0.0, False


def hold_turn(turn: HeldTurn, stands: bool, missed_rad: float, pace_m_s: float, dt_s: float) -> float:
    """One frame: how far the robot's foot is turned from its target counts where the foot begins to stand [rad]."""
    if stands and not turn.held:
        turn.rad = math.copysign(max(0.0, abs(missed_rad) - TURNED_RAD), missed_rad)
    turn.rad *= math.exp(-dt_s * (LEAK_PER_S + (followed(pace_m_s) if stands else 1.0) / RELEASE_S))
    turn.held = stands
    return turn.rad


@dataclass(slots=True)
class ToeLock:
    """The horizontal lock of one toe; world frame."""

    leash_m: float = LEASH_M
    """At the robot's size [m]."""
    x: float = 0.0
    y: float = 0.0
    """Offset of the wanted toe from the target foot's toe [m]."""
    weight: float = 0.0
    """Strength of the lock, 0 to 1."""
    anchored: bool = False
    anchor: list[float] = field(default_factory=lambda: [0.0, 0.0])
    target: list[float] = field(default_factory=lambda: [0.0, 0.0])


def release_toe(lock: ToeLock) -> None:
    """No lock, no offset, at once."""
    lock.x = lock.y = lock.weight = 0.0
    lock.anchored = False


def ankle_shift(lock: ToeLock) -> tuple[float, float]:
    """What the ankle's target moves [m]: all of the offset while free, half while locked, the rest by pitching."""
    share = 1.0 - 0.5 * lock.weight
    return share * lock.x, share * lock.y


def lock_toe(
    lock: ToeLock, stands: bool, target: tuple[float, float], toe: tuple[float, float], dt_s: float, pace_m_s: float
) -> None:
    """One frame: `target` is the toe of the target foot, `toe` the robot's toe of the previous frame, xy [m].

    `pace_m_s` of the person's toe, see `Stance.pace_m_s`.
    """
    if stands:
        hold_toe(lock, target, toe, dt_s, followed(pace_m_s))
        lock.weight = min(1.0, lock.weight + dt_s / RAMP_S)
    else:
        keep = math.exp(-dt_s / RELEASE_S)
        lock.x, lock.y = lock.x * keep, lock.y * keep
        lock.weight = max(0.0, lock.weight - dt_s / FADE_S)
    lock.anchored = stands
    lock.target[0], lock.target[1] = target


def hold_toe(lock: ToeLock, target: tuple[float, float], toe: tuple[float, float], dt_s: float, free: float) -> None:
    """`free`: share of the target's motion that is followed, and of a release's fading."""
    x, y = toe
    if lock.anchored:
        x = lock.anchor[0] + free * (target[0] - lock.target[0])
        y = lock.anchor[1] + free * (target[1] - lock.target[1])
    keep = math.exp(-dt_s * (LEAK_PER_S + free / RELEASE_S))
    x, y = (x - target[0]) * keep, (y - target[1]) * keep
    length = math.hypot(x, y)
    if length > lock.leash_m:
        x, y = x * lock.leash_m / length, y * lock.leash_m / length
    lock.x, lock.y = x, y
    lock.anchor[0], lock.anchor[1] = target[0] + x, target[1] + y
