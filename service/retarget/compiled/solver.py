"""`FastSolver` with its steps compiled: same arrays, same problem, same solution to rounding."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.compiled.layout import table
from teleopd.service.retarget.compiled.parts import FALLING, Bounds, Frame, Stacked, scratch
from teleopd.service.retarget.compiled.steps import steps
from teleopd.service.retarget.compiled.tree import place_of, tree_of
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.solver import FREE, FastSolver
from teleopd.service.retarget.tables import Match, SolverSettings, Stages
from teleopd.service.retarget.targets import Targets
from teleopd.service.retarget.tracking_rows import Buffers


class CompiledSolver(FastSolver):
    """The first one of a new version compiles, which takes half a minute; `cache.py` says where it is kept."""

    def __init__(
        self, kinematics: Kinematics, matches: tuple[Match, ...], body_ids: IntArray, stages: Stages,
        settings: SolverSettings,
    ) -> None:  # fmt: skip
        super().__init__(kinematics, matches, body_ids, stages, settings)
        nv = kinematics.model.nv
        self._tree, self._place = tree_of(kinematics), place_of(kinematics, self._data)
        self._work = scratch(nv, len(self._constraints.rows.gap))
        self._frame = Frame(np.full(nv, -FREE), np.full(nv, FREE), np.zeros(nv), np.zeros(nv))
        self._bind()
        steps(self._tables[id(self._follow)], self._settings.damping, 0, False, False)  # loads or compiles it now

    def stand_on(self, contacts: Contacts | None) -> None:
        """See `IkSolver.stand_on`."""
        super().stand_on(contacts)
        self._bind()

    @staticmethod
    def _stack(buffers: Buffers) -> Stacked:
        pos_bodies, rot_bodies = buffers.body_ids
        return Stacked(
            buffers.jacobian, buffers.weights_squared, buffers.residual, pos_bodies, rot_bodies, *buffers.targets
        )  # fmt: skip

    def _bind(self) -> None:
        """Lay out the arrays of both stages with what the constraints hold at present."""
        self._bounds = self._bounds_now()  # kept: the tables hold addresses
        self._tables = {
            id(buffers): table(
                self._tree, self._place, self._stack(buffers), self._bounds, self._frame, self._work, self._data.qpos
            )
            for buffers in (self._select, self._follow)
        }

    def _bounds_now(self) -> Bounds:
        constraints, kinematics = self._constraints, self._kinematics
        rows, feet, avoidance = constraints.rows, constraints.feet, constraints.avoidance
        none = np.zeros(0, dtype=np.intp)
        return Bounds(
            rows.gap, rows.wanted, rows.side, rows.standing, rows.tolerance,
            feet.bodies if feet is not None else none, feet.local if feet is not None else np.zeros((0, 3)),
            feet.along if feet is not None else none, feet.offset if feet is not None else np.zeros(0),
            np.array([constraints.floor is not None], dtype=np.intp), kinematics.radii, kinematics.half_lengths,
            avoidance.first if avoidance is not None else none, avoidance.second if avoidance is not None else none,
            avoidance.reach_squared if avoidance is not None else np.zeros(0),
        )  # fmt: skip

    def _iterate(
        self, targets: Targets, buffers: Buffers, count: int, lower: Array, upper: Array, smoothing: Array, *,
        first: bool = False,
    ) -> None:  # fmt: skip
        constrained = buffers is self._follow and self._constraints.any
        buffers.load(targets, self._contacts)
        if constrained:
            self._constraints.load()
            if self._constraints.floor is not None:
                self._bounds.floor[0] = FALLING if self._constraints.falling else 1
        frame, dofs = self._frame, self._dofs
        frame.lower[dofs], frame.upper[dofs], frame.smoothing[dofs] = lower, upper, smoothing
        frame.previous[dofs] = self._previous
        steps(self._tables[id(buffers)], self._settings.damping, count, first, constrained)
