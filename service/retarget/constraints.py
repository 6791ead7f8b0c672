"""What the solver has to respect besides its targets, as one set of rows: feet, floor, self-collision."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np

from teleopd.robots.model import Array
from teleopd.service.retarget.avoidance import MOST, Avoidance
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.floor_rows import MOST_BODY, BodyFloor, FeetRows
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import EXCHANGES, Rows
from teleopd.service.retarget.tables import SolverSettings

MOST_FEET = 24
"""Two feet of up to ten sole corners and a toe each."""
FAR_RAD = 0.1
"""A joint that moves by more within one step of a fall [rad]; at 30 Hz a limb falls by up to 0.67 rad a frame."""
ROOT = 6
"""Degrees of freedom of the root, which come first."""
CAPACITY = MOST_FEET + MOST_BODY + MOST


class Constraints:
    """Rows of one solver, on its `data`. Feet come first, then what is near the body, then what is near the floor."""

    def __init__(
        self, kinematics: Kinematics, data: mujoco.MjData, settings: SolverSettings, rows: Rows
    ) -> None:  # fmt: skip
        """`rows` of `CAPACITY`. Raises TableError where `settings.keep_apart` names a capsule the robot has not."""
        self._model, self._data, self.rows = kinematics.model, data, rows
        apart = settings.keep_apart if settings.avoidance else ()
        self.avoidance = Avoidance(kinematics, data, apart) if apart else None
        self.floor = BodyFloor(kinematics, data) if settings.contacts else None
        self._toe_weight = settings.toe_weight
        self.feet: FeetRows | None = None
        self._contacts: Contacts | None = None
        self._first = self._floor_first = 0
        self._far = False

    @property
    def any(self) -> bool:
        """There is something to respect."""
        return self.feet is not None or self.avoidance is not None or self.floor is not None

    def stand_on(self, contacts: Contacts | None) -> None:
        """Hold the feet where `contacts`, updated before every frame, says; None: only as the targets say."""
        self._contacts = contacts
        self.feet = None
        if contacts is not None:
            self.feet = FeetRows(contacts.feet, self._model, self._data, self._toe_weight)
        self.rows.reset()
        self._first = 0
        if self.feet is not None:
            self._first = self.feet.stop
            self.rows.stand(self.feet.toe_rows)
            self.feet.set_weights(self.rows)

    @property
    def falling(self) -> bool:
        """The person lies, falls or crawls."""
        return self._contacts is not None and not self._contacts.upright

    def show_feet(self) -> None:
        """Tell the contacts where the robot's feet are at the current kinematics."""
        if self.feet is not None:
            self.feet.show()

    def load(self) -> None:
        """Take this frame's locks."""
        if self.feet is not None:
            self.feet.load(self.rows)

    def linearise(self, *, measure: bool) -> int:
        """Rows at the current kinematics; `measure` looks for what is near, else what was near moves along.

        The floor is looked for again after a step of a fall in which a joint moved far: one linearisation does not see
        it. Returns how many rows there are.
        """
        rows = self.rows
        if self.feet is not None:
            self.feet.fill(rows)
        if measure:
            rows.start(self._first)
            if self.avoidance is not None:
                self.avoidance.measure(rows)
            self._floor_first = rows.count
        if self.floor is not None and (measure or self._far):
            rows.start(self._floor_first)
            self.floor.measure(rows)
        rows.take_part()
        return rows.count

    def correct(self, hessian: Array, gradient: Array, step: Array, quadratic: Callable[[], bool]) -> bool:
        """Solve again where `step` violates a row; `quadratic` solves into `step` and says if it could."""
        for _ in range(EXCHANGES):
            if not self.rows.correct(hessian, gradient, step):
                break
            if not quadratic():
                return False
        self.rows.advance(self._first, step)
        self._far = self.falling and float(np.abs(step[ROOT:]).max()) > FAR_RAD
        return True
