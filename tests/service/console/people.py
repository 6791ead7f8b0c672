"""People who stand still in a pose, as the console sees them."""

from __future__ import annotations

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file import human
from teleopd.drivers.motion_file.clip import to_world
from teleopd.service.streams import MAX_BODIES, HumanView


def t_posed(t_ns: int, seq: int = 1, step_m: float = 0.0) -> HumanView:
    """An adult in the T-pose at the origin, facing +X; `step_m` moves all of it ahead."""
    n = len(MVN_SEGMENTS)
    identity = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    pos, quat = (part[0] for part in to_world(human.OFFSETS[None], identity[None]))
    shown, turns, valid = np.zeros((MAX_BODIES, 3)), np.zeros((MAX_BODIES, 4)), np.zeros(MAX_BODIES, np.bool_)
    shown[:n] = pos + [step_m, 0.0, human.STANDING_M]
    turns[:n], valid[:n] = quat, True
    return HumanView(t_ns, seq, 0, n, shown, turns, valid)
