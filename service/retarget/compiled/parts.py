"""What a compiled frame works on: the robot, where it is, the stacked problem, its bounds, and scratch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, IntArray

FALLING = 2
HALF_PAGE = 256
"""Of 4 KiB, in floats."""


class Tree(NamedTuple):
    """What is constant of a robot; body 0 is the world, joint 0 the free root."""

    parent: IntArray
    """(nbody,)"""
    pos: Array
    """Of each body in its parent's frame [m], (nbody, 3)."""
    quat: Array
    """(nbody, 4)"""
    joint: IntArray
    """The hinge of each body, -1 without one, (nbody,)."""
    joint_pos: Array
    """In the body's frame [m], (njnt, 3)."""
    joint_axis: Array
    """(njnt, 3)"""
    joint_zero: Array
    """Position at which the hinge does not turn its body [rad], (njnt,)."""
    joint_qpos: IntArray
    joint_dof: IntArray
    chain_start: IntArray
    """Degrees of freedom that move body b: `chain[chain_start[b]:chain_start[b + 1]]`, (nbody + 1,)."""
    chain: IntArray
    geom_body: IntArray
    geom_pos: Array
    geom_quat: Array


class Place(NamedTuple):
    """Where everything is: views of an `mjData` [m], and the axes of motion, which are this path's own."""

    xpos: Array
    xquat: Array
    xmat: Array
    geom_xpos: Array
    geom_xmat: Array
    axis: Array
    """World axis of each degree of freedom from the fourth on; the first three are the world's own axes, (nv, 3)."""
    anchor: Array
    """A point on that axis [m], (nv, 3)."""


class Asked(NamedTuple):
    """What a frame asks of the matched bodies, and how a stage weighs it."""

    pos: Array
    """Of all matches [m], (m, 3)."""
    quat: Array
    """(m, 4)"""
    seen: npt.NDArray[np.bool_]
    """(m,)"""
    position: IntArray
    """Matches that have position rows."""
    rotation: IntArray
    """Matches that have rotation rows."""
    weights: Array
    """Squared weights of all tracking rows."""


class Feet(NamedTuple):
    """What is known of the feet: records, none of them without contacts."""

    feet: Any
    ground: Any
    toe_rows: IntArray
    """Of each foot, left first, its toe's two rows among the constraints'."""
    blocks: IntArray
    """Of each foot, its place among the position rows' bodies, -1 where it has none."""
    toe_weight: Array
    """Of toes that stand, (1,)."""


class Stacked(NamedTuple):
    """The stacked arrays of one stage; rows from `tracking` on are the constraints'."""

    jacobian: Array
    weights: Array
    """Squared."""
    residual: Array
    pos_bodies: IntArray
    rot_bodies: IntArray
    target_pos: Array
    target_conjugate: Array


class Bounds(NamedTuple):
    """The constraints' rows, numbered from the first behind the tracking rows; views of `one_sided.Rows`."""

    gap: Array
    wanted: Array
    side: Array
    standing: Array
    tolerance: Array
    foot_bodies: IntArray
    """Of each foot row; empty without contacts."""
    foot_points: Array
    """In the body's frame [m], (feet rows, 3)."""
    foot_along: IntArray
    """World axis of each foot row."""
    foot_offset: Array
    """What the row's gap is measured from [m]."""
    floor: IntArray
    """(1,): 1 where the rest of the body is kept above the floor, `FALLING` where the person falls too, 0 where not."""
    radii: Array
    halves: Array
    first: IntArray
    """Geoms of the pairs to keep apart; empty without avoidance."""
    second: IntArray
    reach_squared: Array


class Frame(NamedTuple):
    """What one call follows, in dof order; the root is free, and not smoothed."""

    lower: Array
    """Joint limits [rad], (nv,)."""
    upper: Array
    smoothing: Array
    """Full weights, (nv,)."""
    previous: Array
    """Joint positions of the frame before [rad], (nv,)."""


class Scratch(NamedTuple):
    """Arrays that a step needs; nothing in them outlives it."""

    hessian: Array
    gradient: Array
    step: Array
    lower: Array
    upper: Array
    factor: Array
    search: Array
    trial: Array
    free: IntArray
    slope: Array
    wrong: IntArray
    changes: Array


def scratch(nv: int, rows: int) -> Scratch:
    """For `nv` degrees of freedom and `rows` constraint rows.

    The Hessian and its factor lie half a page apart: at the same place in their pages, a read from the one waits for
    the last write to the other, which is how one retargeter of twenty came to take twice the time.
    """
    size, line = nv * nv, (nv,)
    factor = size + (HALF_PAGE - size) % (2 * HALF_PAGE)
    both = np.zeros(factor + size)
    return Scratch(
        both[:size].reshape(nv, nv), np.zeros(line), np.zeros(line), np.zeros(line), np.zeros(line),
        both[factor:].reshape(nv, nv), np.zeros(line), np.zeros(line), np.zeros(nv, dtype=np.intp), np.zeros(line),
        np.zeros(rows, dtype=np.intp), np.zeros(rows),
    )  # fmt: skip
