"""Does this foot of the person stand? From the toe's speed and height alone, one frame after the other.

Speeds are taken on positions low-passed over 30 ms: with 3 mm of sensor noise plain frame differences break a stance
220 times on a walk instead of 33. Positions themselves are not delayed by it.
"""

from __future__ import annotations

import math

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

Point = list[float]


def following(dt_s: float) -> float:
    """Share of a change that the low pass follows within `dt_s` [s]."""
    return 1.0 - math.exp(-dt_s / LOW_PASS_S)


class Speed:
    """Speed of one point."""

    def __init__(self) -> None:
        self._smooth: Point | None = None
        self._last: Point = [0.0, 0.0, 0.0]
        self.m_s = 0.0
        """[m/s]; 0 before the second frame."""
        self.now_m_s = 0.0
        """Without the low pass [m/s]: noisy, but not late."""

    def reset(self) -> None:
        """Forget the past."""
        self._smooth, self.m_s, self.now_m_s = None, 0.0, 0.0

    def update(self, point: Point, follow: float, dt_s: float) -> float:
        """The speed after the point moved to `point` [m] within `dt_s` [s], `follow` being `following(dt_s)`."""
        if self._smooth is None:
            self._smooth, self._last = list(point), point
            return self.m_s
        x, y, z = point
        a, b, c = self._smooth
        dx, dy, dz = follow * (x - a), follow * (y - b), follow * (z - c)
        self._smooth = [a + dx, b + dy, c + dz]
        self.m_s = math.sqrt(dx * dx + dy * dy + dz * dz) / dt_s
        self.now_m_s, self._last = math.dist(point, self._last) / dt_s, point
        return self.m_s


class Stance:
    """One foot, with hysteresis."""

    def __init__(self) -> None:
        self.stands = False
        self._frames, self._noise = 0, 0.0
        self.pace_m_s = 0.0
        """The toe's speed, counted higher the higher it is: a toe that is lifted slowly does not stand either [m/s]."""

    def reset(self) -> None:
        """In the air until the next frame says otherwise; what noise adds to speeds is the sensor's, and stays."""
        self.stands, self._frames = False, 0

    def update(self, speed: Speed, height_m: float, upright: bool) -> bool:
        """Whether the foot stands, given its toe's speed and height above the floor; never in falls and crawling.

        A foot that lands is taken as soon as it is slow without the low pass too, which lags the impact by two frames.
        """
        now = math.sqrt(max(0.0, speed.now_m_s * speed.now_m_s - NOISE_TIMES * self._noise))
        self.pace_m_s = min(speed.m_s, now) * (1.0 + max(height_m, 0.0) / LIFTED_M)
        if not upright:
            self.stands = False
        elif self.stands:
            self.stands = self.pace_m_s <= LEAVES_M_S and height_m <= LEAVES_M
        else:
            landed = now < LANDED_M_S and speed.m_s < LEAVES_M_S
            self.stands = (speed.m_s < STANDS_M_S or landed) and height_m < STANDS_M
        self._frames = self._frames + 1 if self.stands else 0
        if self._frames > SETTLED_FRAMES:  # in a foot at rest the speed without the low pass is noise, all but the rest
            added = max(0.0, speed.now_m_s * speed.now_m_s - speed.m_s * speed.m_s)
            self._noise += NOISE_SHARE * (added - self._noise)
        return self.stands
