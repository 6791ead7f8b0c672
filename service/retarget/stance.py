"""Does this foot of the person stand? From the toe's speed and height alone, one frame after the other.

Speeds are taken on positions low-passed over 30 ms: with 3 mm of sensor noise plain frame differences break a stance
220 times on a walk instead of 33. Positions themselves are not delayed by it. What noise still adds is taken off, and a
toe that stands has not moved before it is somewhere else: without these two, noise alone made stances slide 0.5 cm/s.

The functions here and in `toe_lock.py`, `floor.py`, `foot.py` and `grounding.py` work on what has the fields they name:
these classes, or the records of the compiled path, which compiles the very same functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

Point = list[float]

LOW_PASS_S = 0.030
STANDS_M_S, LEAVES_M_S = 0.35, 0.70
"""A toe slower than the first begins to stand, faster than the second leaves [m/s]."""
LANDED_M_S = 0.50
STANDS_M, LEAVES_M = 0.06, 0.08
"""... as for its height above the floor [m]."""

REST_S = 0.2
"""Time constant with which the place where a toe rests follows the toe [s]."""
STRAYS_S = 0.04
"""A toe is no faster than its way from there in this time [s]: noise moves it fast, but not far."""
NOISE_TIMES, LOW_NOISE_TIMES = 1.0, 4.0
"""Of what sensor noise adds to a squared speed, this much is taken off without and with the low pass: what stands goes
by the lower of both, and an estimate below the truth holds a foot that begins to move by a frame or two longer."""
NOISE_SHARE = 0.05
"""Weight of the newest frame, of each foot, in what noise adds."""
STRETCH_M = 0.03
"""A foot that changes its length by more within one frame was lost, which tells nothing about noise [m]."""
LIFTED_M = 0.06
"""A toe at this height counts as twice as fast as on the floor [m]."""


def following(dt_s: float) -> float:
    """Share of a change that the low pass follows within `dt_s` [s]."""
    return 1.0 - math.exp(-dt_s / LOW_PASS_S)


@dataclass(slots=True)
class Speed:
    """Speed of one point."""

    m_s: float = 0.0
    """[m/s]; 0 before the second frame."""
    now_m_s: float = 0.0
    """Without the low pass [m/s]: noisy, but not late."""
    started: bool = False
    smooth: Point = field(default_factory=lambda: [0.0, 0.0, 0.0])
    last: Point = field(default_factory=lambda: [0.0, 0.0, 0.0])


def forget_speed(speed: Speed) -> None:
    """Forget the past."""
    speed.started, speed.m_s, speed.now_m_s = False, 0.0, 0.0


def measure_speed(speed: Speed, point: Point, follow: float, dt_s: float) -> float:
    """The speed after the point moved to `point` [m] within `dt_s` [s], `follow` being `following(dt_s)`."""
    x, y, z = point[0], point[1], point[2]
    smooth, last = speed.smooth, speed.last
    if speed.started:
        dx, dy, dz = follow * (x - smooth[0]), follow * (y - smooth[1]), follow * (z - smooth[2])
        smooth[0], smooth[1], smooth[2] = smooth[0] + dx, smooth[1] + dy, smooth[2] + dz
        speed.m_s = math.sqrt(dx * dx + dy * dy + dz * dz) / dt_s
        dx, dy, dz = x - last[0], y - last[1], z - last[2]
        speed.now_m_s = math.sqrt(dx * dx + dy * dy + dz * dz) / dt_s
    else:
        speed.started = True
        smooth[0], smooth[1], smooth[2] = x, y, z
    last[0], last[1], last[2] = x, y, z
    return speed.m_s


@dataclass(slots=True)
class Length:
    """A foot's length from toe joint to ankle, which sensor noise alone changes."""

    started: bool = False
    last_m: float = 0.0
    smooth_m: float = 0.0


@dataclass(slots=True)
class Noise:
    """What sensor noise adds to the squared way of a point from one frame to the next, learned from both feet.

    White noise of s per coordinate adds 6 s^2, and 4 s^2 to the squared change of a length between two such points.
    """

    frames: int = 0
    now_m2: float = 0.0
    """Without the low pass [m2]."""
    smooth_m2: float = 0.0
    """With it [m2]."""


def learn_noise(noise: Noise, length: Length, length_m: float, follow: float) -> None:
    """One foot is `length_m` from toe to ankle; `follow` as for `measure_speed`."""
    change, low = length_m - length.last_m, follow * (length_m - length.smooth_m)
    length.last_m = length_m
    if not (length.started and abs(change) <= STRETCH_M):
        length.started, length.smooth_m = True, length_m
        return
    length.smooth_m += low
    noise.frames += 1
    share = max(1.0 / noise.frames, NOISE_SHARE)
    noise.now_m2 += share * (1.5 * change * change - noise.now_m2)
    noise.smooth_m2 += share * (1.5 * low * low - noise.smooth_m2)


@dataclass(slots=True)
class Stance:
    """One foot, with hysteresis."""

    stands: bool = False
    pace_m_s: float = 0.0
    """The toe's speed, counted higher the higher it is: a toe that is lifted slowly does not stand either [m/s]."""
    rests: bool = False
    place: Point = field(default_factory=lambda: [0.0, 0.0])
    """Where the toe rests while it stands, xy [m]."""


def forget_stance(stance: Stance) -> None:
    """In the air until the next frame says otherwise."""
    stance.stands = stance.rests = False


def judge_stance(stance: Stance, speed: Speed, noise: Noise, height_m: float, upright: bool, dt_s: float) -> bool:
    """Whether the foot stands, given its toe's speed and height above the floor; never in falls and crawling.

    A foot that lands is taken as soon as it is slow without the low pass too, which lags the impact by two frames.
    """
    per_s2 = 1.0 / (dt_s * dt_s)
    now = math.sqrt(max(0.0, speed.now_m_s * speed.now_m_s - NOISE_TIMES * noise.now_m2 * per_s2))
    low = math.sqrt(max(0.0, speed.m_s * speed.m_s - LOW_NOISE_TIMES * noise.smooth_m2 * per_s2))
    stance.pace_m_s = min(low, now) * (1.0 + max(height_m, 0.0) / LIFTED_M)
    if stance.rests:
        stance.pace_m_s = min(stance.pace_m_s, strayed(stance, speed, dt_s) / STRAYS_S)
    if not upright:
        stance.stands = False
    elif stance.stands:
        stance.stands = stance.pace_m_s <= LEAVES_M_S and height_m <= LEAVES_M
    else:
        landed = now < LANDED_M_S and speed.m_s < LEAVES_M_S
        stance.stands = (speed.m_s < STANDS_M_S or landed) and height_m < STANDS_M
    if stance.stands and not stance.rests:
        stance.place[0], stance.place[1] = speed.last[0], speed.last[1]
    stance.rests = stance.stands
    return stance.stands


def strayed(stance: Stance, speed: Speed, dt_s: float) -> float:
    """How far the toe is from where it rests [m]; that place follows it."""
    x, y, a, b = speed.last[0], speed.last[1], speed.smooth[0], speed.smooth[1]
    p, q = stance.place[0], stance.place[1]
    share = 1.0 - math.exp(-dt_s / REST_S)
    stance.place[0], stance.place[1] = p + share * (a - p), q + share * (b - q)
    return min(math.hypot(a - p, b - q), math.hypot(x - p, y - q))
