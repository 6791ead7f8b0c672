"""The fast inverse kinematics: one stacked residual, one box-constrained QP, one to three Gauss-Newton steps.

Per body i: position rows w_p (p_t - p), rotation rows w_r log(R_t R^T), both in the world frame, with MuJoCo's body
Jacobians. H = J^T W^2 J + damping I + smoothing on the joints, g = -J^T W^2 e + smoothing (q - q_previous frame); joint
box = joint range intersected with what the speed limit allows since the previous frame, relaxed to contain 0. How
many steps depends on the time since the last frame alone (`SolverSettings.iterations_for`), never on how well they go:
the worst frame of a stream costs what the median does.

On top of this base problem, which mink solves too: rows for feet, floor and self-collision (`floor_rows.py`,
`avoidance.py`), one-sided where a surface is one-sided (`one_sided.py`).
"""

from __future__ import annotations

import fnmatch
from typing import Protocol

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray
from teleopd.service.retarget.constraints import CAPACITY, Constraints
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.one_sided import Rows as ConstraintRows
from teleopd.service.retarget.tables import Match, SolverSettings, Stages
from teleopd.service.retarget.targets import Targets
from teleopd.service.retarget.tracking_rows import Buffers, TrackingRows

FREE = 1e10
"""Bound of the root's rows: none."""
SMOOTHING_FULL_HZ = 60.0
"""Below this frame rate smoothing fades in proportion: at 30 Hz full smoothing lags (orientation error +1.4 deg)."""

ASTRAY_RAD = 0.8
"""An orientation that misses by more than this after acquisition may be in the wrong basin."""
JOINTS_ASTRAY = 3


