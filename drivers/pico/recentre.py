"""Did the origin jump? The operator may re-centre the headset's world at any time, and every pose jumps at once. Pure.

A person always leaves some part where it was: a foot on the floor, at least. So the origin jumped when even the joint
that moved least moved farther, or turned farther, than a whole person can in one frame.
"""

from __future__ import annotations

import math

import numpy as np

from teleopd.drivers.human_pose import Array

STEP_M = 0.05
"""In one frame, by every joint at once; at 90 Hz that is 4.5 m/s for the slowest joint."""
SPEED_M_S = 5.0
"""The same over a longer gap between frames."""
TURN_RAD = 0.15
"""In one frame, by every joint at once; at 90 Hz that is 13 rad/s."""
TURN_RAD_S = 14.0
"""The same over a longer gap."""
MAX_GAP_S = 0.5
"""Beyond it the frames before say nothing."""


class Recentre:
    """Compares each body with the one before."""

    def __init__(self) -> None:
        self._pos: Array | None = None
        self._quat: Array | None = None
        self._t_ns = 0

    def forget(self) -> None:
        """The next body is the first."""
        self._pos = None

    def jumped(self, pos_w: Array, quat_w: Array, t_ns: int) -> bool:
        """The origin moved between the body before and this one (n, 3) [m], (n, 4), sampled at `t_ns`.

        The arrays are kept, and must not be written to afterwards.
        """
        before_pos, before_quat, gap_s = self._pos, self._quat, (t_ns - self._t_ns) * 1e-9
        self._pos, self._quat, self._t_ns = pos_w, quat_w, t_ns
        if before_pos is None or before_quat is None or gap_s > MAX_GAP_S:
            return False
        step = pos_w - before_pos
        least = math.sqrt(np.minimum.reduce(np.vecdot(step, step)))
        if least > max(STEP_M, SPEED_M_S * gap_s):
            return True
        cosine = np.minimum(np.maximum.reduce(np.abs(np.vecdot(quat_w, before_quat))), 1.0)
        return 2.0 * math.acos(cosine) > max(TURN_RAD, TURN_RAD_S * gap_s)
