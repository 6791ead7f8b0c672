"""The robot, when there is none: MuJoCo physics under the motor controller of the last command.

Each motor computes torque = kp (q* - q) + kd (dq* - dq) + tau*, clipped to the joint's force range, at every physics
step from the last command it heard (the hold law of the real motors). Before the first command the motors damp.
Simulated time moves only by `advance`; nothing here reads a clock.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

import mujoco
import numpy as np

from teleopd.robots.model import Array, LowState, RobotModel
from teleopd.robots.virtual.gantry import Gantry, GantryMode
from teleopd.robots.virtual.perturbation import NONE, Perturbation
from teleopd.robots.virtual.plant import build
from teleopd.robots.virtual.pushing import Pushes
from teleopd.robots.virtual.sensing import Sensing
from teleopd.robots.virtual.thermal import Thermal

FALLEN_HEIGHT = 0.5
"""Of the stand height; 0.40 m for a G1, the published criterion."""
FALLEN_UP_Z = 0.5
"""z of the pelvis's up vector: leaning by more than 60 degrees."""
THERMAL_PERIOD_S = 0.01
PICK_UP_S = 1.0
"""The gantry takes up a robot's weight over so long."""
PICK_UP_CLEARANCE_M = 0.02
"""Higher than at the start, so that feet which stand elsewhere swing free."""


class Silence(enum.StrEnum):
    """What the motors do when commands stop for `silence_s`; what a real robot does is not published."""

    HOLD = "hold"
    DAMP = "damp"
    LIMP = "limp"


class _Heard(NamedTuple):
    """A command on its way to the motors."""

    step: int
    control: Array
    kp: Array
    kd: Array


