"""The motion inside an ONNX (BeyondMimic, holosoma): read once at load as a table of references."""

from __future__ import annotations

from typing import Any

import numpy as np

from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.service.policy.card import Card, Clip
from teleopd.service.policy.errors import NonFiniteOutput, WrongClip
from teleopd.service.policy.kinematics import Chain
from teleopd.service.policy.network import Network
from teleopd.service.policy.terms import motor_indices

_BEYOND = 1_000_000
"""A tick after the end of every motion: shows the last pose."""


class ClipTable:
    """References at the policy's rate, the last one held."""

    def __init__(self, card: Card, clip: Clip, model: RobotModel, network: Network) -> None:
        """Read the whole motion.

        Raises:
            WrongClip: it is not as long as the card says, or holds something else than the card says.
            WrongJoints, NoBody: the robot has not the card's joints or body.
        """
        self._rate_hz = card.rate_hz
        motor = motor_indices(card, card.reference_joints, model)
        chain = Chain(model, clip.body)
        rows = [_row(card, clip, network, step) for step in range(clip.steps)]
        _check_length(card, clip, network, rows)
        q, dq = np.zeros((clip.steps, model.n)), np.zeros((clip.steps, model.n))
        pos, quat = np.zeros((clip.steps, 3)), np.zeros((clip.steps, 4))
        for i, (row_q, row_dq, body_pos, body_quat) in enumerate(rows):
            q[i, motor], dq[i, motor] = row_q, row_dq
            (x, y, z), (w, a, c, d) = body_pos.tolist(), (body_quat / np.linalg.norm(body_quat)).tolist()
            pos[i], quat[i] = chain.root_of((x, y, z), (w, a, c, d), q[i])
        self._references = self._as_references(pos, quat, q, dq)
        still, none = np.zeros(3), np.zeros(model.n)
        self._held = [
            reference._replace(root_lin_vel_w=still, root_ang_vel_w=still, dq=none) for reference in self._references
        ]

    def __len__(self) -> int:
        return len(self._references)

    def at(self, tick: int, *, moving: bool = True) -> Reference:
        """The reference `tick` ticks after the start; without velocities after the end, and when it is held."""
        if moving and tick < len(self._references):
            return self._references[tick]
        return self._held[min(tick, len(self._references) - 1)]

    def _as_references(self, pos: Array, quat: Array, q: Array, dq: Array) -> list[Reference]:
        velocity = _rates(pos, self._rate_hz)
        spin = _spins(quat, self._rate_hz)
        return [
            Reference(
                seq=i + 1, source_id=0, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=False, resets=0,
                nominal_hz=self._rate_hz, root_pos_w=pos[i], root_quat_w=quat[i], root_lin_vel_w=velocity[i],
                root_ang_vel_w=spin[i], q=q[i], dq=dq[i],
            )
            for i in range(len(q))
        ]  # fmt: skip


_Row = tuple[Array, Array, Array, Array]


def _row(card: Card, clip: Clip, network: Network, step: int) -> _Row:
    """Joint positions and velocities, body position and orientation (wxyz) at one tick."""
    outputs = network.probe(step, (clip.joint_pos, clip.joint_vel, clip.body_pos, clip.body_quat))
    joints = len(card.reference_joints)
    q, dq = (_shaped(card, name, outputs[name], (joints,)) for name in (clip.joint_pos, clip.joint_vel))
    pos = _body(card, clip, clip.body_pos, outputs[clip.body_pos], 3)
    quat = _body(card, clip, clip.body_quat, outputs[clip.body_quat], 4)
    return q, dq, pos, quat if clip.quat_order == "wxyz" else quat[[3, 0, 1, 2]]


def _shaped(card: Card, name: str, output: Any, shape: tuple[int, ...]) -> Array:
    values = np.asarray(output, dtype=np.float64)
    if values.shape != (1, *shape):
        raise WrongClip(card.name, f"'{name}' of shape", [1, *shape], list(values.shape))
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise NonFiniteOutput(card.name, bad, values.size)
    return values[0]  # type: ignore[no-any-return]


def _body(card: Card, clip: Clip, name: str, output: Any, width: int) -> Array:
    values = np.asarray(output, dtype=np.float64)
    if values.ndim == 3:
        if clip.body_index >= values.shape[1]:
            raise WrongClip(card.name, f"'{name}' with body", clip.body_index, f"{values.shape[1]} bodies")
        values = values[:, clip.body_index]
    return _shaped(card, name, values, (width,))


def _check_length(card: Card, clip: Clip, network: Network, rows: list[_Row]) -> None:
    """The last step is where the motion stops changing, and the step before is not."""
    last = _row(card, clip, network, _BEYOND)
    if not _same(rows[-1], last):
        raise WrongClip(card.name, "length", f"{clip.steps} steps", "more")
    length = clip.steps
    while length > 1 and _same(rows[length - 2], last):
        length -= 1
    if length != clip.steps:
        raise WrongClip(card.name, "length", f"{clip.steps} steps", f"{length} steps")


def _same(one: _Row, two: _Row) -> bool:
    return all(np.array_equal(a, c) for a, c in zip(one, two, strict=True))


def _rates(values: Array, rate_hz: float) -> Array:
    """Central differences a second."""
    if len(values) < 2:
        return np.zeros_like(values)
    return np.gradient(values, axis=0) * rate_hz


def _spins(quat: Array, rate_hz: float) -> Array:
    """Angular velocity in the world [rad/s]: 2 * (vector part of dq/dt * conj(q)), signs made continuous first."""
    flips = np.cumprod(np.concatenate([[1.0], np.sign(np.einsum("ij,ij->i", quat[1:], quat[:-1]))]))
    steady = quat * flips[:, None]
    rate = _rates(steady, rate_hz)
    w, v, dw, dv = steady[:, :1], steady[:, 1:], rate[:, :1], rate[:, 1:]
    return 2.0 * (w * dv - dw * v - np.cross(dv, v))
