"""Rows that join the least-squares problem only where they are needed: floor, other limbs, a toe that stands.

A row has a gap g and a gradient J: after a step dx the gap is g + J dx. A *standing* row wants it 0. A *one-sided* row
wants it not below 0; it takes part while the gap is negative, goes on where it then rests, and the step is solved again
where a row that took no part would be violated, or one that took part would hold the robot back. Rows of a body on the
floor depend on one another: with one exchange alone a sole stayed 5 to 9 cm deep for frames on end in falls, with up to
three a limb still did in single frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array

EXCHANGES = 8
"""Most times that a step is solved again; most steps need none, and the median costs the same."""
VIOLATED_M = 2e-4
"""A one-sided row may end this far below 0 without being solved for again [m]."""
HELD_M = 1e-6
"""... and one that took part this far above it: it pulled [m]."""
RESTS_M = 2e-4
"""A one-sided row that took part in the last step goes on up to this far above 0 [m]."""


class Rows:
    """Preallocated rows at the end of a solver's stacked arrays; owners fill `jacobian`, `gap` and `wanted`."""

    def __init__(self, jacobian: Array, weights_squared: Array, residual: Array) -> None:
        """Views (capacity, nv), (capacity,), (capacity,) of the arrays that the normal equations are formed of."""
        self.jacobian, self._weights_squared, self._residual = jacobian, weights_squared, residual
        capacity = len(residual)
        self.gap: Array = np.zeros(capacity)
        """[m]"""
        self.wanted: Array = np.zeros(capacity)
        """Squared weight of the row where it takes part; 0 switches it off."""
        self.count = 0
        """Rows [0, count) are looked at."""
        self.side: Array = np.zeros(capacity)
        """1: takes part."""
        self.standing: Array = np.zeros(capacity)
        """1: two-sided."""
        self.tolerance: Array = np.full(capacity, -VIOLATED_M)
        """Gap after a step below which a row that takes no part is missed [m]."""
        self._after, self._limits, self._sign = np.zeros(capacity), np.zeros(capacity), np.zeros(capacity)
        self._wrong = np.zeros(capacity, dtype=bool)

    def reset(self) -> None:
        """All rows off and one-sided."""
        self.count = 0
        self.side[:] = 0.0
        self.wanted[:], self.standing[:], self.tolerance[:] = 0.0, 0.0, -VIOLATED_M

    def start(self, row: int) -> None:
        """Forget the rows from `row` on; new ones take no part until they have to."""
        self.count = row
        self.side[row:] = 0.0

    def stand(self, rows: npt.NDArray[np.intp]) -> None:
        """Make rows two-sided."""
        self.standing[rows] = 1.0
        self.tolerance[rows] = -np.inf

    def take_part(self) -> None:
        """Decide which rows take part at the current gaps, and give them their residual and weight.

        One that took part in the last step goes on where it rests: else it would be found missed and solved for again.
        """
        n = self.count
        gap, weights, side = self.gap[:n], self._weights_squared[:n], self.side[:n]
        np.negative(gap, out=self._residual[:n])
        np.multiply(side, RESTS_M, out=weights)
        np.less(gap, weights, out=side)  # 1 takes part, 0 does not
        np.maximum(side, self.standing[:n], out=weights)
        weights *= self.wanted[:n]

    def correct(self, hessian: Array, gradient: Array, step: Array) -> bool:
        """Exchange rows on the wrong side of `step`; True where there were any and it must be solved again."""
        n = self.count
        if not n:
            return False
        after, side, limits, sign = self._after[:n], self.side[:n], self._limits[:n], self._sign[:n]
        np.dot(self.jacobian[:n], step, out=after)
        after += self.gap[:n]
        np.multiply(side, VIOLATED_M - HELD_M, out=limits)
        limits += self.tolerance[:n]
        np.multiply(side, -2.0, out=sign)
        sign += 1.0  # -1 took part: may not end above; 1 took none: may not end below
        after *= sign
        wrong = np.less(after, limits, out=self._wrong[:n])
        if 1 not in wrong.tobytes():  # `wrong.any()` at a fifth of its cost for so few
            return False
        chosen = wrong.nonzero()[0]
        weights = self.wanted[chosen] * sign[chosen]
        side[chosen] = 1.0 - side[chosen]
        rows = self.jacobian[chosen]
        weighted = rows * weights[:, None]
        hessian += np.dot(weighted.T, rows)
        gradient += np.dot(self.gap[chosen], weighted)
        return bool(weights.any())

    def advance(self, start: int, step: Array) -> None:
        """Gaps of rows from `start` on after a step along which their gradients are taken as constant."""
        if start < self.count:
            self.gap[start : self.count] += self.jacobian[start : self.count] @ step
