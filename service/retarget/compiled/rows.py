"""Rows of the problem at the current kinematics, compiled: targets, feet, floor, self-collision.

What each row means, and every constant, is where the numpy path has it: `tracking_rows.py`, `floor_rows.py`,
`avoidance.py`, `one_sided.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from teleopd.service.retarget import capsules
from teleopd.service.retarget.avoidance import CLEARANCE_M, CROSSED_M, MOST, NEAR_M, PARALLEL, WEIGHT
from teleopd.service.retarget.compiled import shared  # noqa: F401 - compiles what is called below
from teleopd.service.retarget.compiled.jit import compiled
from teleopd.service.retarget.compiled.tree import moves, multiply
from teleopd.service.retarget.floor_rows import BODY_NEAR_M, BODY_WEIGHT, MOST_BODY
from teleopd.service.retarget.one_sided import HELD_M, RESTS_M, VIOLATED_M


@compiled
def track(tree: Any, place: Any, stacked: Any) -> int:
    """Residuals and Jacobians of the tracking rows; returns how many rows there are."""
    row = 0
    for i in range(len(stacked.pos_bodies)):
        body = stacked.pos_bodies[i]
        at = place.xpos[body]
        for k in range(3):
            stacked.residual[row + k] = stacked.target_pos[i, k] - at[k]
        for c in range(tree.chain_start[body], tree.chain_start[body + 1]):
            dof = tree.chain[c]
            moved = moves(place, dof, at[0], at[1], at[2])
            for k in range(3):
                stacked.jacobian[row + k, dof] = moved[k]
        row += 3
    for i in range(len(stacked.rot_bodies)):
        body = stacked.rot_bodies[i]
        error = turn_between(stacked.target_conjugate[i], place.xquat[body])
        for k in range(3):
            stacked.residual[row + k] = error[k]
        for c in range(tree.chain_start[body], tree.chain_start[body + 1]):
            dof = tree.chain[c]
            if dof >= 3:
                for k in range(3):
                    stacked.jacobian[row + k, dof] = place.axis[dof, k]
        row += 3
    return row


@compiled
def turn_between(target_conjugate: Any, here: Any) -> Any:
    """log(q_target q^-1), world frame [rad]."""
    t = target_conjugate
    w, x, y, z = multiply((t[0], -t[1], -t[2], -t[3]), (here[0], -here[1], -here[2], -here[3]))
    sine = math.sqrt(x * x + y * y + z * z)
    if sine < 1e-15:
        return 0.0, 0.0, 0.0
    angle = 2.0 * math.atan2(sine, w)
    if angle > math.pi:
        angle -= 2.0 * math.pi
    return angle * x / sine, angle * y / sine, angle * z / sine


@compiled
def feet(tree: Any, place: Any, jacobian: Any, bounds: Any) -> int:
    """Gaps and gradients of sole corners and toes into `jacobian`; returns how many rows they are."""
    for row in range(len(bounds.foot_bodies)):
        body, along = bounds.foot_bodies[row], bounds.foot_along[row]
        m, r = place.xmat[body], bounds.foot_points[row]
        x = place.xpos[body, 0] + m[0] * r[0] + m[1] * r[1] + m[2] * r[2]
        y = place.xpos[body, 1] + m[3] * r[0] + m[4] * r[1] + m[5] * r[2]
        z = place.xpos[body, 2] + m[6] * r[0] + m[7] * r[1] + m[8] * r[2]
        bounds.gap[row] = (x, y, z)[along] - bounds.foot_offset[row]
        for c in range(tree.chain_start[body], tree.chain_start[body + 1]):
            dof = tree.chain[c]
            jacobian[row, dof] = moves(place, dof, x, y, z)[along]
    return len(bounds.foot_bodies)


@compiled
def insert(gaps: Any, count: int, most: int, gap: float) -> int:
    """Where `gap` belongs among the `count` ascending `gaps`; later ones move up, the last of `most` falls out."""
    if count == most and not gap < gaps[count - 1]:
        return -1
    at = min(count, most - 1)
    while at > 0 and gap < gaps[at - 1]:
        gaps[at] = gaps[at - 1]
        at -= 1
    gaps[at] = gap
    return at


@compiled
def floor(tree: Any, place: Any, jacobian: Any, bounds: Any, count: int) -> int:
    """Append rows for the ends of capsules near or below the floor, the lowest first; returns how many rows."""
    gaps, ends, found = np.empty(MOST_BODY), np.empty((MOST_BODY, 4)), 0
    for geom in range(len(bounds.radii)):
        if place.geom_xpos[geom, 2] < bounds.halves[geom] + bounds.radii[geom] + BODY_NEAR_M:
            for side in (-1.0, 1.0):
                reach = side * bounds.halves[geom]
                gap = place.geom_xpos[geom, 2] + reach * place.geom_xmat[geom, 8] - bounds.radii[geom]
                if gap < BODY_NEAR_M:
                    at = insert(gaps, found, MOST_BODY, gap)
                    if at >= 0:
                        found = min(found + 1, MOST_BODY)
                        for j in range(found - 1, at, -1):
                            ends[j] = ends[j - 1]
                        for k in range(3):
                            ends[at, k] = place.geom_xpos[geom, k] + reach * place.geom_xmat[geom, 3 * k + 2]
                        ends[at, 3] = geom
    for j in range(found):
        jacobian[count] = 0.0
        body = tree.geom_body[int(ends[j, 3])]
        for c in range(tree.chain_start[body], tree.chain_start[body + 1]):
            dof = tree.chain[c]
            jacobian[count, dof] = moves(place, dof, ends[j, 0], ends[j, 1], ends[j, 2])[2]
        bounds.gap[count], bounds.wanted[count], bounds.side[count] = gaps[j], BODY_WEIGHT * BODY_WEIGHT, 0.0
        count += 1
    return count


@compiled
def axis_of(place: Any, geom: int) -> Any:
    """Centre and axis of a capsule."""
    at, turn = place.geom_xpos[geom], place.geom_xmat[geom]
    return (at[0], at[1], at[2]), (turn[2], turn[5], turn[8])


@compiled
def apart(tree: Any, place: Any, jacobian: Any, bounds: Any, count: int) -> int:
    """Append rows for the nearest pairs of capsules; returns how many rows there are."""
    gaps, pairs, found = np.empty(MOST), np.empty(MOST, dtype=np.intp), 0
    for i in range(len(bounds.first)):
        a, b = bounds.first[i], bounds.second[i]
        (ax, ay, az), _ = axis_of(place, a)
        (bx, by, bz), _ = axis_of(place, b)
        if (ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2 < bounds.reach_squared[i]:
            surface = bounds.radii[a] + bounds.radii[b]
            distance = facing_of(place, bounds, a, b)[0]
            if CROSSED_M < distance < surface + NEAR_M:
                at = insert(gaps, found, MOST, distance - surface)
                if at >= 0:
                    found = min(found + 1, MOST)
                    for j in range(found - 1, at, -1):
                        pairs[j] = pairs[j - 1]
                    pairs[at] = i
    start = count
    for j in range(found):
        a, b = bounds.first[pairs[j]], bounds.second[pairs[j]]
        (ca, ua), (cb, ub) = axis_of(place, a), axis_of(place, b)
        surface = bounds.radii[a] + bounds.radii[b]
        if abs(ua[0] * ub[0] + ua[1] * ub[1] + ua[2] * ub[2]) < PARALLEL:
            if count - start < MOST:
                count = _append(tree, place, jacobian, bounds, count, a, b, facing_of(place, bounds, a, b))
            continue
        for facing in capsules.overlap_ends(ca, ua, bounds.halves[a], cb, ub, bounds.halves[b]):
            if CROSSED_M < facing[0] < surface + NEAR_M and count - start < MOST:
                count = _append(tree, place, jacobian, bounds, count, a, b, facing)
    return count


@compiled
def facing_of(place: Any, bounds: Any, a: int, b: int) -> Any:
    """Where the axes of two capsules are nearest: distance, point on a, point on b."""
    (ca, ua), (cb, ub) = axis_of(place, a), axis_of(place, b)
    return capsules.closest(ca, ua, bounds.halves[a], cb, ub, bounds.halves[b])


@compiled
def _append(tree: Any, place: Any, jacobian: Any, bounds: Any, count: int, a: int, b: int, facing: Any) -> int:
    """The row of one pair: how fast the second point leaves the first along the line between them."""
    distance, p, q = facing
    normal = ((q[0] - p[0]) / distance, (q[1] - p[1]) / distance, (q[2] - p[2]) / distance)
    jacobian[count] = 0.0
    for point, geom, sign in ((p, a, -1.0), (q, b, 1.0)):
        body = tree.geom_body[geom]
        for c in range(tree.chain_start[body], tree.chain_start[body + 1]):
            dof = tree.chain[c]
            v = moves(place, dof, point[0], point[1], point[2])
            jacobian[count, dof] += sign * (normal[0] * v[0] + normal[1] * v[1] + normal[2] * v[2])
    bounds.gap[count] = distance - bounds.radii[a] - bounds.radii[b] - CLEARANCE_M
    bounds.wanted[count], bounds.side[count] = WEIGHT * WEIGHT, 0.0
    return count + 1


@compiled
def take_part(stacked: Any, bounds: Any, tracking: int, count: int) -> None:
    """Which rows take part at the current gaps; their residual and weight."""
    for k in range(count):
        bounds.side[k] = 1.0 if bounds.gap[k] < RESTS_M * bounds.side[k] else 0.0
        stacked.residual[tracking + k] = -bounds.gap[k]
        stacked.weights[tracking + k] = max(bounds.side[k], bounds.standing[k]) * bounds.wanted[k]


@compiled
def exchange(jacobian: Any, bounds: Any, count: int, step: Any, wrong: Any, changes: Any) -> int:
    """Rows on the wrong side of `step`: their numbers into `wrong`, how their weights change into `changes`."""
    found = 0
    for k in range(count):
        after = bounds.gap[k]
        for j in range(len(step)):
            after += jacobian[k, j] * step[j]
        limit = bounds.tolerance[k] + (VIOLATED_M - HELD_M) * bounds.side[k]
        sign = 1.0 - 2.0 * bounds.side[k]
        if after * sign < limit:
            wrong[found], changes[found] = k, bounds.wanted[k] * sign
            bounds.side[k] = 1.0 - bounds.side[k]
            found += 1
    return found
