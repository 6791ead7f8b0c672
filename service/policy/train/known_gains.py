"""Labels of a teacher that knows a robot's gains: the answer changed into the one that gives the torque it meant.

A motor with other position gains gives another torque for the same answer. In the simulation they are known, so the
student is told what would have helped; it has to find the gains in how the joints obeyed its last answers.
"""

from __future__ import annotations

import numpy as np

from teleopd.service.policy.train.bodies import WRISTS
from teleopd.service.policy.train.channels import Float32
from teleopd.service.policy.train.features import ACTION_SCALE, DEFAULT
from teleopd.service.policy.train.world import World


def gains_of(world: World) -> Float32:
    """Factor on each joint's position gain (k, 29). Wrists count as nominal: simulation and robot differ in theirs."""
    kp = np.stack([errors.kp for errors in world.errors]).astype(np.float32)
    kp[:, WRISTS] = 1.0
    return kp


def same_torque(action: Float32, q: Float32, kp: Float32) -> Float32:
    """Raw actions that give with gains `kp` times nominal the position torque that `action` gives with nominal ones.

    kp (x' - q) = x - q for targets x; all (k, 29), `q` in [rad].
    """
    zero = (q - DEFAULT.astype(np.float32)) / ACTION_SCALE
    return np.asarray(zero + (action - zero) / kp, dtype=np.float32)
