"""How hard the arms may push: one force limit, for policies that know it and, by an admittance filter, for others.

The law is GentleHumanoid's: a virtual mass at each wrist is drawn to its reference by a spring whose force is limited,
F = clamp(Kp d + Kd v, F_lim) with Kp = F_lim / 0.05 m and Kd = 2 sqrt(Kp m), m = 0.1 kg, and pushed away by the force
from outside. Here the damping is larger and the speed bounded lower than in training: the force is estimated, 50 times
a second, and answered through a policy that lags by 40 ms, so the original 2 N s/m would chatter at the contact.

The outside force comes from the shoulder's and elbow's measured torques minus what gravity and motion explain
(J^-T (bias - tau), damped). Its limits: the arm's own acceleration is not subtracted (low-pass filtered instead), a
nearly straight arm hides forces along itself, and motor friction reads as force: hence the dead band.

Pure: time is `now_ns`. The filter changes references only, before policy and gate, by a bounded amount.
"""

from __future__ import annotations

import math

import numpy as np

from teleopd.robots.model import Array, LowState, Reference, RobotModel
from teleopd.service.force_limit import DEFAULT_N, LONGEST_DT_S, LOWEST_N, ForceLimit
from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import Unsupported
from teleopd.service.streams import ComplianceSetting

SOFTNESS_M = 0.05
MASS_KG = 0.1
SETTLE_S = 0.25
"""Damping over Kp: how fast the virtual mass follows. Slower than the policy's lag, so that the two do not fight."""
FASTEST_M_S = 0.3
LARGEST_FORCE_N = 30.0
"""What is believed of an estimate."""
DEAD_BAND_N = 2.0
FILTER_S = 0.06
"""Time constant of the force's low-pass filter."""
FARTHEST_M = 0.15
"""Largest deviation of a wrist from its reference."""
FARTHEST_RAD = 0.6
"""Largest deviation of one joint."""
DAMPING_M = 0.07
"""Of the pseudo-inverses [m]: below this lever arm a joint is taken to have none."""
SUBSTEPS = 8
_ARM = ("shoulder", "elbow")


def check_fits(card: Card, force_limit_n: float, admittance: bool) -> None:
    """See that what a run asks for can act on its policy. `force_limit_n` 0: nothing was asked for.

    Raises:
        Unsupported: the policy has no force limit and no filter was asked for, or it has one and needs no filter.
    """
    if card.compliance is not None and admittance:
        raise Unsupported(card.name, "has a force limit of its own, so compliance.admittance is not for it")
    if card.compliance is None and force_limit_n and not admittance:
        raise Unsupported(
            card.name, f"has no force limit, so {force_limit_n:g} N has nothing to act on: add compliance.admittance "
            f"to soften the arm references instead"
        )  # fmt: skip


class _Arm:
    """One arm's virtual mass, in the pelvis frame."""

    def __init__(self, body: int, offset: Array, motor: list[int], dof: list[int]) -> None:
        self.body, self.offset = body, offset
        self.motor, self.dof = np.array(motor, dtype=np.intp), np.array(dof, dtype=np.intp)
        self.reset()

    def reset(self) -> None:
        self.d, self.v, self.force_b = np.zeros(3), np.zeros(3), np.zeros(3)
        self.turn = np.zeros(len(self.motor))

    def advance(self, limit_n: float, dt_s: float) -> None:
        """Let the mass move for `dt_s` under the filtered force."""
        kp = limit_n / SOFTNESS_M
        kd, damping, h = 2.0 * math.sqrt(kp * MASS_KG), kp * SETTLE_S, dt_s / SUBSTEPS
        for _ in range(SUBSTEPS):
            drive = _shortened(-kp * self.d - kd * self.v, limit_n)
            # Implicit in the damping, so that no step is too long for the light mass.
            speed = (self.v * MASS_KG + h * (drive + self.force_b)) / (MASS_KG + h * damping)
            self.v = _shortened(speed, FASTEST_M_S)
            self.d = _shortened(self.d + h * self.v, FARTHEST_M)


