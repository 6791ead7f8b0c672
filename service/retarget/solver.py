"""The fast inverse kinematics: one stacked residual, one box-constrained QP, a fixed number of Gauss-Newton steps.

Per body i: position rows w_p (p_t - p), rotation rows w_r log(R_t R^T), both in the world frame, with MuJoCo's body
Jacobians. H = J^T W^2 J + damping I + smoothing on the joints, g = -J^T W^2 e + smoothing (q - q_previous frame); joint
box = joint range intersected with what the speed limit allows since the previous frame, relaxed to contain 0. A fixed
iteration count is a real-time argument: the worst frame costs what the median does.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any, Protocol

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.quaternions import CONJUGATE
from teleopd.service.retarget.tables import Match, SolverSettings, Stages
from teleopd.service.retarget.targets import Targets

FREE = 1e10
"""Bound of the root's rows: none."""
SMOOTHING_FULL_HZ = 60.0
"""Below this frame rate smoothing fades in proportion: at 30 Hz full smoothing lags (orientation error +1.4 deg)."""


class IkSolver(Protocol):
    """What both solvers do: from targets to a configuration."""

    def acquire(self, targets: Targets, root_row: int) -> Array:
        """Solve from the stand pose with the root put where its target is; returns qpos (7 + n,)."""

    def track(self, targets: Targets, dt_s: float) -> Array:
        """Follow from the previous solution `dt_s` seconds ago [s]; returns qpos (7 + n,)."""


class Rows:
    """The weighted rows of one stage, and the bodies they are taken on."""

    def __init__(self, matches: tuple[Match, ...], weights: Mapping[str, tuple[float, float]]) -> None:
        """Rows with weight 0 are left out."""
        pairs = [weights.get(m.robot, (0.0, 0.0)) for m in matches]
        self.position: list[int] = [i for i, (p, _) in enumerate(pairs) if p > 0.0]
        self.rotation: list[int] = [i for i, (_, r) in enumerate(pairs) if r > 0.0]
        used = [pairs[i][0] for i in self.position] + [pairs[i][1] for i in self.rotation]
        self.of_match: IntArray = np.repeat(np.array(self.position + self.rotation, dtype=np.intp), 3)
        """Match of each residual row, (rows,)."""
        self.weights_squared: Array = np.repeat(np.square(np.array(used)), 3)
        """(rows,)"""

    def weights_for(self, targets: Targets) -> Array:
        """Squared weights with rows of untracked bodies at 0, (rows,)."""
        if targets.seen.all():
            return self.weights_squared
        return self.weights_squared * targets.seen[self.of_match]


def smoothing_weights(settings: SolverSettings, joint_names: tuple[str, ...]) -> Array:
    """Smoothing weight of each joint, motor order, (n,)."""
    factors = np.ones(len(joint_names))
    for i, name in enumerate(joint_names):
        for pattern, factor in settings.smoothing_factors.items():
            if fnmatch.fnmatchcase(name, pattern):
                factors[i] = factor
                break
    return settings.smoothing * factors


def _as_slice(index: IntArray) -> IntArray | slice:
    """A slice where the indices are consecutive, which numpy serves ten times as fast."""
    if np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return index


