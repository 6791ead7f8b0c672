"""The box-constrained quadratic problem of one step, compiled: projected Newton, as in MuJoCo's `mju_boxQP`.

The problem is strictly convex, so its minimum is one point, whoever finds it. Source: Tassa, Mansard, Todorov,
"Control-limited differential dynamic programming", ICRA 2014, section III.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from teleopd.service.retarget.compiled.jit import compiled

MOST_STEPS = 200
SUFFICIENT, SHORTER, SHORTEST = 0.1, 0.5, 0.1
"""Armijo's share of the promised decrease, how the line search shortens, and where it gives way to another step."""
FLAT, NEARLY_FLAT = 1e-20, 1e-10
"""Decrease promised by a Newton step below which the minimum is reached, or is too small to be seen in the value."""
ROUNDING = 1e-13
"""Share of the value that rounding may add to it."""


@compiled
def normal_equations(tree: Any, stacked: Any, tracking: int, rows: int, hessian: Any, gradient: Any) -> None:
    """H = J^T W J and g = -J^T W e over the first `rows` rows; most of a row is 0, which is skipped.

    The first `tracking` rows are x, y and z of one body after the other, which the same degrees of freedom move.
    """
    hessian[:] = 0.0
    gradient[:] = 0.0
    row = 0
    for bodies, first in ((stacked.pos_bodies, 0), (stacked.rot_bodies, 3)):
        for body in bodies:
            start, end = tree.chain_start[body], tree.chain_start[body + 1]
            _add_three(stacked, row, tree.chain[start + first : end], hessian, gradient)
            row += 3
    columns = np.empty(hessian.shape[0], dtype=np.intp)
    for row in range(tracking, rows):
        weight = stacked.weights[row]
        if weight != 0.0:
            add_row(stacked.jacobian[row], weight, -stacked.residual[row], hessian, gradient, columns)
    mirror(hessian)


@compiled
def _add_three(stacked: Any, row: int, chain: Any, hessian: Any, gradient: Any) -> None:
    """Three rows that are zero but for the degrees of freedom in `chain`, which ascends; into the lower triangle."""
    x, y, z = stacked.jacobian[row], stacked.jacobian[row + 1], stacked.jacobian[row + 2]
    u, v, w = stacked.weights[row], stacked.weights[row + 1], stacked.weights[row + 2]
    if u == 0.0 and v == 0.0 and w == 0.0:
        return
    p, q, r = stacked.residual[row], stacked.residual[row + 1], stacked.residual[row + 2]
    for a in range(len(chain)):
        i = chain[a]
        ux, vy, wz = u * x[i], v * y[i], w * z[i]
        gradient[i] -= ux * p + vy * q + wz * r
        for b in range(a + 1):
            j = chain[b]
            hessian[i, j] += ux * x[j] + vy * y[j] + wz * z[j]


@compiled
def add_row(row: Any, weight: float, gap: float, hessian: Any, gradient: Any, columns: Any) -> None:
    """One row of a least-squares problem into the lower triangle; `columns` is scratch of length nv."""
    count = 0
    for j in range(len(row)):
        if row[j] != 0.0:
            columns[count] = j
            count += 1
    for a in range(count):
        i = columns[a]
        scaled = weight * row[i]
        gradient[i] += scaled * gap
        for b in range(a + 1):
            hessian[i, columns[b]] += scaled * row[columns[b]]


@compiled
def mirror(hessian: Any) -> None:
    """The upper triangle from the lower one."""
    for i in range(hessian.shape[0]):
        for j in range(i):
            hessian[j, i] = hessian[i, j]


@compiled
def _factorise(hessian: Any, free: Any, count: int, factor: Any) -> bool:
    """Cholesky of the free part, lower triangle; False where it is not positive definite."""
    for a in range(count):
        i = free[a]
        for b in range(a + 1):
            total = hessian[i, free[b]]
            for k in range(b):
                total -= factor[a, k] * factor[b, k]
            if a == b:
                if not total > 0.0:
                    return False
                factor[a, a] = math.sqrt(total)
            else:
                factor[a, b] = total / factor[b, b]
    return True


@compiled
def _newton(slope: Any, free: Any, count: int, factor: Any, search: Any) -> None:
    """Into `search[:count]`: the step to the minimum over the free coordinates, the others staying."""
    for a in range(count):
        total = -slope[free[a]]
        for b in range(a):
            total -= factor[a, b] * search[b]
        search[a] = total / factor[a, a]
    for a in range(count - 1, -1, -1):
        last = search[a] / factor[a, a]
        search[a] = last
        for b in range(a):
            search[b] -= factor[a, b] * last


@compiled
def _value(hessian: Any, gradient: Any, x: Any) -> float:
    total = 0.0
    for i in range(len(x)):
        inner = 0.0
        for j in range(len(x)):
            inner += hessian[i, j] * x[j]
        total += x[i] * (gradient[i] + 0.5 * inner)
    return total


