"""`Contacts` compiled: the same functions on records, without Python in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from teleopd.drivers.human_pose import HumanPose
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.compiled import shared  # noqa: F401 - compiles what is called below
from teleopd.service.retarget.compiled.jit import entry
from teleopd.service.retarget.compiled.memory import feet_at, flags, grid, ground_at, table
from teleopd.service.retarget.compiled.records import FOOT, GROUND, write
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.grounding import stand
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.targets import TargetMap, Targets


@entry(", int64, float64")
def ground_feet(where: Any, root: int, dt_s: float) -> None:
    """`Contacts.update`."""
    feet, ground = feet_at(where[0]), ground_at(where[1])[0]
    points, seen, pos, quat, sideways = grid(where[2]), flags(where[3]), grid(where[4]), grid(where[5]), grid(where[6])
    for k in range(2):
        foot = feet[k]
        foot.seen = seen[2 * k] and seen[2 * k + 1]
        for j in range(3):
            foot.human_toe_w[j], foot.human_ankle_w[j] = points[2 * k, j], points[2 * k + 1, j]
            foot.pos[j] = pos[foot.row, j]
        for j in range(4):
            foot.quat[j] = quat[foot.row, j]
    pelvis = quat[root, 0], quat[root, 1], quat[root, 2], quat[root, 3]
    shift, pelvis_z = stand(ground, feet, pelvis, pos[root, 2], dt_s)
    for row in range(len(pos)):
        pos[row, 2] += shift
    pos[root, 2] = pelvis_z
    for k in range(2):
        foot = feet[k]
        for j in range(3):
            pos[foot.row, j] = foot.pos[j]
        for j in range(4):
            quat[foot.row, j] = foot.quat[j]
        sideways[k, 0], sideways[k, 1] = foot.left[0], foot.left[1]


class CompiledContacts(Contacts):
    """See `Contacts`; corrects the targets of the map that it was made for."""

    def __init__(
        self, target_map: TargetMap, kinematics: Kinematics, calibration: Calibration, feet: list[tuple[int, int]]
    ) -> None:
        super().__init__(target_map, kinematics, calibration, feet)
        self.feet_records: Any = np.zeros(len(self.feet), dtype=FOOT).view(np.recarray)
        self.ground_record: Any = np.zeros(1, dtype=GROUND).view(np.recarray)
        for record, foot in zip(self.feet_records, self.feet, strict=True):
            write(record, foot)
        write(self.ground_record[0], self.ground)
        self.feet, self.ground = tuple(self.feet_records), self.ground_record[0]
        self._human, self._seen = np.zeros((2 * len(feet), 3)), np.zeros(2 * len(feet), dtype=np.bool_)
        self._targets = target_map.targets
        self._where = table(
            [self.feet_records, self.ground_record, self._human, self._seen, *self._targets[:2], self.sideways]
        )

    def update(self, pose: HumanPose, targets: Targets, dt_s: float) -> None:
        """See `Contacts.update`."""
        if targets is not self._targets:
            raise ValueError("these contacts correct the targets of the map that they were made for")
        self._human[:] = pose.pos_w.take(self._points, axis=0)
        self._seen[:] = pose.valid.take(self._points)
        ground_feet(self._where, self._root, dt_s)
