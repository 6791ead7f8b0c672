"""Distances between the axes of capsules, on plain floats; numba compiles the same functions (`compiled/`).

Nearly parallel capsules touch along a line, not at a point. The closest point of parallel axes jumps from one end of
their overlap to the other with the slightest turn, and a hand held away from there rocks (measured: hand along the
thigh, wrist yaw 0.6 degrees at 30 Hz). Both ends of the overlap are smooth: they are the two nearest of the four ends
to the other capsule's axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]
Facing = tuple[float, Point, Point]
"""Distance [m], point on the first axis, point on the second."""
ALIGNED = 1e-12
"""Squared sine between axes below which they are taken as parallel."""


def nearest_on(point: Point, centre: Point, axis: Point, half: float) -> tuple[float, Point]:
    """Distance of `point` from a segment (centre, unit axis, half length) and the segment's nearest point [m]."""
    along = (point[0] - centre[0]) * axis[0] + (point[1] - centre[1]) * axis[1] + (point[2] - centre[2]) * axis[2]
    nearest = along_axis(centre, axis, min(max(along, -half), half))
    return length(point, nearest), nearest


def along_axis(centre: Point, axis: Point, by: float) -> Point:
    """centre + by * axis."""
    return centre[0] + by * axis[0], centre[1] + by * axis[1], centre[2] + by * axis[2]


def length(a: Point, b: Point) -> float:
    """Distance of two points."""
    x, y, z = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return math.sqrt(x * x + y * y + z * z)


def closest(centre_a: Point, axis_a: Point, half_a: float, centre_b: Point, axis_b: Point, half_b: float) -> Facing:
    """Where two segments are nearest; Ericson, Real-Time Collision Detection, 5.1.9."""
    x, y, z = centre_a[0] - centre_b[0], centre_a[1] - centre_b[1], centre_a[2] - centre_b[2]
    cosine = axis_a[0] * axis_b[0] + axis_a[1] * axis_b[1] + axis_a[2] * axis_b[2]
    on_a = axis_a[0] * x + axis_a[1] * y + axis_a[2] * z
    on_b = axis_b[0] * x + axis_b[1] * y + axis_b[2] * z
    squared_sine = 1.0 - cosine * cosine
    s = (cosine * on_b - on_a) / squared_sine if squared_sine > ALIGNED else -on_a
    s = min(max(s, -half_a), half_a)
    t = cosine * s + on_b
    if t < -half_b or t > half_b:
        t = min(max(t, -half_b), half_b)
        s = min(max(cosine * t - on_a, -half_a), half_a)
    here, there = along_axis(centre_a, axis_a, s), along_axis(centre_b, axis_b, t)
    return length(here, there), here, there


def overlap_ends(
    centre_a: Point, axis_a: Point, half_a: float, centre_b: Point, axis_b: Point, half_b: float
) -> tuple[Facing, Facing]:
    """Both ends of the stretch along which two nearly parallel segments face each other, the nearer first."""
    first = second = (math.inf, centre_a, centre_b)
    for k in range(4):
        if k < 2:
            here = along_axis(centre_a, axis_a, half_a if k else -half_a)
            distance, there = nearest_on(here, centre_b, axis_b, half_b)
        else:
            there = along_axis(centre_b, axis_b, half_b if k == 3 else -half_b)
            distance, here = nearest_on(there, centre_a, axis_a, half_a)
        if distance < first[0]:
            first, second = (distance, here, there), first
        elif distance < second[0]:
            second = (distance, here, there)
    return first, second
