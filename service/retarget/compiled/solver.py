"""`FastSolver` with its steps compiled: same arrays, same problem, same solution to rounding."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import IntArray
from teleopd.service.retarget.compiled.contacts import CompiledContacts
from teleopd.service.retarget.compiled.layout import table
from teleopd.service.retarget.compiled.parts import Asked, Bounds, Feet, Frame, Stacked, scratch
from teleopd.service.retarget.compiled.records import FOOT, GROUND
from teleopd.service.retarget.compiled.steps import steps
from teleopd.service.retarget.compiled.tree import place_of, tree_of
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.solver import FREE, FastSolver
from teleopd.service.retarget.tables import Match, SolverSettings, Stages
from teleopd.service.retarget.targets import Targets
from teleopd.service.retarget.tracking_rows import Buffers


class CompiledSolver(FastSolver):
    """Importing this for the first time compiles, which takes half a minute; `cache.py` says where it is kept."""

    def __init__(
        self, kinematics: Kinematics, matches: tuple[Match, ...], body_ids: IntArray, stages: Stages,
        settings: SolverSettings,
    ) -> None:  # fmt: skip
        super().__init__(kinematics, matches, body_ids, stages, settings)
        nv = kinematics.model.nv
        self._tree, self._place = tree_of(kinematics), place_of(kinematics, self._data)
        self._work = scratch(nv, len(self._constraints.rows.gap))
        frame, dofs = Frame(np.full(nv, -FREE), np.full(nv, FREE), np.zeros(nv), np.zeros(nv)), self._dofs
        frame.lower[dofs], frame.upper[dofs], frame.smoothing[dofs] = self._q_lower, self._q_upper, self._smoothing
        self._frame, m = frame, len(matches)
        self._asked = np.zeros((m, 3)), np.zeros((m, 4)), np.zeros(m, dtype=np.bool_)
        self._bind()

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
        self._stages = [self._stage(self._select), self._stage(self._follow)]
        self._tables = {
            id(buffers): table(
                self._tree, self._place, self._stack(buffers), self._bounds, self._frame, self._work, asked, feet,
                self._data.qpos,
            )
            for buffers, (asked, feet) in zip((self._select, self._follow), self._stages, strict=True)
        }  # fmt: skip

    def _stage(self, buffers: Buffers) -> tuple[Asked, Feet]:
        """What a stage asks, and what its feet are."""
        stage, contacts, rows = buffers.stage, self._contacts, self._constraints.feet
        position, rotation = (np.array(rows, dtype=np.intp) for rows in (stage.position, stage.rotation))
        asked = Asked(*self._asked, position, rotation, stage.weights_squared)
        if not isinstance(contacts, CompiledContacts) or rows is None:
            none = np.zeros(0, dtype=np.intp)
            return asked, Feet(np.zeros(0, dtype=FOOT), np.zeros(0, dtype=GROUND), none, none, np.zeros(1))
        at = [stage.position.index(row) if row in stage.position else -1 for row in (f.row for f in contacts.feet)]
        blocks, weight = np.array(at, dtype=np.intp), np.array([rows.toe_weight])
        return asked, Feet(contacts.feet_records, contacts.ground_record, rows.toe_rows, blocks, weight)

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
        self, targets: Targets, buffers: Buffers, count: int, reach: float, share: float, *, first: bool = False
    ) -> None:
        constrained = buffers is self._follow and self._constraints.any
        for own, given in zip(self._asked, targets, strict=True):
            own[:] = given
        self._frame.previous[self._dofs] = self._previous
        steps(self._tables[id(buffers)], self._settings.damping, reach, share, count, first, constrained)
