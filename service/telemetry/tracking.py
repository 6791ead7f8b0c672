"""How closely the robot follows: key-body error, joint error, drift of root and heading.

Key-body error: distance of the nine key sites between robot and reference, both root-relative and heading-aligned,
averaged over the sites of a tick. Judged in ACTIVE only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.telemetry.latency import Samples


def headings(quat_w: Array) -> Array:
    """Heading of orientations (k, 4) wxyz [rad], (k,): direction of the body's X axis on the floor."""
    w, x, y, z = quat_w[:, 0], quat_w[:, 1], quat_w[:, 2], quat_w[:, 3]
    return np.asarray(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def without_heading(quat_w: Array) -> Array:
    """Orientations (k, 4) wxyz turned about the vertical until their heading is zero."""
    half = -0.5 * headings(quat_w)
    c, s = np.cos(half), np.sin(half)
    w, x, y, z = quat_w[:, 0], quat_w[:, 1], quat_w[:, 2], quat_w[:, 3]
    return np.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], axis=1)


def wrapped(angle: float) -> float:
    """The same angle in [-pi, pi) [rad]."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


class KeyBodyError:
    """Forward kinematics of the key sites of one robot. Holds MuJoCo data of its own; not for two threads."""

    def __init__(self, model: RobotModel) -> None:
        """
        Raises:
            ValueError: the MJCF lacks a key site, a joint, or the free joint of the root.
        """
        self._model = mujoco.MjModel.from_xml_path(str(model.mjcf))
        self._data = mujoco.MjData(self._model)
        self._sites = np.array([self._id(mujoco.mjtObj.mjOBJ_SITE, name, model) for name in model.key_sites])
        joints = [self._id(mujoco.mjtObj.mjOBJ_JOINT, name, model) for name in model.joint_names]
        self._q_at = self._model.jnt_qposadr[joints]
        root = self._model.body_jntadr[self._id(mujoco.mjtObj.mjOBJ_BODY, model.root_body, model)]
        if root < 0 or self._model.jnt_type[root] != mujoco.mjtJoint.mjJNT_FREE:
            raise ValueError(f"{model.mjcf}: body '{model.root_body}' of {model.name} has no free joint")
        self._root_at = int(self._model.jnt_qposadr[root])

    def _id(self, kind: Any, name: str, model: RobotModel) -> int:
        found = int(mujoco.mj_name2id(self._model, kind, name))
        if found < 0:
            what = kind.name.removeprefix("mjOBJ_").lower()
            raise ValueError(f"{model.mjcf}: {what} '{name}' of {model.name} is missing")
        return found

    def errors(self, q_reference: Array, quat_reference_w: Array, q: Array, quat_w: Array) -> Array:
        """Distance of each key site for k ticks [m], (k, 9), from joints (k, n) [rad] and roots (k, 4) wxyz."""
        wanted = self._sites_of(q_reference, without_heading(quat_reference_w))
        measured = self._sites_of(q, without_heading(quat_w))
        return np.asarray(np.linalg.norm(measured - wanted, axis=2))

    def _sites_of(self, q: Array, quat: Array) -> Array:
        """Key sites (k, sites, 3) with the root at the origin."""
        model, data = self._model, self._data
        found = np.empty((len(q), len(self._sites), 3))
        qpos, at, root = data.qpos, self._q_at, self._root_at
        qpos[root : root + 3] = 0.0
        for i in range(len(q)):
            qpos[root + 3 : root + 7] = quat[i]
            qpos[at] = q[i]
            mujoco.mj_kinematics(model, data)
            found[i] = data.site_xpos[self._sites]
        return found


class Tracking(NamedTuple):
    """How closely the robot followed; None where nothing was judged (never ACTIVE, no odometry)."""

    joint_rmse_rad: float | None
    key_body_median_mm: float | None
    key_body_p95_mm: float | None
    root_drift_m: float | None
    yaw_drift_deg: float | None


class _Stretch(NamedTuple):
    """Where an uninterrupted time in ACTIVE began."""

    yaw: float
    yaw_reference: float
    pos_w: Array | None
    pos_reference_w: Array


class TrackingMeter:
    """Accumulates tracking over drained tick logs in bounded memory."""

    def __init__(self, model: RobotModel) -> None:
        self._key_bodies = KeyBodyError(model)
        self._key_mm = Samples()
        self._square_sum = 0.0
        self._squares = 0
        self._stretch: _Stretch | None = None
        self._root_drift: float | None = None
        self._yaw_drift: float | None = None
        self._ended: tuple[float | None, float | None] = (None, None)

    def add_ticks(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `TickLog`, oldest first; those outside ACTIVE, or without a reference, are not judged."""
        judged = (rows["mode"] == Mode.ACTIVE) & (rows["reference_seq"] > 0)
        active = rows[judged]
        if len(active):
            difference = active["q"] - active["reference_q"]
            self._square_sum += float(np.sum(difference * difference))
            self._squares += difference.size
            errors = self._key_bodies.errors(
                active["reference_q"], active["reference_root_quat_w"], active["q"], active["quat_w"]
            )
            self._key_mm.add(1e3 * errors.mean(axis=1))
        edges = np.flatnonzero(np.diff(judged.astype(np.int8))) + 1
        for part, is_judged in zip(np.split(rows, edges), np.split(judged, edges), strict=True):
            if len(part) == 0:
                continue
            if is_judged[0]:
                self._follow(part)
            else:
                self._end_stretch()

    def _follow(self, rows: npt.NDArray[Any]) -> None:
        """Drift at the end of `rows` against the begin of the stretch they belong to."""
        ends = rows[[0, -1]]
        yaw, yaw_reference = headings(ends["quat_w"]), headings(ends["reference_root_quat_w"])
        if self._stretch is None:
            pos = ends["root_pos_w"][0].copy() if ends["has_odometry"][0] else None
            self._stretch = _Stretch(
                float(yaw[0]), float(yaw_reference[0]), pos, ends["reference_root_pos_w"][0].copy()
            )
        start = self._stretch
        turned = wrapped(float(yaw[1]) - start.yaw) - wrapped(float(yaw_reference[1]) - start.yaw_reference)
        self._yaw_drift = abs(wrapped(turned))
        if start.pos_w is not None and ends["has_odometry"][1]:
            moved = _seen_from(ends["root_pos_w"][1] - start.pos_w, start.yaw)
            wanted = _seen_from(ends["reference_root_pos_w"][1] - start.pos_reference_w, start.yaw_reference)
            self._root_drift = float(np.linalg.norm(moved - wanted))

    def _end_stretch(self) -> None:
        self._ended = (_larger(self._ended[0], self._root_drift), _larger(self._ended[1], self._yaw_drift))
        self._stretch, self._root_drift, self._yaw_drift = None, None, None

    def result(self) -> Tracking:
        """Of the run so far. Drifts are those at the end of the ACTIVE stretch that drifted most."""
        if self._squares == 0:
            return Tracking(None, None, None, None, None)
        median, p95 = np.percentile(self._key_mm.values(), (50, 95))
        root, yaw = _larger(self._ended[0], self._root_drift), _larger(self._ended[1], self._yaw_drift)
        return Tracking(
            float(np.sqrt(self._square_sum / self._squares)), float(median), float(p95), root,
            None if yaw is None else float(np.degrees(yaw)),
        )  # fmt: skip


def _seen_from(displacement_w: Array, yaw: float) -> Array:
    """Horizontal displacement in a frame of that heading, (2,)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([c * displacement_w[0] + s * displacement_w[1], -s * displacement_w[0] + c * displacement_w[1]])


def _larger(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)
