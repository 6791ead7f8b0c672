"""What the solver has to respect besides its targets, as one set of rows: feet, floor, self-collision."""

from __future__ import annotations

from collections.abc import Callable

import mujoco

from teleopd.robots.model import Array
from teleopd.service.retarget.avoidance import MOST, Avoidance
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.floor_rows import MOST_BODY, BodyFloor, FeetRows
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows
from teleopd.service.retarget.tables import SolverSettings

MOST_FEET = 24
"""Two feet of up to ten sole corners and a toe each."""
CAPACITY = MOST_FEET + MOST_BODY + MOST


class Constraints:
    """Rows of one solver, on its `data`. Feet come first, then what is measured near the floor and near the body."""

    def __init__(
        self, kinematics: Kinematics, data: mujoco.MjData, settings: SolverSettings, rows: Rows
    ) -> None:  # fmt: skip
        """`rows` of `CAPACITY`. Raises TableError where `settings.keep_apart` names a capsule the robot has not."""
        self._model, self._data, self._rows = kinematics.model, data, rows
        apart = settings.keep_apart if settings.avoidance else ()
        self._avoidance = Avoidance(kinematics, data, apart) if apart else None
        self._floor = BodyFloor(kinematics, data) if settings.contacts else None
        self._feet: FeetRows | None = None
        self._first = 0

    @property
    def any(self) -> bool:
        """There is something to respect."""
        return self._feet is not None or self._avoidance is not None or self._floor is not None

    def stand_on(self, contacts: Contacts | None) -> None:
        """Hold the feet where `contacts`, updated before every frame, says; None: only as the targets say."""
        self._feet = FeetRows(contacts.feet, self._model, self._data) if contacts is not None else None
        self._rows.reset()
        self._first = 0
        if self._feet is not None:
            self._first = self._feet.stop
            self._rows.stand(self._feet.toe_rows)
            self._feet.set_weights(self._rows)

    def toes_xy(self) -> list[tuple[float, float]]:
        """Where the robot's toes are at the current kinematics, world [m], left first; empty without contacts."""
        return self._feet.toes_xy() if self._feet is not None else []

    def load(self) -> None:
        """Take this frame's locks."""
        if self._feet is not None:
            self._feet.load(self._rows)

    def linearise(self, *, measure: bool) -> int:
        """Rows at the current kinematics; `measure` looks for what is near, else what was near moves along.

        Returns how many rows there are.
        """
        rows = self._rows
        if self._feet is not None:
            self._feet.fill(rows)
        if measure:
            rows.count = self._first
            if self._floor is not None:
                self._floor.measure(rows)
            if self._avoidance is not None:
                self._avoidance.measure(rows)
        rows.take_part()
        return rows.count

    def correct(self, hessian: Array, gradient: Array, step: Array, quadratic: Callable[[], bool]) -> bool:
        """Solve once more where `step` violates a row; `quadratic` solves into `step` and says if it could."""
        if self._rows.correct(hessian, gradient, step) and not quadratic():
            return False
        self._rows.advance(self._first, step)
        return True