class ArmCompliance:
    """Admittance on the arms of a reference. Owns a copy of the robot's dynamics."""

    def __init__(self, model: RobotModel) -> None:
        """Raises:
        ValueError: the robot's model names no shoulder and elbow joints on the way to its wrist sites.
        """
        import mujoco  # only runs that use the filter need it in the control process

        self._mj = mujoco
        self._m = mujoco.MjModel.from_xml_path(str(model.mjcf))
        self._d = mujoco.MjData(self._m)
        self._lower, self._upper = model.limits.q_lower, model.limits.q_upper
        joints = [self._id(mujoco.mjtObj.mjOBJ_JOINT, name) for name in model.joint_names]
        self._qpos, self._dof = self._m.jnt_qposadr[joints], self._m.jnt_dofadr[joints]
        self._bias, self._jacobian = np.zeros(self._m.nv), np.zeros((3, self._m.nv))
        self._rotation = np.zeros(9)
        self._arms = [self._arm(model, site) for site in model.key_sites if "wrist" in site]
        if not self._arms or not all(len(arm.motor) for arm in self._arms):
            raise ValueError(f"{model.name} has no arms that compliance.admittance could soften")
        self._last_ns = 0

    def _id(self, kind: object, name: str) -> int:
        return int(self._mj.mj_name2id(self._m, kind, name))

    def _arm(self, model: RobotModel, site: str) -> _Arm:
        at = self._id(self._mj.mjtObj.mjOBJ_SITE, site)
        side = "left" if "left" in site else "right"
        motor = [i for i, name in enumerate(model.joint_names) if side in name and any(part in name for part in _ARM)]
        return _Arm(
            int(self._m.site_bodyid[at]), self._m.site_pos[at].copy(), motor, [int(self._dof[i]) for i in motor]
        )

    @property
    def deviation_m(self) -> float:
        """Largest distance of a wrist from its reference now [m]."""
        return max(float(np.sqrt(arm.d @ arm.d)) for arm in self._arms)

    @property
    def forces_b(self) -> Array:
        """Filtered estimate of the outside force at each wrist, pelvis frame [N], (arms, 3)."""
        return np.array([arm.force_b for arm in self._arms])

    def reset(self) -> None:
        """Every arm on its reference."""
        for arm in self._arms:
            arm.reset()
        self._last_ns = 0

    def step(self, reference: Reference, state: LowState, limit_n: float, now_ns: int, *, acts: bool) -> Reference:
        """The reference with its arms given way. `acts` False, or an unsound state: the force counts as none, and the
        arms glide back to the reference. Never raises; a result that is not finite is replaced by the reference."""
        dt_s = min(max((now_ns - self._last_ns) * 1e-9, 0.0), LONGEST_DT_S) if self._last_ns else 0.0
        self._last_ns = now_ns
        with np.errstate(all="ignore"):  # a state may hold any number
            return self._give_way(reference, state, limit_n, dt_s, acts)

    def _give_way(self, reference: Reference, state: LowState, limit_n: float, dt_s: float, acts: bool) -> Reference:
        sound = _sound(state) and math.isfinite(limit_n) and limit_n > 0.0
        if sound:
            self._place(state)
        q = reference.q.copy()
        for arm in self._arms:
            jacobian = self._jacobian_of(arm) if sound else None
            force = self._outside_force(arm, jacobian, state) if acts and jacobian is not None else np.zeros(3)
            arm.force_b += (force - arm.force_b) * (1.0 - math.exp(-dt_s / FILTER_S))
            arm.advance(limit_n if sound else LOWEST_N, dt_s)
            if jacobian is not None:
                turn = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING_M**2 * np.eye(3), arm.d)
                arm.turn = np.clip(turn, -FARTHEST_RAD, FARTHEST_RAD)
            else:
                arm.turn = arm.turn * math.exp(-dt_s / SETTLE_S)
            if not (np.isfinite(arm.turn).all() and np.isfinite(arm.d).all() and np.isfinite(arm.v).all()):
                arm.reset()
            q[arm.motor] += arm.turn
        moved = np.flatnonzero(q != reference.q)
        q[moved] = np.clip(q[moved], self._lower[moved], self._upper[moved])
        return reference._replace(q=q)

    def _place(self, state: LowState) -> None:
        """Kinematics and the torques of gravity and motion at the measured state, pelvis at the origin."""
        mj, m, d = self._mj, self._m, self._d
        d.qpos[:3], d.qpos[3:7] = 0.0, state.quat_w
        d.qpos[self._qpos], d.qvel[self._dof] = state.q, state.dq
        d.qvel[:3], d.qvel[3:6] = 0.0, state.gyro_b
        mj.mj_kinematics(m, d)
        mj.mj_comPos(m, d)
        mj.mj_comVel(m, d)
        mj.mj_rne(m, d, 0, self._bias)
        mj.mju_quat2Mat(self._rotation, d.qpos[3:7])

    def _jacobian_of(self, arm: _Arm) -> Array:
        """Velocity of the wrist in the pelvis frame for each arm joint's speed [m], (3, joints)."""
        point = self._d.xpos[arm.body] + self._d.xmat[arm.body].reshape(3, 3) @ arm.offset
        self._mj.mj_jac(self._m, self._d, self._jacobian, None, point, arm.body)
        found: Array = self._rotation.reshape(3, 3).T @ self._jacobian[:, arm.dof]
        return found

    def _outside_force(self, arm: _Arm, jacobian: Array, state: LowState) -> Array:
        """(J J^T + c^2)^-1 J (bias - tau), shortened by the dead band [N], pelvis frame, (3,)."""
        residual = self._bias[arm.dof] - state.tau[arm.motor]
        force = np.linalg.solve(jacobian @ jacobian.T + DAMPING_M**2 * np.eye(3), jacobian @ residual)
        size = math.sqrt(float(force @ force))
        if not size > DEAD_BAND_N or not math.isfinite(size):
            return np.zeros(3)
        return np.asarray(force * (min(size - DEAD_BAND_N, LARGEST_FORCE_N) / size))


