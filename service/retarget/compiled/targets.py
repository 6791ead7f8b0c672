"""`TargetMap` compiled: the same map, without Python in between."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from teleopd.drivers.human_pose import Skeleton
from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.compiled import shared  # noqa: F401 - compiles what is called below
from teleopd.service.retarget.compiled.jit import compiled, entry
from teleopd.service.retarget.compiled.memory import grid, index, line, table
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.tables import RetargetTable
from teleopd.service.retarget.targets import TargetMap, levelled


class Mapped(NamedTuple):
    """What `fill` works on; see `TargetMap`."""

    human_pos: Array
    human_quat: Array
    pos: Array
    quat: Array
    m: Array
    n: Array
    turn: Array
    origin: Array
    turned: Array
    """(3 rows, 16)"""
    products: Array
    """(4 rows, 4)"""
    frames: IntArray
    humans: IntArray
    foot_rows: IntArray
    foot_shifts: Array
    sideways: Array
    constants: Array
    """Scratch, (rows, 3)."""


@compiled
def mapped_at(t: Any) -> Any:
    return Mapped(
        grid(t[0]), grid(t[1]), grid(t[2]), grid(t[3]), grid(t[4]), grid(t[5]), grid(t[6]), line(t[7]), grid(t[8]),
        grid(t[9]), index(t[10]), index(t[11]), index(t[12]), line(t[13]), grid(t[14]), grid(t[15]),
    )  # fmt: skip


@entry("")
def fill(where: Any) -> None:
    """`TargetMap._fill`."""
    t = mapped_at(where)
    rows, bodies = t.m.shape
    for i in range(rows):
        q = t.human_quat[t.frames[i]]
        for k in range(3):
            total = 0.0
            for a in range(4):
                for b in range(4):
                    total += t.turned[3 * i + k, 4 * a + b] * q[a] * q[b]
            t.constants[i, k] = total
        q = t.human_quat[t.humans[i]]
        for k in range(4):
            p = t.products[4 * i + k]
            t.quat[i, k] = p[0] * q[0] + p[1] * q[1] + p[2] * q[2] + p[3] * q[3]
    for f in range(len(t.foot_rows)):
        row, x, y = t.foot_rows[f], t.sideways[f, 0], t.sideways[f, 1]
        if np.isnan(x):
            x, y = levelled(t.constants[row, 0], t.constants[row, 1])
        t.constants[row, 0], t.constants[row, 1], t.constants[row, 2] = t.foot_shifts[f] * x, t.foot_shifts[f] * y, 0.0
    for i in range(rows):
        x = y = z = 0.0
        for j in range(bodies):
            x += t.m[i, j] * t.human_pos[j, 0]
            y += t.m[i, j] * t.human_pos[j, 1]
            z += t.m[i, j] * t.human_pos[j, 2]
        for k in range(3):
            total = x * t.turn[0, k] + y * t.turn[1, k] + z * t.turn[2, k] + t.origin[k]
            for j in range(rows):
                total += t.n[i, j] * t.constants[j, k]
            t.pos[i, k] = total


class CompiledTargetMap(TargetMap):
    """See `TargetMap`."""

    def __init__(
        self, table_: RetargetTable, skeleton: Skeleton, kinematics: Kinematics, calibration: Calibration
    ) -> None:
        super().__init__(table_, skeleton, kinematics, calibration)
        bodies, rows = len(skeleton.body_names), len(self.matches)
        self._mapped = Mapped(
            np.zeros((bodies, 3)), np.zeros((bodies, 4)), self.targets.pos, self.targets.quat, self._m, self._n,
            self._turn, self._origin, self._turned.reshape(-1, 16), self._products.reshape(-1, 4), self._frames,
            self._humans, np.array([row for row, _ in self._foot_shifts], dtype=np.intp),
            np.array([shift for _, shift in self._foot_shifts]), self.sideways, np.zeros((rows, 3)),
        )  # fmt: skip
        self._where = table(self._mapped)

    def _fill(self, pos_w: Array, quat_w: Array) -> None:
        self._mapped.human_pos[:] = pos_w
        self._mapped.human_quat[:] = quat_w
        fill(self._where)
