"""The rows that pull bodies to their targets: weights of one stage, and the arrays MuJoCo fills for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.quaternions import CONJUGATE
from teleopd.service.retarget.tables import Match
from teleopd.service.retarget.targets import Targets
from teleopd.service.retarget.toe_lock import ankle_shift

HEIGHT_GAIN = 2.0
"""A locked foot's height counts this much more, relative to its weight."""
YIELDS = 0.5
"""... and its place this much less: its toe has a row of its own, which the ankle's would pull away."""


class TrackingRows:
    """The weighted rows of one stage, and the bodies they are taken on."""

    def __init__(self, matches: tuple[Match, ...], weights: Mapping[str, tuple[float, float]]) -> None:
        """Rows with weight 0 are left out."""
        pairs = [weights.get(m.robot, (0.0, 0.0)) for m in matches]
        self.position: list[int] = [i for i, (p, _) in enumerate(pairs) if p > 0.0]
        self.rotation: list[int] = [i for i, (_, r) in enumerate(pairs) if r > 0.0]
        used = [pairs[i][0] for i in self.position] + [pairs[i][1] for i in self.rotation]
        self.of_match: IntArray = np.repeat(np.array(self.position + self.rotation, dtype=np.intp), 3)
        """Match of each residual row, (rows,)."""
        self.weights_squared: Array = np.repeat(np.square(np.array(used)), 3)
        """(rows,)"""

    def weights_for(self, targets: Targets) -> Array:
        """Squared weights with rows of untracked bodies at 0, (rows,)."""
        if targets.seen.all():
            return self.weights_squared
        return self.weights_squared * targets.seen[self.of_match]


class Buffers:
    """The arrays of one stage and the row views that MuJoCo writes into."""

    def __init__(self, stage: TrackingRows, body_ids: IntArray, data: Any, nv: int, spare: int = 0) -> None:
        """`spare` rows at the end are left to the constraints."""
        rows, n, m = len(stage.of_match), len(stage.position), len(stage.rotation)
        self.rows = rows
        self.jacobian, self.weighted = np.zeros((rows + spare, nv)), np.zeros((rows + spare, nv))
        self.residual, self.weights_squared = np.zeros(rows + spare), np.zeros(rows + spare)
        self.spare = self.jacobian[rows:], self.weights_squared[rows:], self.residual[rows:]
        """Jacobian, squared weights and residual of the spare rows."""
        self.stage = stage
        self._row_of = {match: k for k, match in enumerate(stage.position)}
        self._position = np.array(stage.position, dtype=np.intp)
        self._rotation = np.array(stage.rotation, dtype=np.intp)
        self._position_ids, self._rotation_ids = body_ids[self._position], body_ids[self._rotation]
        vectors = self.residual[:rows].reshape(-1, 3)
        self._position_error = vectors[:n]
        self._target_pos, self._target_quat, self._body_quat = np.zeros((n, 3)), np.zeros((m, 4)), np.zeros((m, 4))
        self._turns = list(zip(vectors[n:], self._body_quat, self._target_quat, strict=True))
        self._xpos, self._xquat = data.xpos, data.xquat
        views: dict[int, list[Array | None]] = {}
        for k, i in enumerate(stage.position):
            views.setdefault(int(body_ids[i]), [None, None])[0] = self.jacobian[3 * k : 3 * k + 3]
        for k, i in enumerate(stage.rotation, n):
            views.setdefault(int(body_ids[i]), [None, None])[1] = self.jacobian[3 * k : 3 * k + 3]
        self.bodies = [(body, p, r) for body, (p, r) in views.items()]
        """Per body: where `mj_jacBody` writes its translational and rotational rows; one call serves both."""
        self.body_ids = self._position_ids, self._rotation_ids
        """Bodies of the position rows, three rows each, and of the rotation rows behind them."""
        self.targets = self._target_pos, self._target_quat
        """What `load` fills: positions [m], conjugates of orientations."""

    def load(self, targets: Targets, contacts: Contacts | None) -> None:
        """Take this frame's targets; feet that stand by `contacts` are asked for at their lock, and more in height."""
        targets.pos.take(self._position, axis=0, out=self._target_pos, mode="clip")
        targets.quat.take(self._rotation, axis=0, out=self._target_quat, mode="clip")
        self._target_quat *= CONJUGATE
        self.weights_squared[: self.rows] = self.stage.weights_for(targets)
        for foot in contacts.feet if contacts is not None else ():
            k = self._row_of.get(foot.row)
            if k is not None:
                x, y = ankle_shift(foot.lock)
                self._target_pos[k, 0] += x
                self._target_pos[k, 1] += y
                if foot.lock.weight > 0.0:
                    self.weights_squared[3 * k : 3 * k + 2] *= (1.0 - YIELDS * foot.lock.weight) ** 2
                    self.weights_squared[3 * k + 2] *= (1.0 + HEIGHT_GAIN * foot.lock.weight) ** 2

    def update_residual(self) -> None:
        """Unweighted residual at the current kinematics [m, rad]."""
        position, quat = self._position_error, self._body_quat
        self._xpos.take(self._position_ids, axis=0, out=position, mode="clip")  # "clip": without a copy in between
        np.subtract(self._target_pos, position, out=position)
        self._xquat.take(self._rotation_ids, axis=0, out=quat, mode="clip")
        np.multiply(quat, CONJUGATE, out=quat)
        for error, here, there in self._turns:  # numpy's dozen calls cost more than these
            mujoco.mju_subQuat(error, here, there)  # = log(q_t q^-1): the world-frame error

    def bodies_turned(self, angle_rad: float, targets: Targets) -> list[int]:
        """Bodies whose orientation misses a seen target by more than this [rad], by the residual last updated."""
        turned = np.linalg.norm(self.residual[3 * len(self._position) : self.rows].reshape(-1, 3), axis=1) > angle_rad
        return [int(body) for body in self._rotation_ids[turned & targets.seen[self._rotation]]]