@compiled
def _slope(hessian: Any, gradient: Any, x: Any, slope: Any) -> None:
    """H x + g."""
    for i in range(len(x)):
        total = gradient[i]
        for j in range(len(x)):
            total += hessian[i, j] * x[j]
        slope[i] = total


@compiled
def _choose(x: Any, slope: Any, lower: Any, upper: Any, held: Any, free: Any, before: int) -> Any:
    """Into `free`: coordinates that are neither held nor pushed against a bound they are at; how many, and whether they
    are other ones than the `before` ones that `free` had."""
    count, changed = 0, False
    for i in range(len(x)):
        pushed = (x[i] <= lower[i] and slope[i] > 0.0) or (x[i] >= upper[i] and slope[i] < 0.0)
        if not pushed and not held[i]:
            changed = changed or count >= before or free[count] != i
            free[count] = i
            count += 1
    return count, changed or count != before


@compiled
def _projected(problem: Any, x: Any, value: float, promised: float, count: int, work: Any) -> Any:
    """Into `trial`: x after the step or a part of it, put back into the box; its value and the part, 0 where none will
    do."""
    hessian, gradient, lower, upper = problem
    _, search, trial, free, slope = work
    length, new = 1.0, value
    while length > SHORTEST:
        moved = 0.0
        for i in range(len(x)):
            trial[i] = x[i]
        for a in range(count):
            i = free[a]
            trial[i] = min(max(x[i] + length * search[a], lower[i]), upper[i])
            moved += slope[i] * (trial[i] - x[i])
        new = _value(hessian, gradient, trial)
        flat = promised < NEARLY_FLAT and new <= value + ROUNDING * abs(value)
        if moved < 0.0 and (flat or value - new >= -SUFFICIENT * moved):
            return new, length
        length *= SHORTER
    return new, 0.0


@compiled
def _to_first_bound(problem: Any, x: Any, count: int, held: Any, work: Any) -> bool:
    """Into `trial`: x after as much of the step as stays in the box, and hold what is in the way; False where that is
    none of the step."""
    _, _, lower, upper = problem
    _, search, trial, free, _ = work
    share, first = 1.0, -1
    for a in range(count):
        i = free[a]
        room = (upper[i] if search[a] > 0.0 else lower[i]) - x[i]
        if abs(room) < share * abs(search[a]):
            share, first = room / search[a], a
    for i in range(len(x)):
        trial[i] = x[i]
    for a in range(count):
        i = free[a]
        trial[i] = min(max(x[i] + share * search[a], lower[i]), upper[i])
    if first >= 0:
        i = free[first]
        held[i], trial[i] = True, upper[i] if search[first] > 0.0 else lower[i]
    return share > 0.0


@compiled
def box_qp(hessian: Any, gradient: Any, lower: Any, upper: Any, x: Any, work: Any) -> bool:
    """Minimise x^T H x / 2 + g^T x within lower <= x <= upper, starting from 0, which must lie inside; into `x`.

    `work`: scratch (factor (nv, nv), search (nv,), trial (nv,), free (nv,) int, slope (nv,)). False where the free
    part of H is not positive definite, or a number is not finite. A decrease below `FLAT` is not looked for; after
    `MOST_STEPS` x is the best point found.

    A projected step lowers the value unless a coordinate is near a bound that the step goes far beyond; then the step
    is taken as far as that bound, as active-set methods do, and the coordinate stays there until nothing else is to be
    gained: shorter and shorter projected steps would never get there.
    """
    problem = hessian, gradient, lower, upper
    factor, search, trial, free, slope = work
    held, any_held, before, value = np.zeros(len(x), dtype=np.bool_), False, -1, 0.0
    promised, length = np.inf, 0.0
    x[:] = 0.0
    for _ in range(MOST_STEPS):
        _slope(hessian, gradient, x, slope)
        count, changed = _choose(x, slope, lower, upper, held, free, before)
        if changed and not _factorise(hessian, free, count, factor):
            return False
        before = count
        _newton(slope, free, count, factor, search)
        last, promised = promised, 0.0
        for a in range(count):
            promised -= search[a] * slope[free[a]]
        if not math.isfinite(promised):
            return False
        rounding = length == 1.0 and not changed and SHORTER * last < promised < NEARLY_FLAT  # nothing else is found
        if rounding or not promised > FLAT:
            if not any_held:
                return True
            held[:], any_held = False, False
            continue
        new, length = _projected(problem, x, value, promised, count, work)
        if length == 0.0:
            any_held = True
            if not _to_first_bound(problem, x, count, held, work):
                continue
            new = _value(hessian, gradient, trial)
        x[:] = trial
        value = new
    return True
