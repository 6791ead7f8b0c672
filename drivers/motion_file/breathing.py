"""Nobody stands still to the last bit: the slow sway of the chest that breathing gives a motion made by rule.

Without it a held pose would be bit-identical from frame to frame, which the service rightly takes for a frozen device.
"""

from __future__ import annotations

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import SEGMENT

PERIOD_S = 4.0
"""15 breaths a minute: an adult at rest."""
CHEST_RAD = np.deg2rad(0.4)
"""Pitch of the chest, either way; a few millimetres at the shoulders."""


def breathe(turns: Array, fps: float) -> Array:
    """Joint-local rotations (T, 23, 4) with the chest's sway added."""
    t_s = np.arange(len(turns)) / fps
    swayed = turns.copy()
    chest = SEGMENT["T12"]
    pitch = CHEST_RAD * np.sin(2.0 * np.pi * t_s / PERIOD_S)
    swayed[:, chest] = rot.multiply(turns[:, chest], rot.about(1, pitch))
    return swayed
