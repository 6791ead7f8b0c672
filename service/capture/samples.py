"""Records of the rings -> what an episode's writer takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array

Rows = npt.NDArray[Any]
"""Structured array of one ring's records."""


class Batch(NamedTuple):
    """Samples of one stream."""

    t_ns: npt.NDArray[np.int64]
    arrays: list[Array]
    """One (m, k) for each column of the stream, in the order of `schemas.channels`."""
    t_published_ns: npt.NDArray[np.int64] | None = None


def _columns(rows: Rows, *names: str) -> list[Array]:
    return [np.asarray(rows[name], dtype=np.float64).reshape(len(rows), -1) for name in names]


def _state(rows: Rows, _bodies: int) -> Batch:
    return Batch(rows["t_ns"], _columns(
        rows, "q", "dq", "tau", "quat_w", "gyro_b", "accel_b", "temperature_c", "motor_fault", "has_odometry",
        "root_pos_w", "root_lin_vel_w",
    ))  # fmt: skip


def _command(rows: Rows, _bodies: int) -> Batch:
    return Batch(rows["t_ns"], _columns(
        rows, "q", "dq", "tau", "kp", "kd", "mode", "sent", "targets_seq", "causes", "gate_counts"
    ))  # fmt: skip


def _target(rows: Rows, _bodies: int) -> Batch:
    return Batch(rows["t_ns"], _columns(rows, "q", "kp", "kd", "seq", "reference_seq", "healthy"))


POSE = ("root_pos_w", "root_quat_w", "root_lin_vel_w", "root_ang_vel_w", "q", "dq")


def _reference(rows: Rows, _bodies: int) -> Batch:
    after_s = (rows["t_published_ns"] - rows["t_ns"]) / 1e9
    arrays = [*_columns(rows, *POSE, "seq", "valid", "deadman", "resets"), after_s.reshape(-1, 1)]
    return Batch(rows["t_ns"], arrays, rows["t_published_ns"])


def _shaped(rows: Rows, _bodies: int) -> Batch:
    return Batch(rows["t_ns"], _columns(rows, *POSE))


def _human(rows: Rows, bodies: int) -> Batch:
    rows = rows[rows["bodies"] == bodies]
    arrays = [np.asarray(rows[name][:, :bodies], dtype=np.float64).reshape(len(rows), -1)
              for name in ("pos_w", "quat_w", "valid")]  # fmt: skip
    return Batch(rows["t_ns"], arrays)


BATCHES: dict[str, Callable[[Rows, int], Batch]] = {
    "state": _state, "command": _command, "target": _target, "reference": _reference, "shaped_reference": _shaped,
    "human": _human,
}  # fmt: skip
"""Stream -> how records of its ring `record_<stream>` become samples; the number is that of the operator's bodies."""
