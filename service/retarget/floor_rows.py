"""The solver's rows on the floor: sole corners not below it, locked toes where they are, the rest of the body above."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.foot import FootContact, see_robot
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows

SOLE_WEIGHT, BODY_WEIGHT = 700.0, 800.0
BODY_NEAR_M = 0.15
MOST_BODY = 16
"""Ends of capsules that become rows in one frame; the lowest win."""


class FeetRows:
    """Rows [0, stop): of each foot its sole corners, then the toe's x and y.

    A point r from the body's origin moves with J_p + J_r x r, so one matrix product gives all rows of both feet, and
    one scatter of the r fills its matrix.
    """

    def __init__(
        self, feet: Sequence[FootContact], model: mujoco.MjModel, data: mujoco.MjData, toe_weight: float
    ) -> None:
        """`toe_weight` of a toe that stands [1/m]."""
        self._feet, self._model, self._data, self.toe_weight = feet, model, data, toe_weight
        bodies = [foot.body for foot in feet for _ in range(foot.corners + 2)]
        self.stop = len(bodies)
        local = [[*foot.sole_points[: foot.corners], foot.toe, foot.toe] for foot in feet]
        self.local: Array = np.array([p for points in local for p in points])
        """The rows' points in their bodies' frames [m], (stop, 3)."""
        self.bodies: IntArray = np.array(bodies, dtype=np.intp)
        self._frames = [(data.xpos[foot.body], data.xmat[foot.body]) for foot in feet]
        self._jacobian: Array = np.zeros((6 * len(feet), model.nv))
        self._parts = [
            (self._jacobian[6 * i : 6 * i + 3], self._jacobian[6 * i + 3 : 6 * i + 6], foot.body)
            for i, foot in enumerate(feet)
        ]
        self._map: Array = np.zeros((self.stop, 6 * len(feet)))
        self._flat = self._map.reshape(-1)
        self._set_up()
        self._arms: Array = np.zeros((self.stop, 3))
        self._arms_flat = self._arms.reshape(-1)
        ends = np.cumsum([len(points) for points in local]).tolist()
        self._turns = [
            (self.local[start:end], data.xmat[foot.body].reshape(3, 3).T, self._arms[start:end])
            for foot, start, end in zip(feet, [0, *ends], ends, strict=False)
        ]
        """Of each foot: its points, what turns them (a view that stays current), and where they go."""
        self.offset: Array = np.zeros(self.stop)
        """What gaps are measured from: a corner's radius above the floor; for toes where they are held [m]."""
        self.offset[:] = [foot.radius_m for foot in feet for _ in range(foot.corners + 2)]
        self.along: IntArray = self._axis % 3
        """World axis of each row."""
        self.toe_rows: IntArray = np.array([r for pair in self._toes for r in pair], dtype=np.intp)

    def _set_up(self) -> None:
        """Constants of the map, and where the points' coordinates go in it."""
        to, source, signs, axis = [], [], [], []
        self._toes: list[tuple[int, int]] = []
        row = 0
        for i, foot in enumerate(self._feet):
            column, width, corners = 6 * i, 6 * len(self._feet), foot.corners
            for k in range(corners + 2):
                along = 2 if k < corners else k - corners
                self._map[row, column + along] = 1.0
                ahead, behind = (along + 1) % 3, (along + 2) % 3  # (w x r)_a = w_(a+1) r_(a+2) - w_(a+2) r_(a+1)
                to += [row * width + column + 3 + ahead, row * width + column + 3 + behind]
                source += [3 * row + behind, 3 * row + ahead]
                signs += [1.0, -1.0]
                axis.append(3 * row + along)
                row += 1
            self._toes.append((row - 2, row - 1))
        self._to: IntArray = np.array(to, dtype=np.intp)
        self._source: IntArray = np.array(source, dtype=np.intp)
        self._signs: Array = np.array(signs)
        self._axis: IntArray = np.array(axis, dtype=np.intp)

    def show(self) -> None:
        """Tell the contacts where the robot's feet are at the current kinematics."""
        for foot, (pos, turn) in zip(self._feet, self._frames, strict=True):
            see_robot(foot, pos.tolist(), turn.tolist())

    def load(self, rows: Rows) -> None:
        """This frame's locks."""
        for foot, (x, y) in zip(self._feet, self._toes, strict=True):
            rows.wanted[x] = rows.wanted[y] = (self.toe_weight * foot.lock.weight) ** 2
            self.offset[x], self.offset[y] = foot.wanted_toe[0], foot.wanted_toe[1]

    def set_weights(self, rows: Rows) -> None:
        """Switch the sole rows on."""
        rows.wanted[: self.stop] = SOLE_WEIGHT * SOLE_WEIGHT
        rows.wanted[self.toe_rows] = 0.0

    def fill(self, rows: Rows) -> None:
        """Gaps and gradients at the current kinematics (with `mj_comPos`)."""
        self._turn()
        for translation, rotation, body in self._parts:
            mujoco.mj_jacBody(self._model, self._data, translation, rotation, body)
        self._flat[self._to] = self._arms_flat[self._source] * self._signs
        np.dot(self._map, self._jacobian, out=rows.jacobian[: self.stop])
        self._arms += self._data.xpos[self.bodies]
        np.subtract(self._arms_flat[self._axis], self.offset, out=rows.gap[: self.stop])

    def _turn(self) -> None:
        """The points from their bodies' origins in the world frame."""
        for local, turn, arms in self._turns:
            np.dot(local, turn, out=arms)


class BodyFloor:
    """All capsules of the robot: their ends not below the floor. Measured once a frame, in falls more often."""

    def __init__(self, kinematics: Kinematics, data: mujoco.MjData) -> None:
        self._data, halves, radii = data, kinematics.half_lengths, kinematics.radii
        self._reach = halves + radii + BODY_NEAR_M
        self._halves, self._radii = halves.tolist(), radii.tolist()
        self._moved_by: Array = kinematics.moved_by()[kinematics.model.geom_bodyid]
        """1 where a degree of freedom moves a capsule."""

    def measure(self, rows: Rows) -> None:
        """Append rows for the ends near or below the floor at the current kinematics (with `mj_comPos`).

        A point o from the subtree's centre of mass rises with J_lin_z + (J_rot x o)_z: one product for all rows.
        """
        data = self._data
        near = (data.geom_xpos[:, 2] < self._reach).nonzero()[0].tolist()
        found = []
        for geom in near:  # plain floats: numpy costs three times as much on so few
            (x, y, z), (ux, uy, uz) = data.geom_xpos[geom].tolist(), data.geom_xmat[geom, 2::3].tolist()
            for along in (-self._halves[geom], self._halves[geom]):
                gap = z + along * uz - self._radii[geom]
                if gap < BODY_NEAR_M:
                    found.append((gap, geom, x + along * ux, y + along * uy))
        if not found:
            return
        found.sort()
        del found[MOST_BODY:]
        cx, cy, _ = data.subtree_com[1].tolist()
        k, end = rows.count, rows.count + len(found)
        twists = np.array([[y - cy, cx - x, 0.0, 0.0, 0.0, 1.0] for _, _, x, y in found])
        moved = np.dot(twists, data.cdof.T)
        np.multiply(moved, self._moved_by[[geom for _, geom, _, _ in found]], out=rows.jacobian[k:end])
        rows.gap[k:end], rows.wanted[k:end] = [gap for gap, _, _, _ in found], BODY_WEIGHT * BODY_WEIGHT
        rows.count = end
