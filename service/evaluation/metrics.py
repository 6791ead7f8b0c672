"""The figures of a trial, from what was recorded at every policy tick in ACTIVE. Pure.

E_vel, E_mpkpe and E_mpjpe are the field's (ExBody and its successors); their papers leave units and frames open, so
they are fixed here. Key-body error, drift and joint RMSE are the project's (`service/telemetry/tracking.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.telemetry.tracking import headings

DT_S = 0.02
"""One policy tick."""
CONTACT_M = 0.01
"""A sole point lower than this above the floor stands on it."""
LONGEST_LAG = 25
"""Ticks: half a second is looked over."""
MOVING_RAD = 0.05
"""Standard deviation that a reference joint needs to show a lag."""


class Track(NamedTuple):
    """k ticks in ACTIVE: what was wanted and what the robot measured. Quaternions wxyz."""

    q_reference: Array
    """(k, n) [rad]"""
    quat_reference_w: Array
    """(k, 4)"""
    velocity_reference_w: Array
    """Of the root, (k, 3) [m/s]."""
    q: Array
    """(k, n) [rad]"""
    dq: Array
    """(k, n) [rad/s]"""
    tau: Array
    """(k, n) [N m]"""
    quat_w: Array
    """(k, 4)"""
    velocity_w: Array
    """Of the root, (k, 3) [m/s]."""
    soles_w: Array
    """Points under the feet, (k, points, 3) [m]."""
    stretch: Array
    """Number of the uninterrupted time in ACTIVE that each tick belongs to, (k,)."""


def seen_from_heading(vectors_w: Array, quat_w: Array) -> Array:
    """World vectors (k, 3) in frames with the headings of `quat_w` (k, 4), z up."""
    yaw = headings(quat_w)
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = vectors_w[:, 0], vectors_w[:, 1]
    return np.stack((c * x + s * y, c * y - s * x, vectors_w[:, 2]), axis=1)


def e_vel(track: Track) -> float:
    """Mean error of the root's linear velocity [m/s].

    mean over ticks of |Rz(-yaw) v - Rz(-yaw*) v*|: each seen from its own heading, because trackers without a global
    position follow velocity that way.
    """
    measured = seen_from_heading(track.velocity_w, track.quat_w)
    wanted = seen_from_heading(track.velocity_reference_w, track.quat_reference_w)
    return float(np.linalg.norm(measured - wanted, axis=1).mean())


def e_mpkpe(site_errors_m: Array) -> float:
    """Mean key-point position error [mm]: mean over ticks and key sites of the distance (k, sites) [m], root-relative
    and heading-aligned."""
    return 1e3 * float(site_errors_m.mean())


def wrist_error(site_errors_m: Array, sites: Sequence[str]) -> float:
    """Median over ticks and both wrists of the same distances [mm]; `sites` names their columns."""
    wrists = [i for i, name in enumerate(sites) if name.endswith("_wrist")]
    return 1e3 * float(np.median(site_errors_m[:, wrists]))


def e_mpjpe(track: Track) -> float:
    """Mean joint position error [rad]: mean over ticks and joints of |q - q*|."""
    return float(np.abs(track.q - track.q_reference).mean())


def lag_ms(track: Track) -> float | None:
    """Delay of the robot's joints against the reference [ms]; None for a reference that hardly moves.

    The shift, 0 to 500 ms, of the largest normalised cross-correlation summed over the moving joints, refined by a
    parabola through its neighbours. Only the longest stretch counts.
    """
    numbers, counts = np.unique(track.stretch, return_counts=True)
    if len(numbers) == 0:
        return None
    one = track.stretch == numbers[np.argmax(counts)]
    wanted, measured = track.q_reference[one], track.q[one]
    moving = wanted.std(axis=0) > MOVING_RAD
    if len(wanted) < 2 * LONGEST_LAG or not moving.any():
        return None
    wanted, measured = wanted[:, moving], measured[:, moving]
    scores = np.array([_correlation(wanted[: len(wanted) - k], measured[k:]) for k in range(LONGEST_LAG + 1)])
    best = int(np.argmax(scores))
    if 0 < best < LONGEST_LAG:
        left, centre, right = scores[best - 1 : best + 2]
        return 1e3 * DT_S * (best + float(0.5 * (left - right) / (left - 2 * centre + right)))
    return 1e3 * DT_S * best


def _correlation(one: Array, two: Array) -> float:
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    return float(np.sum(one * two) / max(float(np.sqrt(np.sum(one * one) * np.sum(two * two))), 1e-12))


def foot_slip_m_s(track: Track) -> float | None:
    """Mean horizontal speed of sole points on the floor [m/s]: those within 1 cm of it at two ticks running.

    None when nothing touched the floor.
    """
    points = track.soles_w
    step = np.linalg.norm(np.diff(points[:, :, :2], axis=0), axis=2) / DT_S
    low = points[:, :, 2] < CONTACT_M
    standing = low[1:] & low[:-1] & (np.diff(track.stretch) == 0)[:, None]
    return float(step[standing].mean()) if standing.any() else None


def torque_shares(track: Track, tau_max: Array) -> tuple[float, float]:
    """Torque as a share of each joint's limit [N m] (n,): root mean square over ticks and joints, and the largest."""
    share = np.abs(track.tau) / tau_max
    return float(np.sqrt(np.mean(share * share))), float(share.max())


def energy_j(track: Track) -> float:
    """Mechanical work of all motors, braking counted like driving [J]: sum over ticks and joints of |tau dq| dt.

    Sampled at the policy's 50 Hz; what swings faster is averaged, not seen.
    """
    return float(np.sum(np.abs(track.tau * track.dq)) * DT_S)