class FastSolver:
    """Gauss-Newton on preallocated arrays; about 70 us an iteration."""

    def __init__(
        self, kinematics: Kinematics, matches: tuple[Match, ...], body_ids: IntArray, stages: Stages,
        settings: SolverSettings,
    ) -> None:  # fmt: skip
        self._kinematics, self._settings = kinematics, settings
        self._model, self._data = kinematics.model, mujoco.MjData(kinematics.model)
        self._acquire, self._track = Rows(matches, stages.acquire), Rows(matches, stages.track)
        nv = self._model.nv
        self._hessian, self._gradient, self._step = np.zeros((nv, nv)), np.zeros(nv), np.zeros(nv)
        self._factor = np.zeros((nv, nv + 7))
        self._lower, self._upper = np.full(nv, -FREE), np.full(nv, FREE)
        self._diagonal = self._hessian.reshape(-1)[:: nv + 1]
        self._extra = np.zeros(nv)
        self._buffers = {id(stage): Buffers(stage, body_ids, self._data, nv) for stage in (self._acquire, self._track)}
        limits = kinematics.robot.limits
        self._q_lower, self._q_upper = limits.q_lower, limits.q_upper
        self._dofs, self._joints = _as_slice(kinematics.dof_index), _as_slice(kinematics.qpos_index)
        self._smoothing = smoothing_weights(settings, kinematics.robot.joint_names)
        self._none = np.zeros_like(self._smoothing)
        self._previous = np.array(kinematics.robot.q_stand)

    def acquire(self, targets: Targets, root_row: int) -> Array:
        """See `IkSolver.acquire`: orientation-first steps select the basin, tracking steps finish."""
        qpos = self._data.qpos
        robot = self._kinematics.robot
        qpos[:] = self._kinematics.qpos(targets.pos[root_row], targets.quat[root_row], robot.q_stand)
        self._previous[:] = np.clip(robot.q_stand, self._q_lower, self._q_upper)
        for stage in (self._acquire, self._track):
            self._iterate(targets, stage, self._settings.acquire_iterations, self._q_lower, self._q_upper, self._none)
        self._previous[:] = qpos[self._joints]
        return np.array(qpos)

    def track(self, targets: Targets, dt_s: float) -> Array:
        """See `IkSolver.track`."""
        reach = self._settings.joint_speed_limit_rad_s * dt_s
        lower = np.maximum(self._q_lower, self._previous - reach)
        upper = np.minimum(self._q_upper, self._previous + reach)
        smoothing = self._smoothing * min(1.0, 1.0 / (SMOOTHING_FULL_HZ * dt_s))
        self._iterate(targets, self._track, self._settings.iterations_for(dt_s), lower, upper, smoothing)
        self._previous[:] = self._data.qpos[self._joints]
        return np.array(self._data.qpos)

    def objective(self, qpos: Array, targets: Targets) -> float:
        """Sum of squared weighted tracking residuals at a configuration (no damping, no smoothing)."""
        kept = np.array(self._data.qpos)
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        buffers = self._buffers[id(self._track)]
        buffers.load(targets)
        residual = np.array(buffers.residual_now())
        self._data.qpos[:] = kept
        return float(self._track.weights_for(targets) @ np.square(residual))

    def _iterate(
        self, targets: Targets, stage: Rows, count: int, lower: Array, upper: Array, smoothing: Array
    ) -> None:  # fmt: skip
        """`count` Gauss-Newton steps on `data.qpos` inside the joint box [rad]."""
        model, data, buffers = self._model, self._data, self._buffers[id(stage)]
        buffers.load(targets)
        jacobian, weighted = buffers.jacobian, buffers.weighted
        column = stage.weights_for(targets)[:, None]
        hessian, gradient, step, joints, dofs = self._hessian, self._gradient, self._step, self._joints, self._dofs
        qpos = data.qpos
        self._extra[dofs] = smoothing
        self._extra += self._settings.damping
        for _ in range(count):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            for body, translation, rotation in buffers.bodies:
                mujoco.mj_jacBody(model, data, translation, rotation, body)
            residual = buffers.residual_now()
            np.multiply(jacobian, column, out=weighted)
            np.dot(weighted.T, jacobian, out=hessian)
            np.dot(residual, weighted, out=gradient)
            np.negative(gradient, out=gradient)
            q = qpos[joints]
            self._diagonal += self._extra
            gradient[dofs] += smoothing * (q - self._previous)
            self._lower[dofs] = np.minimum(lower - q, 0.0)
            self._upper[dofs] = np.maximum(upper - q, 0.0)
            step[:] = 0.0
            if mujoco.mju_boxQP(step, self._factor, None, hessian, gradient, self._lower, self._upper) < 0:
                break
            mujoco.mj_integratePos(model, qpos, step, 1.0)
        self._extra[:] = 0.0


class Buffers:
    """The arrays of one stage and the row views that MuJoCo writes into."""

    def __init__(self, stage: Rows, body_ids: IntArray, data: Any, nv: int) -> None:
        rows, n, m = len(stage.of_match), len(stage.position), len(stage.rotation)
        self.jacobian, self.weighted, self.residual = np.zeros((rows, nv)), np.zeros((rows, nv)), np.zeros(rows)
        self._position = np.array(stage.position, dtype=np.intp)
        self._rotation = np.array(stage.rotation, dtype=np.intp)
        self._position_ids, self._rotation_ids = body_ids[self._position], body_ids[self._rotation]
        vectors = self.residual.reshape(-1, 3)
        self._position_error = vectors[:n]
        self._target_pos, self._target_quat, self._body_quat = np.zeros((n, 3)), np.zeros((m, 4)), np.zeros((m, 4))
        self._turns = list(zip(vectors[n:], self._body_quat, self._target_quat, strict=True))
        self._xpos, self._xquat = data.xpos, data.xquat
        views: dict[int, list[Array | None]] = {}
        for k, i in enumerate(stage.position):
            views.setdefault(int(body_ids[i]), [None, None])[0] = self.jacobian[3 * k : 3 * k + 3]
        for k, i in enumerate(stage.rotation, n):
            views.setdefault(int(body_ids[i]), [None, None])[1] = self.jacobian[3 * k : 3 * k + 3]
        self.bodies = [(body, p, r) for body, (p, r) in views.items()]
        """Per body: where `mj_jacBody` writes its translational and rotational rows; one call serves both."""

    def load(self, targets: Targets) -> None:
        """Take this frame's targets."""
        np.take(targets.pos, self._position, axis=0, out=self._target_pos)
        np.multiply(targets.quat[self._rotation], CONJUGATE, out=self._target_quat)

    def residual_now(self) -> Array:
        """Unweighted residual at the current kinematics [m, rad], (rows,)."""
        np.subtract(self._target_pos, self._xpos[self._position_ids], out=self._position_error)
        np.multiply(self._xquat[self._rotation_ids], CONJUGATE, out=self._body_quat)
        for error, here, there in self._turns:  # numpy's dozen calls cost more than these
            mujoco.mju_subQuat(error, here, there)  # = log(q_t q^-1): the world-frame error
        return self.residual
