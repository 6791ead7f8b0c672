"""What the operator asks for in training: commands of the legs and motions of arms and torso, 50 times a second."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.decoupled.walker import (
    COMMAND,
    DT_S,
    HEIGHT,
    RATE_HZ,
    VX,
    VY,
    WALKS,
    WZ,
    Walker,
)

Rng = np.random.Generator
TRACK_TICKS = 1000
MIN_JERK_PEAK = 1.875
"""Peak over mean speed of a minimum-jerk motion."""
RANGE_SHARE = 0.95
QUICK_YAW_RAD = 0.9
"""A torso that swings further takes longer for it."""
SPEED_RAD_S = (0.4, 3.5)
FORWARD, LEFT, TURN = (-0.45, 1.0), 0.55, 1.1
"""Trained a little beyond what the card declares."""
LOWEST_M = 0.84
HEIGHT_RATE_M_S = (0.06, 0.3)
RISE_M_S = 0.3
"""Before it walks a bent robot is brought up so fast."""


class Track(NamedTuple):
    """One episode's wishes."""

    command: Array
    """(ticks, 5)"""
    upper: Array
    """Torso and arms in MJCF order [rad], (ticks, n - legs)."""


def track(rng: Rng, walker: Walker, ticks: int = TRACK_TICKS) -> Track:
    """A random episode."""
    return Track(commands(rng, walker.model.stand_height_m, ticks), upper_body(rng, walker, ticks))


def commands(rng: Rng, stand_m: float, ticks: int = TRACK_TICKS) -> Array:
    """Standing, squatting, marching and walking in turn, (ticks, 5)."""
    out = np.zeros((ticks, COMMAND))
    at, height, moving = 0, stand_m, np.zeros(3)
    while at < ticks:
        length = min(round(rng.uniform(1.5, 6.0) * RATE_HZ), ticks - at)
        kind = rng.random()
        here = slice(at, at + length)
        if kind < 0.46:
            goal = stand_m if rng.random() < 0.4 else rng.uniform(LOWEST_M, stand_m)
            way = goal - height
            need = max(round(abs(way) / rng.uniform(*HEIGHT_RATE_M_S) * RATE_HZ), 1)
            out[here, HEIGHT] = height + way * min_jerk(np.minimum(np.arange(length) / need, 1.0))
            height, moving = float(out[at + length - 1, HEIGHT]), np.zeros(3)
        else:
            goal_v = np.zeros(3) if kind < 0.54 else velocity(rng)
            ramp = max(round(rng.uniform(0.1, 1.0) * RATE_HZ), 1)
            ease = np.minimum(np.arange(length) / ramp, 1.0)[:, None]
            out[here, :3] = moving + (goal_v - moving) * ease
            rise = np.minimum(height + RISE_M_S * DT_S * np.arange(length), stand_m)
            out[here, HEIGHT], out[here, WALKS], height = rise, 1.0, float(rise[-1])
            moving = out[at + length - 1, :3].copy()
        at += length
    return out


def velocity(rng: Rng) -> Array:
    """A wanted velocity: some along one axis, some along all, (3,)."""
    v = np.array((rng.uniform(*FORWARD), rng.uniform(-LEFT, LEFT), rng.uniform(-TURN, TURN)))
    kind = rng.random()
    if kind < 0.55:
        axis = rng.choice(3, p=(0.4, 0.3, 0.3))
        if rng.random() < 0.35:  # the ends of the range are where it falls, overshoots and does not come to a stand
            v[axis] = rng.uniform(0.85, 1.0) * rng.choice((FORWARD, (-LEFT, LEFT), (-TURN, TURN))[axis])
        v *= np.eye(3)[axis]
    elif kind < 0.85:
        v *= rng.random(3) < 0.6
    return np.asarray(v)


def steady(command: tuple[float, float, float] | None, height_m: float, ticks: int) -> Array:
    """One command throughout, (ticks, 5); None stands."""
    out = np.zeros((ticks, COMMAND))
    out[:, HEIGHT] = height_m
    if command is not None:
        out[:, VX], out[:, VY], out[:, WZ], out[:, WALKS] = *command, 1.0
    return out


