"""What student and teacher see: observations of a whole batch, the student's exactly as its card describes them.

Tests compare `StudentView` with the running service's observation builder and the shipped card.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import WIDTH, Float32, N, roll_pitch

DEFAULT: Array = MODEL.q_stand
"""Zero of joint observations and of actions [rad]; the stand pose, as in the card."""
ACTION_SCALE = 0.5
ACTION_CLIP = 10.0
PROPRIOCEPTION = 3 + 2 + 3 * N
ANKLES = np.array([i for i, name in enumerate(MODEL.joint_names) if "ankle" in name])
LOWER = 21
"""Reference channels with a history: root, legs, waist."""
LAGS = 4
"""Ticks of proprioception remembered."""
REFERENCE_LAGS = 5
"""Ticks of reference remembered; the network looks at lags 2 and 5 of them."""
CARD_WIDTH = WIDTH + PROPRIOCEPTION * (1 + LAGS) + LOWER * REFERENCE_LAGS
_HISTORY_AT = WIDTH + PROPRIOCEPTION * (1 + LAGS)
COLUMNS: npt.NDArray[np.int64] = np.concatenate((
    np.arange(_HISTORY_AT),
    np.arange(_HISTORY_AT + LOWER * 1, _HISTORY_AT + LOWER * 2),
    np.arange(_HISTORY_AT + LOWER * 4, _HISTORY_AT + LOWER * 5),
))  # fmt: skip
"""Columns of the observation that the network uses, (537,): "H" of policy.md 11.1."""
TEACHER_HISTORY = 10
TICK = WIDTH + PROPRIOCEPTION
TEACHER_WIDTH = TICK * (1 + TEACHER_HISTORY) + WIDTH


def proprioception(qpos: Array, qvel: Array, last_action: Float32) -> Float32:
    """Gyro, roll and pitch, joints, joint speeds without the ankles', last action; (k, 92), TWIST2's scaling."""
    out = np.empty((len(qpos), PROPRIOCEPTION), dtype=np.float32)
    out[:, 0:3] = qvel[:, 3:6] * 0.25
    out[:, 3], out[:, 4] = roll_pitch(qpos[:, 3:7])
    out[:, 5 : 5 + N] = qpos[:, 7:] - DEFAULT
    out[:, 5 + N : 5 + 2 * N] = qvel[:, 6:] * 0.05
    out[:, 5 + N + ANKLES] = 0.0
    out[:, 5 + 2 * N :] = last_action
    return out


class StudentView:
    """Observations of a batch in the card's layout: reference, proprioception, their histories, newest first."""

    def __init__(self, count: int) -> None:
        self._out = np.zeros((count, CARD_WIDTH), dtype=np.float32)
        self._fresh = np.ones(count, dtype=np.bool_)

    def reset(self, which: npt.NDArray[np.bool_]) -> None:
        """These robots start: their histories will be filled with the first tick."""
        self._fresh |= which

    def observe(self, reference: Float32, prop: Float32) -> Float32:
        """The observation (k, 600) of this tick, valid until the next call."""
        out, p, r = self._out, PROPRIOCEPTION, LOWER
        body, past = WIDTH, WIDTH + p
        out[:, past + p : past + LAGS * p] = out[:, past : past + (LAGS - 1) * p].copy()
        out[:, past : past + p] = out[:, body:past]
        out[:, _HISTORY_AT + r :] = out[:, _HISTORY_AT:-r].copy()
        out[:, _HISTORY_AT : _HISTORY_AT + r] = out[:, :r]
        out[:, :body], out[:, body:past] = reference, prop
        if self._fresh.any():
            fresh = self._fresh
            out[fresh, past:_HISTORY_AT] = np.tile(prop[fresh], (1, LAGS))
            out[fresh, _HISTORY_AT:] = np.tile(reference[fresh, :r], (1, REFERENCE_LAGS))
            self._fresh[:] = False
        return out


class TeacherView:
    """TWIST2's 1432 numbers of a batch: this tick, ten ticks before (oldest first), the reference again."""

    def __init__(self, count: int) -> None:
        self._out = np.zeros((count, TEACHER_WIDTH), dtype=np.float32)
        self._fresh = np.ones(count, dtype=np.bool_)

    def reset(self, which: npt.NDArray[np.bool_]) -> None:
        """These robots start: their histories will be filled with the first tick."""
        self._fresh |= which

    def observe(self, reference: Float32, prop: Float32) -> Float32:
        """The observation (k, 1432) of this tick, valid until the next call."""
        out, end = self._out, TICK * (1 + TEACHER_HISTORY)
        out[:, TICK : end - TICK] = out[:, 2 * TICK : end].copy()
        out[:, end - TICK : end] = out[:, :TICK]
        out[:, :WIDTH], out[:, WIDTH:TICK], out[:, end:] = reference, prop, reference
        if self._fresh.any():
            fresh = self._fresh
            out[fresh, TICK:end] = np.tile(out[fresh, :TICK], (1, TEACHER_HISTORY))
            self._fresh[:] = False
        return out