class VirtualRobot:
    """One simulated robot. It starts in its stand pose, hanging on the gantry, feet just touching the floor."""

    def __init__(
        self,
        model: RobotModel,
        *,
        physics_hz: int = 1000,
        perturbation: Perturbation = NONE,
        seed: int = 0,
        odometry: bool = False,
        silence: Silence = Silence.HOLD,
        silence_s: float = 0.1,
    ) -> None:
        """`odometry`: report the true pelvis position and velocity in LowState.

        Raises:
            ValueError, ModelUnusable: see `plant.build`.
        """
        self.model, self.perturbation = model, perturbation
        self.dt_s = 1.0 / physics_hz
        self.physics_hz = physics_hz
        self._plant = build(model, physics_hz, perturbation)
        self.mj_model = self._plant.m
        self.mj_data = mujoco.MjData(self.mj_model)
        self.mass_kg = float(self.mj_model.body_subtreemass[0])
        weight_n = self.mass_kg * float(np.linalg.norm(self.mj_model.opt.gravity))
        self.gantry = Gantry(weight_n)
        self.gantry_force_w: Array = np.zeros(3)
        """Force of the gantry during the last step, damping included [N], (3,)."""
        self._free_damping: Array = self.mj_model.dof_damping[:6].copy()
        self._thermal = Thermal(np.asarray(model.limits.tau_max, dtype=np.float64))
        self._thermal_every = max(1, round(THERMAL_PERIOD_S * physics_hz))
        self._sensing = Sensing(model, self._plant, perturbation, odometry)
        self._pushes = Pushes(perturbation.pushes, perturbation.random_pushes, self.dt_s)
        self._silence = silence
        self._silence_steps = max(1, round(silence_s * physics_hz))
        self._delay_steps = tuple(ms * 1e-3 * physics_hz for ms in perturbation.actuator_delay_ms)
        self._on_the_way: deque[_Heard] = deque()
        self._seed = seed
        self.resets = -1
        self.reset()

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Physics steps since the reset."""
        return self._step

    @property
    def time_s(self) -> float:
        """Simulated time since the reset."""
        return self._step * self.dt_s

    def reset(
        self,
        *,
        q: Array | None = None,
        root_pos_w: Array | None = None,
        root_quat_w: Array | None = None,
        hanging: bool = True,
        seed: int | None = None,
    ) -> None:
        """Start again at time 0, at rest, with cold damping motors; the same seed gives the same run.

        `q` (n,) defaults to the stand pose; `root_pos_w` (3,) to the height at which the lowest sole just touches the
        floor; `root_quat_w` (4,) to upright. `hanging`: on the gantry, which is anchored there in either case.
        """
        if seed is not None:
            self._seed = seed
        noise, initial, pushes, delays = np.random.SeedSequence(self._seed).spawn(4)
        self._noise_rng, self._push_rng = np.random.default_rng(noise), np.random.default_rng(pushes)
        self._delay_rng = np.random.default_rng(delays)
        self._place(q, root_pos_w, root_quat_w, np.random.default_rng(initial))
        self._step = 0
        self.resets += 1
        self._heard_step = 0
        self.commands_received = 0
        self.commands_refused = 0
        self._silent = True  # nothing was heard yet: no silence to react to
        self.push_active = False
        self._on_the_way.clear()
        self._kp, self._kd = np.zeros(self.model.n), self.model.kd_damp.copy()
        self._drive(np.zeros(self.model.n), np.zeros(self.model.n), self.model.kd_damp)
        self._thermal.reset()
        self._pushes.reset(self._push_rng)
        self._hang_height = float(self.mj_data.qpos[2])
        self.gantry.place(self.mj_data.qpos[:3], self.mj_data.qpos[3:7])
        if hanging:
            self.gantry.hang()
        else:
            self.gantry.release()
        self._support()
        mujoco.mj_forward(self.mj_model, self.mj_data)
        self._sensing.reset(self.mj_data)

    def _place(
        self, q: Array | None, root_pos_w: Array | None, root_quat_w: Array | None, rng: np.random.Generator
    ) -> None:
        m, d, plant = self.mj_model, self.mj_data, self._plant
        mujoco.mj_resetData(m, d)
        joints = np.array(self.model.q_stand if q is None else q, dtype=np.float64)
        spread = self.perturbation.initial_q_rad
        d.qpos[plant.qpos] = joints + rng.uniform(-spread, spread, self.model.n)
        d.qpos[:3] = 0.0, 0.0, self.model.stand_height_m
        d.qpos[3:7] = 1.0, 0.0, 0.0, 0.0
        if root_quat_w is not None:
            d.qpos[3:7] = root_quat_w / np.linalg.norm(root_quat_w)
        if root_pos_w is not None:
            d.qpos[:3] = root_pos_w
        else:
            mujoco.mj_kinematics(m, d)
            d.qpos[2] -= float(np.min(d.site_xpos[plant.soles, 2]))
        heading = rng.uniform(0.0, 2.0 * np.pi)
        speed = self.perturbation.initial_velocity_m_s
        d.qvel[:2] = speed * np.cos(heading), speed * np.sin(heading)

    # -- commands -----------------------------------------------------------------------------------------------

    def command(self, q: Array, dq: Array, tau: Array, kp: Array, kd: Array) -> bool:
        """What the motors shall do from now (plus the actuator delay) on, each (n,); arrays are copied.

        Returns False, and counts it, when a number is not finite or a gain negative: such a command is not heard.
        """
        with np.errstate(all="ignore"):
            kp = kp * self.perturbation.kp_scale
            kd = kd * self.perturbation.kd_scale
            control = kp * q + kd * dq + tau
        if not np.isfinite(control).all() or not (kp >= 0.0).all() or not (kd >= 0.0).all():
            self.commands_refused += 1
            return False
        self.commands_received += 1
        self._heard_step = self._step
        self._silent = False
        low, high = self._delay_steps
        delay = round(low if high <= low else self._delay_rng.uniform(low, high))
        due = self._step + delay
        if self._on_the_way:
            due = max(due, self._on_the_way[-1].step)
            if due == self._on_the_way[-1].step:
                self._on_the_way.pop()  # it would be replaced before it had acted
        self._on_the_way.append(_Heard(due, control, kp, kd))
        return True

    def _drive(self, control: Array, kp: Array, kd: Array) -> None:
        plant, m = self._plant, self.mj_model
        m.actuator_biasprm[plant.actuator, 1] = -kp
        m.actuator_biasprm[plant.actuator, 2] = -kd
        self.mj_data.ctrl[plant.actuator] = control
        self._kp, self._kd = kp, kd

    def _hear(self) -> None:
        """Let the motors have every command that is due, or the reaction to silence."""
        while self._on_the_way and self._on_the_way[0].step <= self._step:
            _, control, kp, kd = self._on_the_way.popleft()
            self._drive(control, kp, kd)
        if self._silent or self._silence is Silence.HOLD or self._step - self._heard_step < self._silence_steps:
            return
        self._silent = True
        self._on_the_way.clear()
        zero = np.zeros(self.model.n)
        self._drive(zero, zero, self.model.kd_damp if self._silence is Silence.DAMP else zero)

    # -- physics ------------------------------------------------------------------------------------------------

    def hang(self, seconds: float = PICK_UP_S) -> None:
        """Pick the robot up where it is now: upright, feet just off the floor, with its present heading."""
        x, y, _ = self.mj_data.qpos[:3]
        self.gantry.place(np.array([x, y, self._hang_height + PICK_UP_CLEARANCE_M]), self.mj_data.qpos[3:7])
        self.gantry.hang(seconds)

    def push(self, force_w: tuple[float, float, float], duration_s: float) -> None:
        """Push the pelvis's centre of mass with `force_w` [N], world frame, for `duration_s` from now on."""
        self._pushes.add(self._step, force_w, duration_s)

    def _support(self) -> None:
        """Put the gantry's force on the free joint."""
        d, gantry = self.mj_data, self.gantry
        damping = self.mj_model.dof_damping
        damping[:3] = self._free_damping[:3] + gantry.linear_damping
        damping[3:6] = self._free_damping[3:] + gantry.angular_damping
        pull = gantry.pull(d.qpos[:3], d.qpos[3:7])
        d.qfrc_applied[:6] = pull
        self.gantry_force_w[:] = pull[:3] - gantry.linear_damping * d.qvel[:3]
        self._supported = gantry.mode is not GantryMode.RELEASE

    def advance(self, steps: int) -> None:
        """Let `steps` physics steps pass."""
        m, d, sensing = self.mj_model, self.mj_data, self._sensing
        for _ in range(steps):
            self._hear()
            self.gantry.advance(self.dt_s)
            if self.gantry.mode is not GantryMode.RELEASE or self._supported:
                self._support()
            force = self._pushes.force_w(self._step, self._push_rng)
            if force is not None or self.push_active:
                self.push_active = force is not None
                d.xfrc_applied[self._plant.root_body, :3] = 0.0 if force is None else force
            mujoco.mj_step(m, d)
            self._step += 1
            if self._step % self._thermal_every == 0:
                self._thermal.advance(d.qfrc_actuator[self._plant.dof], self._thermal_every * self.dt_s)
            if sensing.every_step:
                sensing.capture(d, self._noise_rng)
        if steps and not sensing.every_step:
            sensing.capture(d, self._noise_rng)

    def step(self, dt_s: float) -> None:
        """Let `dt_s` of simulated time pass.

        Raises:
            ValueError: it is not a whole number of physics steps.
        """
        steps = dt_s * self.physics_hz
        if abs(steps - round(steps)) > 1e-6 or steps < 0.0:
            raise ValueError(f"dt_s is {dt_s}; it must be a whole number of physics steps of {self.dt_s} s")
        self.advance(round(steps))

    # -- what it shows ------------------------------------------------------------------------------------------

    def low_state(self, now_ns: int) -> LowState:
        """What the robot measures, stamped `now_ns`; its tick counts simulated milliseconds."""
        return self._sensing.low_state(now_ns, self._step * 1000 // self.physics_hz, self._thermal)

    @property
    def root_height(self) -> float:
        """True height of the pelvis above the floor [m]."""
        return float(self.mj_data.qpos[2])

    @property
    def up_z(self) -> float:
        """z component of the pelvis's up vector: 1 upright, 0 lying, -1 upside down."""
        _, x, y, _ = self.mj_data.qpos[3:7]
        return float(1.0 - 2.0 * (x * x + y * y))

    @property
    def fallen(self) -> bool:
        """The pelvis is below half the stand height or leans by more than 60 degrees, or the physics diverged."""
        upright = self.root_height >= FALLEN_HEIGHT * self.model.stand_height_m and self.up_z >= FALLEN_UP_Z
        return not upright  # NaN compares false, so a diverged state counts as fallen

    @property
    def diverged(self) -> bool:
        """The physics blew up (MuJoCo counted a bad position, velocity or acceleration)."""
        kinds = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)
        return any(self.mj_data.warning[int(kind)].number > 0 for kind in kinds)