class IkSolver(Protocol):
    """What both solvers do: from targets to a configuration."""

    def acquire(self, targets: Targets, root_row: int) -> Array:
        """Solve from the stand pose with the root put where its target is; returns qpos (7 + n,)."""

    def track(self, targets: Targets, dt_s: float) -> Array:
        """Follow from the previous solution `dt_s` seconds ago [s]; returns qpos (7 + n,)."""

    def stand_on(self, contacts: Contacts | None) -> None:
        """Hold the feet where `contacts`, updated before every frame, says; None: only as the targets say.

        After every frame `contacts` is told where the robot's feet are.
        """


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
    """Gauss-Newton on preallocated arrays."""

    def __init__(
        self, kinematics: Kinematics, matches: tuple[Match, ...], body_ids: IntArray, stages: Stages,
        settings: SolverSettings,
    ) -> None:  # fmt: skip
        self._kinematics, self._settings = kinematics, settings
        self._model, self._data = kinematics.model, mujoco.MjData(kinematics.model)
        self._acquire, self._track = TrackingRows(matches, stages.acquire), TrackingRows(matches, stages.track)
        nv = self._model.nv
        self._hessian, self._gradient, self._step = np.zeros((nv, nv)), np.zeros(nv), np.zeros(nv)
        self._factor = np.zeros((nv, nv + 7))
        self._lower, self._upper = np.full(nv, -FREE), np.full(nv, FREE)
        self._diagonal = self._hessian.reshape(-1)[:: nv + 1]
        self._extra = np.zeros(nv)
        self._select = Buffers(self._acquire, body_ids, self._data, nv)
        self._follow = Buffers(self._track, body_ids, self._data, nv, spare=CAPACITY)
        limits = kinematics.robot.limits
        self._q_lower, self._q_upper = limits.q_lower, limits.q_upper
        self._dofs, self._joints = _as_slice(kinematics.dof_index), _as_slice(kinematics.qpos_index)
        self._smoothing = smoothing_weights(settings, kinematics.robot.joint_names)
        self._none, self._away = np.zeros_like(self._smoothing), np.zeros_like(self._smoothing)
        self._previous = np.array(kinematics.robot.q_stand)
        self._constraints = Constraints(kinematics, self._data, settings, ConstraintRows(*self._follow.spare))
        self._contacts: Contacts | None = None

    def stand_on(self, contacts: Contacts | None) -> None:
        """See `IkSolver.stand_on`."""
        self._contacts = contacts
        self._constraints.stand_on(contacts)

    def acquire(self, targets: Targets, root_row: int) -> Array:
        """See `IkSolver.acquire`: orientation-first steps select the basin, tracking steps finish.

        Where a body still looks away from its target (a wrist turned the wrong way round), its last joints are put back
        to the stand pose and tracking goes on from there; the better of the two results is kept.
        """
        data, robot = self._data, self._kinematics.robot
        data.qpos[:] = self._kinematics.qpos(targets.pos[root_row], targets.quat[root_row], robot.q_stand)
        mujoco.mj_kinematics(self._model, data)
        self._previous[:] = np.clip(robot.q_stand, self._q_lower, self._q_upper)
        for buffers in (self._select, self._follow):
            self._approach(targets, buffers)
        best, missed = np.array(data.qpos), self.objective(data.qpos, targets)
        astray = self._astray(targets)
        if len(astray):
            data.qpos[self._kinematics.qpos_index[astray]] = robot.q_stand[astray]
            mujoco.mj_kinematics(self._model, data)
            self._approach(targets, self._follow)
            if self.objective(data.qpos, targets) < missed:
                best = np.array(data.qpos)
            data.qpos[:] = best
            mujoco.mj_kinematics(self._model, data)
        self._previous[:] = best[self._joints]
        self._constraints.show_feet()
        return best

    def _approach(self, targets: Targets, buffers: Buffers) -> None:
        """The steps of one stage of acquisition."""
        count = self._settings.acquire_iterations
        self._iterate(targets, buffers, count, np.inf, 0.0, first=True)

    def _astray(self, targets: Targets) -> IntArray:
        """Joints, in motor order, next above bodies that are turned more than `ASTRAY_RAD` from their target."""
        self._follow.load(targets, None)
        self._follow.update_residual()
        joints: set[int] = set()
        for body in self._follow.bodies_turned(ASTRAY_RAD, targets):
            joints.update(self._kinematics.joints_above(body, JOINTS_ASTRAY))
        return np.array(sorted(joints), dtype=np.intp)

    def track(self, targets: Targets, dt_s: float) -> Array:
        """See `IkSolver.track`."""
        reach = self._settings.joint_speed_limit_rad_s * dt_s
        share = min(1.0, 1.0 / (SMOOTHING_FULL_HZ * dt_s))
        self._iterate(targets, self._follow, self._settings.iterations_for(dt_s), reach, share)
        self._previous[:] = self._data.qpos[self._joints]
        return np.array(self._data.qpos)

    def objective(self, qpos: Array, targets: Targets) -> float:
        """Sum of squared weighted tracking residuals at a configuration (no damping, no smoothing, no constraints)."""
        data, buffers = self._data, self._follow
        kept = np.array(data.qpos)
        data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, data)
        buffers.load(targets, None)
        buffers.update_residual()
        squared = np.square(buffers.residual[: buffers.rows])
        data.qpos[:] = kept
        mujoco.mj_kinematics(self._model, data)
        return float(self._track.weights_for(targets) @ squared)

    def _iterate(
        self, targets: Targets, buffers: Buffers, count: int, reach: float, share: float, *, first: bool = False
    ) -> None:
        """`count` Gauss-Newton steps on `data.qpos`; kinematics current before and after.

        Joints keep within their limits and `reach` [rad] of the last frame, smoothed with this `share` of the weights.
        `first`: look for what is near at every step, not only at the start of the frame, which is somewhere else.
        """
        model, data, qpos = self._model, self._data, self._data.qpos
        constraints = self._constraints if buffers is self._follow and self._constraints.any else None
        buffers.load(targets, self._contacts)
        if constraints is not None:
            constraints.load()
        lower, upper = self._previous - reach, self._previous + reach
        np.maximum(self._q_lower, lower, out=lower)
        np.minimum(self._q_upper, upper, out=upper)
        smoothing = self._smoothing * share
        self._extra[self._dofs] = smoothing
        self._extra += self._settings.damping
        for k in range(count):
            mujoco.mj_comPos(model, data)
            for body, translation, rotation in buffers.bodies:
                mujoco.mj_jacBody(model, data, translation, rotation, body)
            buffers.update_residual()
            rows = buffers.rows
            if constraints is not None:
                rows += constraints.linearise(measure=k == 0 or first)
            self._normal_equations(buffers, rows, lower, upper, smoothing)
            solved = self._quadratic()
            if solved and constraints is not None:
                solved = constraints.correct(self._hessian, self._gradient, self._step, self._quadratic)
            if not solved:
                break
            mujoco.mj_integratePos(model, qpos, self._step, 1.0)
            mujoco.mj_kinematics(model, data)
        self._extra[:] = 0.0
        self._constraints.show_feet()

    def _normal_equations(self, buffers: Buffers, rows: int, lower: Array, upper: Array, smoothing: Array) -> None:
        """Hessian, gradient and joint box of one step."""
        jacobian, weighted = buffers.jacobian[:rows], buffers.weighted[:rows]
        gradient, dofs = self._gradient, self._dofs
        np.multiply(jacobian, buffers.weights_squared[:rows, None], out=weighted)
        np.dot(weighted.T, jacobian, out=self._hessian)
        np.dot(buffers.residual[:rows], weighted, out=gradient)
        np.negative(gradient, out=gradient)
        self._diagonal += self._extra
        q = self._data.qpos[self._joints]
        away = np.subtract(q, self._previous, out=self._away)
        away *= smoothing
        gradient[dofs] += away
        self._lower[dofs] = np.minimum(np.subtract(lower, q, out=away), self._none, out=away)
        self._upper[dofs] = np.maximum(np.subtract(upper, q, out=away), self._none, out=away)

    def _quadratic(self) -> bool:
        """The box-constrained problem into `_step`; False where it is not positive definite."""
        self._step[:] = 0.0
        rank = mujoco.mju_boxQP(
            self._step, self._factor, None, self._hessian, self._gradient, self._lower, self._upper
        )  # fmt: skip
        return bool(rank >= 0)
