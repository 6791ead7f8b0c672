"""The robot reduced to what balancing needs, and the randomised copies of it that training falls over with."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import mujoco
import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.bodies import PHYSICS_S, SUBSTEPS
from teleopd.service.policy.train.decoupled.walker import Walker

LOAD = "load"
"""Bodies that a payload makes heavy are called so, after their hand."""
NO_LOAD_KG = 1e-3
HEAVIEST_KG = 2.5
"""In a hand, in training."""


def reduced_model(walker: Walker) -> Any:
    """A compiled mujoco.MjModel with soles on the floor as its only contacts and a weightless body in each hand."""
    spec = mujoco.MjSpec.from_file(str(walker.model.mjcf))
    for geom in list(spec.geoms):
        if geom.name != "floor" and "sole" not in geom.name:
            spec.delete(geom)
    for element in [*spec.sensors, *spec.excludes, *spec.keys, *spec.lights]:
        spec.delete(element)
    for i, (hand, place) in enumerate(walker.hands):
        load = spec.body(hand).add_body(name=f"{LOAD}{i}", pos=place)
        load.mass, load.inertia, load.explicitinertial = NO_LOAD_KG, [1e-6] * 3, True
        load.ipos = [0.0, 0.0, 0.0]  # not given, it would be `pos` once more
    m = spec.compile()
    m.opt.timestep = PHYSICS_S
    m.opt.iterations, m.opt.ls_iterations = 10, 20
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    # Clipped at the actuator too: only then does the implicit integrator drop the damping of a saturated motor.
    m.actuator_forcerange[:] = m.jnt_actfrcrange[m.actuator_trnid[:, 0]]
    m.actuator_forcelimited[:] = 1
    return m


class Randomised(NamedTuple):
    """What is wrong with one robot for one episode; the ranges are h1_default.md's, section 3, and a little more."""

    mass: float = 1.0
    torso_kg: float = 0.0
    torso_com_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    loads_kg: tuple[float, float] = (0.0, 0.0)
    """In the left and the right hand."""
    friction: float = 1.0
    armature: float = 1.0
    damping: float = 1.0
    kp: float = 1.0
    kd: float = 1.0
    delay: int = 0
    """Physics steps from the policy's answer to the motors, 0 to 2 * SUBSTEPS."""
    noise: float = 0.0
    """Factor on the student's sensor noise."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Randomised:
        """One of the robots of training; a sixth of them nominal."""
        if rng.random() < 1 / 6:
            return cls()
        loads = np.zeros(2)
        if rng.random() < 0.55:
            loads = rng.uniform(0.0, HEAVIEST_KG, 2) * (rng.random(2) < 0.85)
        spread = 0.38 if rng.random() < 0.2 else 0.12
        kp = rng.uniform(1.0 - spread, 1.0 + spread)
        return cls(
            mass=rng.uniform(0.94, 1.06),
            torso_kg=rng.uniform(-2.0, 4.0),
            torso_com_m=tuple(rng.uniform(-0.03, 0.03, 3)),
            loads_kg=(float(loads[0]), float(loads[1])),
            friction=rng.uniform(0.35, 1.4),
            armature=float(np.exp(rng.uniform(np.log(0.4), np.log(4.0)))),
            damping=float(np.exp(rng.uniform(np.log(0.02), np.log(20.0)))),
            kp=kp,
            kd=kp * rng.uniform(0.85, 1.15),
            delay=int(rng.integers(0, SUBSTEPS + 2)),
            noise=float(rng.choice((0.0, 0.5, 1.0))),
        )


class Body:
    """One robot of a batch: its own model, its own data."""

    def __init__(self, base: Any, walker: Walker, kp: Array, kd: Array) -> None:
        """`kp`, `kd`: nominal gains in motor order, which is the order of the actuators."""
        self._base, self._kp, self._kd = base, kp, kd
        self.m: Any = copy.copy(base)
        self.data: Any = mujoco.MjData(self.m)
        self._torso = base.body(walker.torso_body).id
        self._pelvis = base.body(walker.model.root_body).id
        self._loads = [base.body(f"{LOAD}{i}").id for i in range(2)]
        self._feet = [base.body(name).id for name in walker.feet]
        self._soles = np.array([base.site(name).id for name in walker.model.sole_sites])
        self._motor = walker.motor
        self._ctrl = np.zeros(walker.model.n)

    def become(self, r: Randomised) -> None:
        """Take on masses, friction and gains."""
        m, base = self.m, self._base
        factor = np.full(m.nbody, r.mass)
        factor[self._torso] += r.torso_kg / base.body_mass[self._torso]
        m.body_mass[:] = base.body_mass * factor
        m.body_inertia[:] = base.body_inertia * factor[:, None]
        for body, kg in zip(self._loads, r.loads_kg, strict=True):
            m.body_mass[body] = NO_LOAD_KG + kg
        m.body_ipos[:] = base.body_ipos
        m.body_ipos[self._torso] += r.torso_com_m
        m.geom_friction[:, 0] = base.geom_friction[:, 0] * r.friction
        m.dof_armature[:] = base.dof_armature * r.armature
        m.dof_damping[:] = base.dof_damping * r.damping
        kp, kd = self._kp * r.kp, self._kd * r.kd
        m.actuator_gainprm[:, 0], m.actuator_biasprm[:, 1], m.actuator_biasprm[:, 2] = kp, -kp, -kd
        mujoco.mj_setConst(m, self.data)
        self.weight_n = float(m.body_subtreemass[self._pelvis]) * 9.81

    def place(self, qpos: Array, qvel: Array) -> None:
        """Put it with its lowest sole on the floor."""
        mujoco.mj_resetData(self.m, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_kinematics(self.m, self.data)
        self.data.qpos[2] -= float(self.data.site_xpos[self._soles, 2].min()) + 5e-4
        self.aim(self.data.qpos[7:])
        mujoco.mj_forward(self.m, self.data)

    def aim(self, target: Array) -> None:
        """Joint targets in MJCF order [rad], (n,)."""
        self.data.ctrl[self._motor] = target

    def push(self, force_w: Array) -> None:
        """A force on the torso until the next call, world frame [N], (3,)."""
        self.data.xfrc_applied[self._torso, :3] = force_w

    def balance(self) -> Array:
        """Centre of mass (3), its velocity (3), left foot (3), right foot (3), all in the world, (12,)."""
        mujoco.mj_subtreeVel(self.m, self.data)
        d = self.data
        return np.concatenate((
            d.subtree_com[self._pelvis], d.subtree_linvel[self._pelvis], d.xpos[self._feet[0]], d.xpos[self._feet[1]],
        ))  # fmt: skip

    def advance(self, before: Array, target: Array, delay: int) -> None:
        """One policy tick; `target` reaches the motors after `delay` physics steps, up to SUBSTEPS; `before` until."""
        if delay:
            self.aim(before)
            mujoco.mj_step(self.m, self.data, delay)
        if delay < SUBSTEPS:
            self.aim(target)
            mujoco.mj_step(self.m, self.data, SUBSTEPS - delay)
