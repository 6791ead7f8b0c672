"""Samples of one stream at given times: the nearest, the next one or the one held, and the line between two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, IntArray
from teleopd.service.capture.episode import Stream

TimeArray = npt.NDArray[np.int64]


def is_quaternion(column: str) -> bool:
    """Whether a column of four is an orientation wxyz."""
    return "quat" in column


def typical_phase(t: Array, period: float) -> float:
    """Circular median of times modulo `period`, in the unit of both."""
    phase = t % period
    mean = np.angle(np.exp(2j * np.pi * phase / period).mean()) * period / (2.0 * np.pi)
    apart = (phase - mean + period / 2.0) % period - period / 2.0
    return float((mean + np.median(apart)) % period)


def nearest(t_ns: TimeArray, grid_ns: TimeArray) -> IntArray:
    """Index of the sample nearest to each grid time; the earlier one of two equally near."""
    after = np.clip(np.searchsorted(t_ns, grid_ns), 0, len(t_ns) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(grid_ns - t_ns[before]) <= np.abs(t_ns[after] - grid_ns), before, after)


def next_or_held(t_ns: TimeArray, grid_ns: TimeArray, rate_hz: float) -> IntArray:
    """Index of the first sample within a period of each grid time, else of the newest before it."""
    at = np.searchsorted(t_ns, grid_ns, "left")
    inside = t_ns[np.minimum(at, len(t_ns) - 1)] < grid_ns + 1e9 / rate_hz
    return np.where((at < len(t_ns)) & inside, at, np.maximum(at - 1, 0)).astype(np.intp)


def interpolate(stream: Stream, column: str, grid_ns: TimeArray) -> Array:
    """(N, k) on the straight line between the samples around each grid time; quaternions on the shortest arc."""
    values = stream.columns[column]
    if stream.n == 1:
        return np.repeat(values, len(grid_ns), axis=0)
    after = np.clip(np.searchsorted(stream.t_ns, grid_ns, "left"), 1, stream.n - 1)
    t0, t1 = stream.t_ns[after - 1], stream.t_ns[after]
    share: Array = np.clip((grid_ns - t0) / np.maximum(t1 - t0, 1), 0.0, 1.0)[:, None]
    if is_quaternion(column):
        return continuous(slerp(values[after - 1], values[after], share))
    mixed: Array = values[after - 1] * (1.0 - share) + values[after] * share
    return mixed


def slerp(a: Array, b: Array, share: Array) -> Array:
    """From the orientations a (share 0) to b (share 1) on the shortest arc; (N, 4), (N, 4), (N, 1) -> (N, 4).

    Shoemake, Animating rotation with quaternion curves, 1985.
    """
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    dot = np.sum(a * b, axis=1, keepdims=True)
    b = np.where(dot < 0.0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1.0, sine)
    out = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / safe) * a
    out = out + np.where(near, share, np.sin(share * angle) / safe) * b
    unit: Array = out / np.linalg.norm(out, axis=1, keepdims=True)
    return unit


def continuous(quat: Array) -> Array:
    """The same orientations, first with w >= 0, then each with the sign nearer to the one before."""
    flips = np.where(np.sum(quat[1:] * quat[:-1], axis=1) < 0.0, -1.0, 1.0)
    first = -1.0 if quat[0, 0] < 0.0 else 1.0
    signs: Array = np.concatenate([[first], first * np.cumprod(flips)])
    return quat * signs[:, None]
