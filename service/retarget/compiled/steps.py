"""Gauss-Newton steps of one frame, compiled: what `FastSolver._iterate` does, without Python in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from teleopd.service.retarget.compiled.jit import compiled
from teleopd.service.retarget.compiled.layout import bounds_at, frame_at, place_at, scratch_at, stacked_at, tree_at
from teleopd.service.retarget.compiled.memory import line
from teleopd.service.retarget.compiled.parts import FALLING
from teleopd.service.retarget.compiled.quadratic import add_row, box_qp, mirror, normal_equations
from teleopd.service.retarget.compiled.rows import apart, exchange, feet, floor, take_part, track
from teleopd.service.retarget.compiled.tree import forward, integrate
from teleopd.service.retarget.constraints import FAR_RAD, ROOT
from teleopd.service.retarget.one_sided import EXCHANGES


@compiled
def solve(work: Any) -> bool:
    """The quadratic problem into `work.step`."""
    return box_qp(
        work.hessian, work.gradient, work.lower, work.upper, work.step,
        (work.factor, work.search, work.trial, work.free, work.slope),
    )  # fmt: skip


@compiled
def regularise(tree: Any, qpos: Any, frame: Any, damping: float, work: Any) -> None:
    """Damping, smoothing towards the frame before, and the box as steps from here."""
    for dof in range(len(work.step)):
        work.hessian[dof, dof] += damping + frame.smoothing[dof]
    for joint in range(1, len(tree.joint_dof)):
        dof, q = tree.joint_dof[joint], qpos[tree.joint_qpos[joint]]
        work.gradient[dof] += frame.smoothing[dof] * (q - frame.previous[dof])
        work.lower[dof] = min(frame.lower[dof] - q, 0.0)
        work.upper[dof] = max(frame.upper[dof] - q, 0.0)
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
def moves_far(step: Any) -> bool:
    """A joint moves farther than one linearisation of the floor sees."""
    for dof in range(ROOT, len(step)):
        if abs(step[dof]) > FAR_RAD:
            return True
    return False


@compiled
def steps(
    where: Any, damping: float, count: int, first: bool, constrained: bool
) -> None:  # fmt: skip
    """`count` steps on the configuration in the arrays of `layout.table`. `first`, see `FastSolver._iterate`."""
    tree, place, stacked = tree_at(where), place_at(where), stacked_at(where)
    bounds, frame, work, qpos = bounds_at(where), frame_at(where), scratch_at(where), line(where[-1])
    forward(tree, qpos, place)
    near = known = 0
    far = False
    for k in range(count):
        rows = track(tree, place, stacked)
        own = stacked.jacobian[rows:]
        fixed = 0
        if constrained:
            fixed = feet(tree, place, own, bounds)
            if k == 0 or first:
                known = near = apart(tree, place, own, bounds, fixed)
            if bounds.floor[0] and (k == 0 or first or far):
                near = floor(tree, place, own, bounds, known)
            take_part(stacked, bounds, rows, near)
        normal_equations(tree, stacked, rows, rows + near, work.hessian, work.gradient)
        regularise(tree, qpos, frame, damping, work)
        if not solve(work):
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