def min_jerk(share: Array) -> Array:
    """0 to 1 with minimum jerk."""
    return np.asarray(share**3 * (10.0 - 15.0 * share + 6.0 * share * share))


def upper_body(rng: Rng, walker: Walker, ticks: int = TRACK_TICKS) -> Array:
    """Arms resting, reaching slowly or thrown over their whole range; a torso that turns or does not."""
    kind = rng.random()
    if kind < 0.12:
        arms = np.tile(_somewhere(rng, walker, rng.uniform(0.0, 0.5)), (ticks, 1))
        return arms
    peak = rng.uniform(*SPEED_RAD_S) if kind < 0.65 else 3.0
    yaw = rng.choice((0.0, 0.5, 0.9, 1.9), p=(0.25, 0.4, 0.15, 0.2))
    each_joint, together = bool(rng.random() < 0.3), bool(rng.random() < 0.3)
    return thrown(rng, walker, ticks, peak, yaw, each_joint=each_joint, together=together)


def thrown(
    rng: Rng, walker: Walker, ticks: int, peak_rad_s: float, yaw_rad: float, *, each_joint: bool = False,
    together: bool = False,
) -> Array:  # fmt: skip
    """Arms between random postures of their whole range, minimum jerk, and the torso swinging by `yaw_rad`.

    Each arm goes its own way; its quickest joint reaches 0.6 to 1.0 times `peak_rad_s`. `each_joint`: every joint goes
    its own way at that speed. `together`: both arms move alike. Starts from the stand pose.
    """
    lower, upper = _range(walker)
    home = walker.default[len(walker.legs) :]
    turning = walker.upper.index(walker.torso)
    arms = [i for i in range(len(walker.upper)) if i != turning]
    half = len(arms) // 2
    out = np.tile(home, (ticks, 1))
    for side in (arms[:half], arms[half:]):
        if together and side[0] != arms[0]:
            sign = [-1.0 if "roll" in walker.upper[i] or "yaw" in walker.upper[i] else 1.0 for i in side]
            out[:, side] = out[:, arms[:half]] * sign
            continue
        for joints in [[i] for i in side] if each_joint else [side]:
            out[:, joints] = _wandering(rng, home[joints], lower[joints], upper[joints], ticks, peak_rad_s)
    t = np.arange(ticks) * DT_S
    period_s = rng.uniform(2.0, 6.0) * max(1.0, yaw_rad / QUICK_YAW_RAD)
    out[:, turning] = yaw_rad * np.sin(2 * np.pi * t / period_s) * np.minimum(t, 1.0)
    return out


def _wandering(rng: Rng, start: Array, lower: Array, upper: Array, ticks: int, peak_rad_s: float) -> Array:
    """Joints from one random posture to the next, arriving together, (ticks, joints)."""
    out, now, at = np.empty((ticks, len(start))), start, 0
    while at < ticks:
        goal = rng.uniform(lower, upper)
        speed = peak_rad_s * rng.uniform(0.6, 1.0)
        need = max(math.ceil(MIN_JERK_PEAK * float(np.abs(goal - now).max()) / speed * RATE_HZ), 5)
        length = min(need, ticks - at)
        ease = min_jerk((np.arange(length) + 1) / need)[:, None]
        out[at : at + length] = now + (goal - now) * ease
        rest = round(rng.uniform(0.0, 0.4) * RATE_HZ)
        out[at + length : at + length + rest] = goal
        at, now = at + length + rest, goal
    return out


def _range(walker: Walker) -> tuple[Array, Array]:
    """95 % of the range of torso and arms [rad]."""
    motor = walker.motor[len(walker.legs) :]
    lower, upper = walker.model.limits.q_lower[motor], walker.model.limits.q_upper[motor]
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower) * RANGE_SHARE
    return middle - half, middle + half


def _somewhere(rng: Rng, walker: Walker, reach: float) -> Array:
    lower, upper = _range(walker)
    home = walker.default[len(walker.legs) :]
    goal = home + reach * (rng.uniform(lower, upper) - home)
    goal[walker.upper.index(walker.torso)] = 0.0
    return np.asarray(goal)
