"""Where the person's floor is under each foot, and how far the robot's feet are from where theirs should be.

The floor is known by the toe joint and the ankle of a foot at rest: both heights are followed while the foot is slow,
quickly downwards and slowly upwards. From them comes the clearance a sole should have; what the target foot lacks is
made up partly by moving the whole body (what is common and lasting) and for the rest by moving the foot alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from teleopd.service.retarget.stance import Noise, Point

REST_M_S = 0.30
"""Slower toes and ankles tell where the floor is [m/s]."""
DOWN_PER_S, UP_PER_S = 6.0, 0.6
TOE_MARGIN_M, ANKLE_MARGIN_M = 0.05, 0.03
"""Higher than this above the floor believed so far, a resting foot stands on something else or is held up [m]."""
FLAT_RAD = 0.25
LIFTED_M = 0.006
"""Clearances up to this are the play of a standing foot: none [m]."""
WHOLE_BODY_PER_S = 1.0
STANDING_CLEARANCE_M = 0.02
FOOT_REACH_M = 0.10
"""Most that one foot is moved by itself [m]."""


def smoothstep(x: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on, smooth between."""
    if x <= low:
        return 0.0
    if x >= high:
        return 1.0
    t = (x - low) / (high - low)
    return t * t * (3.0 - 2.0 * t)


@dataclass(slots=True)
class SourceFloor:
    """Heights that one foot's toe joint and ankle have on the floor, raw source metres."""

    toe_z: float
    ankle_z: float


def follow_floor(
    floor: SourceFloor, z: tuple[float, float], speed_m_s: tuple[float, float], tilt_rad: float, upright: bool,
    dt_s: float,
) -> None:  # fmt: skip
    """Follow a foot: heights `z` [m] and speeds of toe joint and ankle; `tilt_rad` of the foot from flat."""
    toe, ankle = z[0] - floor.toe_z, z[1] - floor.ankle_z
    flat = tilt_rad < FLAT_RAD and toe < ANKLE_MARGIN_M and ankle < ANKLE_MARGIN_M
    if speed_m_s[0] < REST_M_S:
        down = DOWN_PER_S if flat else UP_PER_S  # a toe that carries a kneeling person dips below where it stands
        floor.toe_z += toe * rate(toe, upright and toe < TOE_MARGIN_M, dt_s, down)
    if speed_m_s[1] < REST_M_S:
        floor.ankle_z += ankle * rate(ankle, upright and flat, dt_s, DOWN_PER_S)


def rate(error: float, may_rise: bool, dt_s: float, down_per_s: float) -> float:
    """Share of `error` that the floor follows in one frame."""
    if error < 0.0:
        return min(1.0, down_per_s * dt_s)
    return min(1.0, UP_PER_S * dt_s) if may_rise else 0.0


def clearance(toe_above_m: float, ankle_above_m: float, scale: float) -> float:
    """Height of the robot's lowest sole point above its floor that matches the person's foot [m]."""
    return scale * max(0.0, min(toe_above_m, ankle_above_m) - LIFTED_M)


@dataclass(slots=True)
class Ground:
    """What both feet have in common."""

    standing_m: float
    """Height of the robot's pelvis as it stands [m]."""
    scale: float
    """The robot's leg over the person's."""
    seat: list[Point]
    """See `seat_of`: x, y, z and radius of each sphere [m]."""
    shift_m: float = 0.0
    """The whole body is moved up by this to where the feet stand [m]."""
    started: bool = False
    upright: bool = True
    """Else the person falls, lies or crawls."""
    noise: Noise = field(default_factory=Noise)


def whole_body(ground: Ground, lacking_m: tuple[float, float], standing: tuple[bool, bool], dt_s: float) -> float:
    """The common shift [m], following the feet that stand; the first frame's smaller lack starts it."""
    left, right = lacking_m
    if not ground.started:
        ground.started = True
        ground.shift_m = right if abs(right) < abs(left) else left
        return ground.shift_m
    share = 1.0 - math.exp(-WHOLE_BODY_PER_S * dt_s)
    if standing[0]:
        ground.shift_m += (left - ground.shift_m) * share
    if standing[1]:
        ground.shift_m += (right - ground.shift_m) * share
    return ground.shift_m


def lowest_of_seat(ground: Ground, pelvis: tuple[float, float, float, float]) -> float:
    """Lowest point of the robot's seat above the origin of a pelvis turned so, wxyz [m]."""
    w, x, y, z = pelvis
    ux, uy, uz = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)
    low = math.inf
    for ball in ground.seat:
        low = min(low, ux * ball[0] + uy * ball[1] + uz * ball[2] - ball[3])
    return low


def of_foot(lacking_m: float, whole_body_m: float) -> float:
    """What one foot is moved beyond the common shift [m]."""
    return min(max(lacking_m - whole_body_m, -FOOT_REACH_M), FOOT_REACH_M)
