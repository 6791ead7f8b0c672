"""Keeping arms out of the body: one-sided rows between the capsules that a robot's table lists.

Once a frame, at the previous frame's configuration, which was free of collisions: pairs whose centres are near are
measured, the nearest few become rows, and later steps of the same frame move their gaps along the gradients. Measuring
first after an unconstrained step dives in and is pushed out again (measured: four times the jerk).
"""

from __future__ import annotations

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.capsules import Facing, closest, overlap_ends
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows
from teleopd.service.retarget.tables import KeepApart, TableError, nearest

NEAR_M = 0.02
"""Capsules nearer than this become rows [m]."""
CLEARANCE_M = -0.002
"""What a row keeps between surfaces [m]; less than 0: a touch of 2 mm is left to hands that hang at the thighs."""
WEIGHT = 200.0
"""Against 30 of the hand's own position row; 60 lets hands in (3 to 28 % of frames)."""
CROSSED_M = 1e-3
"""Axes nearer than this cross, or touch [m]."""
PARALLEL = 0.9
"""Capsules whose axes' directions have a larger product touch along a line; see `capsules.py`."""
MOST = 10
"""Rows; the nearest pairs win."""


def capsule_pairs(kinematics: Kinematics, apart: tuple[KeepApart, ...]) -> list[tuple[int, int]]:
    """Pairs of geoms, each once.

    Raises:
        TableError: the robot has no such capsule; the message names the nearest.
    """
    at = {name: i for i, name in enumerate(kinematics.capsule_names)}
    for name in (name for entry in apart for name in (*entry.shapes, *entry.others)):
        if name not in at:
            raise TableError(
                f"retargeting table of '{kinematics.robot.name}': solver.keep_apart names '{name}', but no capsule of "
                f"the robot is called so{nearest(name, at)}"
            )
    pairs = {
        tuple(sorted((at[a], at[b]))) for entry in apart for a in entry.shapes for b in entry.others if a != b
    }  # fmt: skip
    return [(a, b) for a, b in sorted(pairs)]


class Avoidance:
    """Appends rows for the pairs that are near."""

    def __init__(self, kinematics: Kinematics, data: mujoco.MjData, apart: tuple[KeepApart, ...]) -> None:
        """Raises TableError as `capsule_pairs`."""
        pairs = capsule_pairs(kinematics, apart)
        self._data = data
        self.first: IntArray = np.array([a for a, _ in pairs], dtype=np.intp)
        self.second: IntArray = np.array([b for _, b in pairs], dtype=np.intp)
        radii, halves = kinematics.radii, kinematics.half_lengths
        self._surface: Array = radii[self.first] + radii[self.second]
        reach = self._surface + halves[self.first] + halves[self.second] + NEAR_M
        self.reach_squared: Array = np.square(reach)
        moved_by, bodies = kinematics.moved_by(), kinematics.model.geom_bodyid
        self._relative: Array = moved_by[bodies[self.second]] - moved_by[bodies[self.first]]
        """1 where a degree of freedom moves a pair's second shape alone, -1 where it moves the first alone."""
        self._pairs, self._surfaces = pairs, self._surface.tolist()
        self._halves = halves.tolist()

    def measure(self, rows: Rows) -> None:
        """Append rows for the nearest pairs at the current kinematics of `data`."""
        centres = self._data.geom_xpos
        between = centres.take(self.second, axis=0)
        between -= centres.take(self.first, axis=0)
        near = (np.einsum("ij,ij->i", between, between) < self.reach_squared).nonzero()[0].tolist()
        if not near:
            return
        at, axes, halves = centres.tolist(), self._data.geom_xmat[:, 2::3].tolist(), self._halves
        found = []
        for i in near:
            a, b = self._pairs[i]
            facing = closest(at[a], axes[a], halves[a], at[b], axes[b], halves[b])
            if CROSSED_M < facing[0] < self._surfaces[i] + NEAR_M:  # axes that cross do not say where out is
                found.append((facing[0] - self._surfaces[i], i, facing))
        found.sort()
        found = self._doubled(found[:MOST], at, axes)
        if found:
            self._append(rows, found)

    def _doubled(
        self, found: list[tuple[float, int, Facing]], at: list[list[float]], axes: list[list[float]]
    ) -> list[tuple[float, int, Facing]]:
        """Entries (gap, pair, points), where nearly parallel capsules have one at each end they share."""
        entries: list[tuple[float, int, Facing]] = []
        for entry in found:
            _, i, _ = entry
            a, b = self._pairs[i]
            if abs(axes[a][0] * axes[b][0] + axes[a][1] * axes[b][1] + axes[a][2] * axes[b][2]) < PARALLEL:
                entries.append(entry)
                continue
            for facing in overlap_ends(at[a], axes[a], self._halves[a], at[b], axes[b], self._halves[b]):
                if CROSSED_M < facing[0] < self._surfaces[i] + NEAR_M:
                    entries.append((facing[0] - self._surfaces[i], i, facing))
        return entries[:MOST]

    def _append(self, rows: Rows, found: list[tuple[float, int, Facing]]) -> None:
        """One row an entry: the velocity of its second point from its first, along the line n between them.

        A point o from the subtree's centre of mass moves with J_lin + J_rot x o, along n with n J_lin + (o x n) J_rot,
        which is the same for all points of that line. So one product with MuJoCo's axes of motion serves both ends of
        all rows; what moves both bodies moves neither from the other.
        """
        cx, cy, cz = self._data.subtree_com[1].tolist()
        twists: list[list[float]] = []
        gaps: list[float] = []
        for gap, _, (distance, (ax, ay, az), (bx, by, bz)) in found:
            x, y, z = (bx - ax) / distance, (by - ay) / distance, (bz - az) / distance
            ax, ay, az = ax - cx, ay - cy, az - cz
            twists.append([ay * z - az * y, az * x - ax * z, ax * y - ay * x, x, y, z])
            gaps.append(gap - CLEARANCE_M)
        k, end = rows.count, rows.count + len(found)
        moved = np.dot(np.array(twists), self._data.cdof.T)
        np.multiply(moved, self._relative[[i for _, i, _ in found]], out=rows.jacobian[k:end])
        rows.gap[k:end], rows.wanted[k:end] = gaps, WEIGHT * WEIGHT
        rows.count = end
