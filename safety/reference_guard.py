"""What the policy is asked to track: the operator's motion aligned, blended, bounded; held; brought back to standing.

Runs at the policy's rate. A biped that stops balancing falls, so losing the operator never stops the policy: the
reference is held with zero velocities (measured: 25 of 25 dropouts stay up, drift 0.1 m) and then blended to the stand
pose in 1 s (half the motor torque of holding).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from teleopd.robots.model import Array, LowState, Reference, RobotModel
from teleopd.safety import attitude as att
from teleopd.safety.guard_bounds import GuardBounds
from teleopd.safety.joint_steps import JointSteps
from teleopd.safety.scope import Scope
from teleopd.safety.stalls import FUTURE_NS, NEVER_NS
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Mode

ANCHORED = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
"""Modes in which the stand reference stays where the robot stood when it was armed."""
LONGEST_DT_S = 0.1


class Phase(enum.Enum):
    """What the reference does now."""

    STAND = 0
    FOLLOW = 1
    HELD = 2
    RETURNING = 3


@dataclass(slots=True)
class _Pose:
    pos: Array
    quat: Array
    q: Array

    def copy(self) -> _Pose:
        return _Pose(self.pos.copy(), self.quat.copy(), self.q.copy())


class ReferenceGuard:
    """Shapes one reference a tick. `pose_error_rad`, `tilt_rp` and `age_ns` describe the last one."""

    def __init__(
        self, model: RobotModel, bounds: GuardBounds | None = None, thresholds: Thresholds | None = None
    ) -> None:
        """Raises CapsuleError where the robot's table of capsule pairs does not fit its MJCF."""
        self._model, self._thresholds = model, thresholds or Thresholds()
        self._scope = Scope(model, self._thresholds)
        self._bounds = (bounds or GuardBounds()).slowed(self._scope.speed)
        self._joints = JointSteps(model, self._bounds, self._thresholds)
        self._lower, self._upper = model.limits.q_lower, model.limits.q_upper
        self._pose = _Pose(np.array([0.0, 0.0, model.stand_height_m]), att.IDENTITY.copy(), model.q_stand.copy())
        self._from = self._pose.copy()
        self._phase = Phase.STAND
        self._blend_start_ns, self._blend_s = 0, 1.0
        self._yaw_offset, self._offset = 0.0, np.zeros(2)
        self._start_xy, self._start_yaw = np.zeros(2), 0.0
        self._followed = (0, 0)
        self._last_ns = 0
        self._mode = Mode.BOOT
        self.pose_error_rad = np.inf
        """Largest joint difference between the operator's reference and the shaped one [rad]; inf without one."""
        self.tilt_rp = np.zeros(2)
        """Roll and pitch of the shaped reference [rad]."""
        self.age_ns = NEVER_NS
        """Age of the operator's reference."""

    def step(self, reference: Reference | None, mode: Mode, now_ns: int, state: LowState | None) -> Reference:
        """The reference for this tick; new arrays each time. Anything not finite counts as missing."""
        dt_s = min(max((now_ns - self._last_ns) * 1e-9, 0.0), LONGEST_DT_S) if self._last_ns else 0.0
        self._last_ns = now_ns
        operator = reference if reference is not None and _sound(reference, self._model.n) else None
        self.age_ns = now_ns - operator.t_ns if operator is not None else NEVER_NS
        self._change_phase(operator, mode, now_ns, state)
        before = self._pose.copy()
        linear, angular, dq = self._shape(operator, now_ns)
        dq = self._bound_step(before, dq, dt_s)
        if operator is not None:
            self.pose_error_rad = self._distance(operator)
        else:
            self.pose_error_rad = np.inf
        self.tilt_rp = att.roll_pitch(self._pose.quat)
        if self._phase is Phase.RETURNING and self._stands():
            self._phase = Phase.STAND
        return self._reference(reference, operator, (linear, angular, dq), now_ns)

    def come_along(self, state: LowState | None) -> None:
        """Stand where the robot is now. For a twin that is not needed yet: when it is, the robot has long walked and
        turned away from where it was armed, and must not be called back there."""
        if self._phase is Phase.STAND:
            self._stand_at(state)

    # Phases

    def _change_phase(self, operator: Reference | None, mode: Mode, now_ns: int, state: LowState | None) -> None:
        fresh = operator is not None and self._fresh(operator)
        if mode in ANCHORED and self._mode not in ANCHORED:
            self._stand_at(state)
        if mode is Mode.ACTIVE and fresh:
            assert operator is not None
            key = (operator.source_id, operator.resets)
            if self._phase is not Phase.FOLLOW or key != self._followed:
                self._follow(operator, key, now_ns)
        elif mode in (Mode.ACTIVE, Mode.HOLD):
            if self._phase is Phase.FOLLOW:
                self._phase = Phase.HELD
        elif mode in (Mode.ARMED, Mode.RETURN):
            if self._phase in (Phase.FOLLOW, Phase.HELD):
                self._begin_blend(Phase.RETURNING, self._bounds.return_s, now_ns)
        else:
            self._phase = Phase.STAND
            self._stand_at(state)
        self._mode = mode

    def _fresh(self, operator: Reference) -> bool:
        return -FUTURE_NS <= self.age_ns <= self._thresholds.stale_after_ns(operator.nominal_hz)

    def _follow(self, operator: Reference, key: tuple[int, int], now_ns: int) -> None:
        """Take the operator's motion from here: where it is and faces now becomes where the robot is and faces."""
        error = self._distance(operator)
        shortest, longest = self._bounds.engage_s
        if self._phase in (Phase.FOLLOW, Phase.HELD):
            shortest = self._bounds.resume_s
        share = min(1.0, error / self._bounds.far_rad)
        self._begin_blend(Phase.FOLLOW, shortest + (longest - shortest) * share, now_ns)
        self._followed = key
        self._yaw_offset = att.yaw_of(self._pose.quat) - att.yaw_of(operator.root_quat_w)
        self._offset = self._pose.pos[:2] - att.turn_xy(operator.root_pos_w[:2], self._yaw_offset)
        self._start_xy, self._start_yaw = self._pose.pos[:2].copy(), att.yaw_of(self._pose.quat)

    def _distance(self, operator: Reference) -> float:
        """Largest difference of a joint between what is asked, within range and scope, and what is shown [rad]."""
        wanted = self._scope.joints(np.clip(operator.q, self._lower, self._upper))
        return float(np.abs(wanted - self._pose.q).max())

    def _stands(self) -> bool:
        """The pose has arrived at the stand pose, which slow bounds let it do later than the blend wants."""
        pose, model = self._pose, self._model
        way = max(float(np.abs(pose.q - model.q_stand).max()), abs(float(pose.pos[2]) - model.stand_height_m))
        return max(way, float(np.abs(self.tilt_rp).max())) < 1e-6

    def _begin_blend(self, phase: Phase, seconds: float, now_ns: int) -> None:
        self._phase, self._blend_s, self._blend_start_ns = phase, seconds, now_ns
        self._from = self._pose.copy()

    def _stand_at(self, state: LowState | None) -> None:
        """Stand where the robot is and faces, so that a policy has no heading or place to run after."""
        yaw = 0.0
        xy = np.zeros(2)
        if state is not None and np.isfinite(state.quat_w).all() and float(state.quat_w @ state.quat_w) > 0.5:
            yaw = att.yaw_of(state.quat_w)
        if state is not None and state.has_odometry and np.isfinite(state.root_pos_w).all():
            xy = state.root_pos_w[:2]
        self._pose = _Pose(np.array([xy[0], xy[1], self._model.stand_height_m]), att.of_yaw(yaw),
                           self._model.q_stand.copy())  # fmt: skip

    # Shapes

    def _shape(self, operator: Reference | None, now_ns: int) -> tuple[Array, Array, Array]:
        """Move `_pose`; returns root linear and angular velocity in the world and joint velocities."""
        zero = np.zeros(3), np.zeros(3), np.zeros(self._model.n)
        if self._phase in (Phase.STAND, Phase.HELD):
            return zero
        share = (now_ns - self._blend_start_ns) * 1e-9 / self._blend_s
        weight, slope = att.smoothstep(share)
        slope /= self._blend_s
        start = self._from
        if self._phase is Phase.RETURNING:
            goal = _Pose(np.array([start.pos[0], start.pos[1], self._model.stand_height_m]),
                         att.of_yaw(att.yaw_of(start.quat)), self._model.q_stand)  # fmt: skip
            velocities = zero
        else:
            assert operator is not None
            goal, velocities = self._aligned(operator)
        lean = att.rotation_between(start.quat, goal.quat)
        self._pose.pos = start.pos + weight * (goal.pos - start.pos)
        self._pose.quat = att.turned(start.quat, weight * lean)
        self._pose.q = start.q + weight * (goal.q - start.q)
        return (
            weight * velocities[0] + slope * (goal.pos - start.pos),
            weight * velocities[1] + slope * lean,
            weight * velocities[2] + slope * (goal.q - start.q),
        )

    def _aligned(self, operator: Reference) -> tuple[_Pose, tuple[Array, Array, Array]]:
        """The operator's motion in the robot's place and heading, within the pose bounds."""
        b, yaw, scope = self._bounds, self._yaw_offset, self._scope
        height = min(max(float(operator.root_pos_w[2]), b.lowest_m), b.highest * self._model.stand_height_m)
        xy = att.turn_xy(operator.root_pos_w[:2], yaw) + self._offset
        quat = att.limit_tilt(att.multiply(att.of_yaw(yaw), att.unit(operator.root_quat_w)), b.tilt_rad)
        q = scope.joints(np.clip(operator.q, self._lower, self._upper))
        linear, angular = operator.root_lin_vel_w.copy(), operator.root_ang_vel_w.copy()
        linear[:2], angular[:2] = att.turn_xy(linear[:2], yaw), att.turn_xy(angular[:2], yaw)
        pose = _Pose(scope.place(np.array([xy[0], xy[1], height]), self._start_xy),
                     scope.attitude(quat, self._start_yaw), q)  # fmt: skip
        return pose, (*scope.root_speeds(linear, angular), scope.joint_speeds(operator.dq))

    @property
    def held_joints(self) -> int:
        """Joints that are kept back now because a part of the robot would enter another."""
        return self._joints.held_joints

    def _bound_step(self, before: _Pose, dq: Array, dt_s: float) -> Array:
        """No part of the pose moves faster than its bound; returns the joints' velocities that go with it.

        Standing poses of a carried robot follow it freely.
        """
        if self._mode not in ANCHORED or self._phase in (Phase.STAND, Phase.HELD):
            self._joints.rest()
            return dq
        b, pose = self._bounds, self._pose
        pose.q, own = self._joints.step(pose.q, before.q, dt_s)
        way = pose.pos - before.pos
        way[:2] = att.shortened(way[:2], b.root_speed * dt_s)
        way[2] = min(max(way[2], -b.root_climb * dt_s), b.root_climb * dt_s)
        pose.pos = before.pos + way
        turn = att.rotation_between(before.quat, pose.quat)
        pose.quat = att.turned(before.quat, att.shortened(turn, b.turn_speed * dt_s))
        return np.where(np.isfinite(own), own, dq)

    def _reference(
        self, raw: Reference | None, operator: Reference | None, velocities: tuple[Array, Array, Array], now_ns: int
    ) -> Reference:
        b, (linear, angular, dq), pose = self._bounds, velocities, self._pose
        linear = np.array([*att.shortened(linear[:2], b.root_speed), min(max(linear[2], -b.root_climb), b.root_climb)])
        return Reference(
            seq=operator.seq if operator is not None else 0,
            source_id=raw.source_id if raw is not None else 0,
            t_ns=operator.t_ns if operator is not None else 0,
            t_content_ns=operator.t_content_ns if operator is not None else 0,
            t_published_ns=now_ns,
            valid=operator.valid if operator is not None else False,
            deadman=operator.deadman if operator is not None else False,
            resets=raw.resets if raw is not None else 0,
            nominal_hz=operator.nominal_hz if operator is not None else 0.0,
            root_pos_w=pose.pos.copy(),
            root_quat_w=pose.quat.copy(),
            root_lin_vel_w=linear,
            root_ang_vel_w=att.shortened(angular, b.turn_speed),
            q=pose.q.copy(),
            dq=np.clip(dq, -b.joint_speed, b.joint_speed),
        )


def _sound(reference: Reference, n: int) -> bool:
    if reference.q.shape != (n,) or reference.dq.shape != (n,):
        return False
    parts = (reference.q, reference.dq, reference.root_pos_w, reference.root_quat_w, reference.root_lin_vel_w,
             reference.root_ang_vel_w)  # fmt: skip
    if not all(bool(np.isfinite(part).all()) and float(np.abs(part).max()) < 1e6 for part in parts):
        return False
    return 0.81 < float(reference.root_quat_w @ reference.root_quat_w) < 1.21
