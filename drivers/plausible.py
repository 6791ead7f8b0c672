"""Could these numbers be a person in metres? One check for drivers whose device may send any part of a body."""

from __future__ import annotations

import math

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.source import ProtocolError

NORM_TOLERANCE = 0.01
"""Float32 leaves 1e-7, five decimals of text 1e-5. Beyond this the numbers are not an orientation."""
REACH_M = (0.2, 3.0)
"""Distance of the farthest body from the first one [m]: below, no person; above, not metres."""
EXTENT_M = 10_000.0
"""Farthest believable coordinate [m]."""
FEW = 3
"""So few bodies, of a head and two hands, may be anywhere; no reach is asked of them."""


def check_body(pos: Array, quat: Array) -> None:
    """Judge tracked bodies: positions [m] (n, 3), quaternions (n, 4).

    Raises:
        ProtocolError: non_finite, quaternion_norm, implausible_position.
    """
    if not (np.isfinite(pos).all() and np.isfinite(quat).all()):
        raise ProtocolError("non_finite", "a position or quaternion is NaN or infinite")
    farthest = float(np.abs(pos).max())
    if farthest > EXTENT_M:
        raise ProtocolError("implausible_position", f"a coordinate is {farthest:.3g} m, beyond {EXTENT_M:.0f} m")
    norms = np.hypot.reduce(quat, axis=1)  # does not overflow, as squares of 1e200 would
    worst = float(norms[np.argmax(np.abs(norms - 1.0))])
    if not abs(worst - 1.0) <= NORM_TOLERANCE:
        raise ProtocolError("quaternion_norm", f"a quaternion has norm {worst:.3g}; 1 is expected")
    if len(pos) > FEW:
        away = pos - pos[0]
        _check_reach(math.sqrt(np.vecdot(away, away).max()))


def _check_reach(reach: float) -> None:
    if REACH_M[0] <= reach <= REACH_M[1]:
        return
    unit = next((u for u, f in (("millimetres", 1000), ("centimetres", 100)) if 0.5 * f <= reach <= 2.2 * f), "")
    hint = f"; the stream looks like {unit}" if unit else ""
    raise ProtocolError(
        "implausible_position",
        f"the farthest body is {reach:.3g} m from the first; {REACH_M[0]} to {REACH_M[1]} m are possible{hint}",
    )
