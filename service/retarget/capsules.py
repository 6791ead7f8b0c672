"""Where two nearly parallel capsules touch: along a line, not at a point.

The closest point of parallel axes jumps from one end of their overlap to the other with the slightest turn, and a hand
held away from there rocks (measured: hand along the thigh, wrist yaw 0.6 degrees at 30 Hz). Both ends of the overlap
are smooth: they are the two nearest of the four ends to the other capsule's axis.
"""

from __future__ import annotations

import math

Point = tuple[float, float, float]


def nearest_on(point: Point, centre: Point, axis: Point, half: float) -> tuple[float, Point]:
    """Distance of `point` from a segment (centre, unit axis, half length) and the segment's nearest point [m]."""
    x, y, z = centre
    along = (point[0] - x) * axis[0] + (point[1] - y) * axis[1] + (point[2] - z) * axis[2]
    along = min(max(along, -half), half)
    nearest = x + along * axis[0], y + along * axis[1], z + along * axis[2]
    return math.dist(point, nearest), nearest


def overlap_ends(
    centre_a: Point, axis_a: Point, half_a: float, centre_b: Point, axis_b: Point, half_b: float
) -> list[tuple[float, Point, Point]]:
    """Both ends of the stretch along which two nearly parallel segments face each other: distance, point on a, on b."""
    found = []
    for sign in (-half_a, half_a):
        end = centre_a[0] + sign * axis_a[0], centre_a[1] + sign * axis_a[1], centre_a[2] + sign * axis_a[2]
        distance, other = nearest_on(end, centre_b, axis_b, half_b)
        found.append((distance, end, other))
    for sign in (-half_b, half_b):
        end = centre_b[0] + sign * axis_b[0], centre_b[1] + sign * axis_b[1], centre_b[2] + sign * axis_b[2]
        distance, other = nearest_on(end, centre_a, axis_a, half_a)
        found.append((distance, other, end))
    found.sort()
    return found[:2]
