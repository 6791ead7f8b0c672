"""Smooth functions of time for authored motion: everything is a sum of minimum-jerk steps, so C2 and free of a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teleopd.drivers.human_pose import Array


def minimum_jerk(s: Array | float) -> Array:
    """0 to 1 for s in 0 to 1, held outside: 10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan 1985); peak rate 1.875."""
    s = np.clip(np.asarray(s, dtype=np.float64), 0.0, 1.0)
    eased: Array = s * s * s * (10.0 + s * (6.0 * s - 15.0))
    return eased


def track(t_s: Array, keys: Sequence[tuple[float, float]]) -> Array:
    """Value over time through (time, value) keys, at rest at every key."""
    value = np.full_like(t_s, keys[0][1])
    for (t0, v0), (t1, v1) in zip(keys, keys[1:], strict=False):
        value += (v1 - v0) * minimum_jerk((t_s - t0) / (t1 - t0))
    return value


def eased_steps(t_s: Array, start: Array, events: Sequence[tuple[float, Array]], width_s: float) -> Array:
    """A signal that goes to a new level around each event (time, level), each change spread over width_s; (T, n)."""
    value = np.repeat(np.asarray(start, dtype=np.float64)[None], len(t_s), axis=0)
    level = np.asarray(start, dtype=np.float64)
    for at_s, new in events:
        value += (new - level) * minimum_jerk((t_s - at_s) / width_s + 0.5)[:, None]
        level = new
    return value


def envelope(t_s: Array, on_s: float, off_s: float, ramp_s: float) -> Array:
    """0, up to 1 from on_s, back to 0 by off_s."""
    return minimum_jerk((t_s - on_s) / ramp_s) - minimum_jerk((t_s - off_s + ramp_s) / ramp_s)
