"""Does this foot of the person stand? From the toe's speed and height alone, one frame after the other.

Speeds are taken on positions low-passed over 30 ms: with 3 mm of sensor noise plain frame differences break a stance
220 times on a walk instead of 33. Positions themselves are not delayed by it.

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
LANDED_M_S = 0.30
STANDS_M, LEAVES_M = 0.06, 0.08
"""... as for its height above the floor [m]."""

NOISE_TIMES = 2.0
"""Of what sensor noise adds to a squared speed, this much is taken off: an estimate below the truth breaks locks."""
SETTLED_FRAMES, NOISE_SHARE = 4, 0.05
"""A foot that stands for more frames tells what noise adds; weight of the newest frame in that."""
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
class Stance:
    """One foot, with hysteresis."""

    stands: bool = False
    pace_m_s: float = 0.0
    """The toe's speed, counted higher the higher it is: a toe that is lifted slowly does not stand either [m/s]."""
    frames: int = 0
    noise: float = 0.0
    """What sensor noise adds to the squared speed without the low pass [m2/s2]."""


def forget_stance(stance: Stance) -> None:
    """In the air until the next frame says otherwise; what noise adds to speeds is the sensor's, and stays."""
    stance.stands, stance.frames = False, 0


def judge_stance(stance: Stance, speed: Speed, height_m: float, upright: bool) -> bool:
    """Whether the foot stands, given its toe's speed and height above the floor; never in falls and crawling.

    A foot that lands is taken as soon as it is slow without the low pass too, which lags the impact by two frames.
    """
    now = math.sqrt(max(0.0, speed.now_m_s * speed.now_m_s - NOISE_TIMES * stance.noise))
    pace = stance.pace_m_s = min(speed.m_s, now) * (1.0 + max(height_m, 0.0) / LIFTED_M)
    if not upright:
        stance.stands = False
    elif stance.stands:
        stance.stands = pace <= LEAVES_M_S and height_m <= LEAVES_M
    else:
        landed = now < LANDED_M_S and speed.m_s < LEAVES_M_S
        stance.stands = (speed.m_s < STANDS_M_S or landed) and height_m < STANDS_M
    stance.frames = stance.frames + 1 if stance.stands else 0
    if stance.frames > SETTLED_FRAMES:  # in a foot at rest the speed without the low pass is noise, all but the rest
        added = max(0.0, speed.now_m_s * speed.now_m_s - speed.m_s * speed.m_s)
        stance.noise += NOISE_SHARE * (added - stance.noise)
    return stance.stands