class Compliance:
    """The knob of one run: slews the limit and gives it to the policy, or to the filter, whichever there is."""

    def __init__(self, card: Card, model: RobotModel, force_limit_n: float = 0.0, admittance: bool = False) -> None:
        """`force_limit_n` 0: the card's default, or 10 N for the filter.

        Raises:
            Unsupported: see `check_fits`.
        """
        check_fits(card, force_limit_n, admittance)
        own = card.compliance
        if own is not None:
            self.limit = ForceLimit(force_limit_n or own.default_n, own.lower_n, own.upper_n)
        else:
            self.limit = ForceLimit(force_limit_n or DEFAULT_N)
        self.policy_knows = own is not None
        self.arms = ArmCompliance(model) if admittance else None
        self._newest_ns = 0

    @property
    def force_limit_n(self) -> float:
        """The limit in force [N]; NaN when nothing limits."""
        return self.limit.newton if self.policy_knows or self.arms is not None else math.nan

    def hear(self, settings: list[ComplianceSetting | None], token: int) -> None:
        """Take the newest wish with the session's token that was not heard before."""
        newest = max((s for s in settings if s is not None and s.token == token), key=lambda s: s.t_ns, default=None)
        if newest is not None and newest.t_ns > self._newest_ns:
            self._newest_ns = newest.t_ns
            self.limit.ask(newest.force_limit_n)


def _shortened(vector: Array, longest: float) -> Array:
    length = math.sqrt(float(vector @ vector))
    return vector if length <= longest else np.asarray(vector * (longest / length))


def _sound(state: LowState) -> bool:
    parts = (state.q, state.dq, state.tau, state.quat_w, state.gyro_b)
    return all(math.isfinite(np.add.reduce(part)) for part in parts) and float(state.quat_w @ state.quat_w) > 0.5
