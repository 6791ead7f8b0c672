"""Gauss-Newton steps of one frame, compiled: what `FastSolver._iterate` does, without Python in between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from teleopd.service.retarget.compiled.jit import compiled, entry
from teleopd.service.retarget.compiled.layout import (
    asked_at,
    bounds_at,
    frame_at,
    known_at,
    place_at,
    scratch_at,
    stacked_at,
    tree_at,
)
from teleopd.service.retarget.compiled.memory import line
from teleopd.service.retarget.compiled.parts import FALLING
from teleopd.service.retarget.compiled.quadratic import add_row, box_qp, mirror, normal_equations
from teleopd.service.retarget.compiled.rows import apart, exchange, feet, floor, take_part, track
from teleopd.service.retarget.compiled.tree import forward, integrate
from teleopd.service.retarget.constraints import FAR_RAD, ROOT
from teleopd.service.retarget.foot import see_robot
from teleopd.service.retarget.one_sided import EXCHANGES
from teleopd.service.retarget.toe_lock import ankle_shift
from teleopd.service.retarget.tracking_rows import HEIGHT_GAIN, YIELDS


@compiled
def solve(work: Any) -> bool:
    """The quadratic problem into `work.step`."""
    return box_qp(
        work.hessian, work.gradient, work.lower, work.upper, work.step,
        (work.factor, work.search, work.trial, work.free, work.slope),
    )  # fmt: skip


@compiled
def ask(asked: Any, known: Any, stacked: Any, bounds: Any) -> None:
    """This frame's targets, weights and locks: `Buffers.load`, `FeetRows.load`."""
    count = len(asked.position)
    for i in range(count):
        match = asked.position[i]
        for k in range(3):
            stacked.target_pos[i, k] = asked.pos[match, k]
            stacked.weights[3 * i + k] = asked.weights[3 * i + k] if asked.seen[match] else 0.0
    for i in range(len(asked.rotation)):
        match, row = asked.rotation[i], 3 * (count + i)
        q = asked.quat[match]
        target = stacked.target_conjugate[i]
        target[0], target[1], target[2], target[3] = q[0], -q[1], -q[2], -q[3]
        for k in range(3):
            stacked.weights[row + k] = asked.weights[row + k] if asked.seen[match] else 0.0
    for i in range(len(known.feet)):
        lock, block, toe = known.feet[i].lock, known.blocks[i], known.feet[i].wanted_toe
        if block >= 0:
            x, y = ankle_shift(lock)
            stacked.target_pos[block, 0] += x
            stacked.target_pos[block, 1] += y
            stacked.weights[3 * block] *= (1.0 - YIELDS * lock.weight) ** 2
            stacked.weights[3 * block + 1] *= (1.0 - YIELDS * lock.weight) ** 2
            stacked.weights[3 * block + 2] *= (1.0 + HEIGHT_GAIN * lock.weight) ** 2
        for k in range(2):
            row = known.toe_rows[2 * i + k]
            bounds.wanted[row], bounds.foot_offset[row] = (known.toe_weight[0] * lock.weight) ** 2, toe[k]
    if len(known.ground) and bounds.floor[0]:
        bounds.floor[0] = 1 if known.ground[0].upright else FALLING


@compiled
def regularise(tree: Any, qpos: Any, frame: Any, how: Any, work: Any) -> None:
    """Damping, smoothing towards the frame before, and the box as steps from here."""
    damping, reach, share = how
    for dof in range(len(work.step)):
        work.hessian[dof, dof] += damping + share * frame.smoothing[dof]
    for joint in range(1, len(tree.joint_dof)):
        dof, q = tree.joint_dof[joint], qpos[tree.joint_qpos[joint]]
        previous = frame.previous[dof]
        work.gradient[dof] += share * frame.smoothing[dof] * (q - previous)
        work.lower[dof] = min(max(frame.lower[dof], previous - reach) - q, 0.0)
        work.upper[dof] = max(min(frame.upper[dof], previous + reach) - q, 0.0)
    for dof in range(6):
        work.lower[dof], work.upper[dof] = frame.lower[dof], frame.upper[dof]


@compiled
def correct(jacobian: Any, bounds: Any, count: int, work: Any) -> bool:
    """Solve again where the step violates a row; False where that could not be."""
    nv = len(work.step)
    columns = np.empty(nv, dtype=np.intp)
    for _ in range(EXCHANGES):
        found, anything = exchange(jacobian, bounds, count, work.step, work.wrong, work.changes), False
        for k in range(found):
            row = work.wrong[k]
            add_row(jacobian[row], work.changes[k], bounds.gap[row], work.hessian, work.gradient, columns)
            anything = anything or work.changes[k] != 0.0
        if not anything:
            return True
        mirror(work.hessian)
        if not solve(work):
            return False
    return True


@compiled
def spoil(qpos: Any, work: Any) -> None:
    """Make a configuration not finite where the problem was not: nobody is to take it for a solution."""
    for each in work.gradient:
        if not math.isfinite(each):
            qpos[:] = math.nan


@compiled
def moves_far(step: Any) -> bool:
    """A joint moves farther than one linearisation of the floor sees."""
    for dof in range(ROOT, len(step)):
        if abs(step[dof]) > FAR_RAD:
            return True
    return False


@entry(", float64, float64, float64, int64, boolean, boolean")
def steps(
    where: Any, damping: float, reach: float, share: float, count: int, first: bool, constrained: bool
) -> None:  # fmt: skip
    """`count` steps on the configuration in the arrays of `layout.table`, see `FastSolver._iterate`."""
    tree, place, stacked = tree_at(where), place_at(where), stacked_at(where)
    bounds, frame, work, qpos = bounds_at(where), frame_at(where), scratch_at(where), line(where[-1])
    known = known_at(where)
    ask(asked_at(where), known, stacked, bounds)
    forward(tree, qpos, place)
    near = apart_end = 0
    far = False
    for k in range(count):
        rows = track(tree, place, stacked)
        own = stacked.jacobian[rows:]
        fixed = 0
        if constrained:
            fixed = feet(tree, place, own, bounds)
            if k == 0 or first:
                apart_end = near = apart(tree, place, own, bounds, fixed)
            if bounds.floor[0] and (k == 0 or first or far):
                near = floor(tree, place, own, bounds, apart_end)
            take_part(stacked, bounds, rows, near)
        normal_equations(tree, stacked, rows, rows + near, work.hessian, work.gradient)
        regularise(tree, qpos, frame, (damping, reach, share), work)
        if not solve(work):
            spoil(qpos, work)
            break
        if constrained:
            if not correct(own, bounds, near, work):
                break
            for row in range(fixed, near):
                for j in range(len(work.step)):
                    bounds.gap[row] += own[row, j] * work.step[j]
            far = bounds.floor[0] == FALLING and moves_far(work.step)
        integrate(tree, qpos, work.step)
        forward(tree, qpos, place)
    for foot in known.feet:
        see_robot(foot, place.xpos[foot.body], place.xmat[foot.body])
