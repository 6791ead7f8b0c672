"""The G1 reduced to what balancing needs, and the randomised copies of it that training falls over with.

Eight sole spheres against the floor are the only contacts; 5 ms implicitfast; PD as position actuators (policy.md 11.1:
the teacher tracks the ten example clips in it as in full physics).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card import Card
from teleopd.service.policy.train.channels import N

PHYSICS_S = 0.005
SUBSTEPS = 4
"""Physics steps a policy tick."""
WRISTS = np.array([i for i, name in enumerate(MODEL.joint_names) if "wrist" in name])
TORSO = "torso_link"


def reduced_model() -> Any:
    """A compiled mujoco.MjModel without looks, sensors and contacts other than soles on the floor."""
    spec = mujoco.MjSpec.from_file(str(MODEL.mjcf))
    for geom in list(spec.geoms):
        if geom.name != "floor" and "sole" not in geom.name:
            spec.delete(geom)
    for element in [*spec.sensors, *spec.excludes, *spec.keys, *spec.lights]:
        spec.delete(element)
    m = spec.compile()
    m.opt.timestep = PHYSICS_S
    m.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    m.opt.iterations, m.opt.ls_iterations = 10, 20
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    joints = m.actuator_trnid[:, 0]
    # Clipped at the actuator too: only then does the implicit integrator drop the damping of a saturated motor.
    m.actuator_forcerange[:] = m.jnt_actfrcrange[joints]
    m.actuator_forcelimited[:] = 1
    return m


class Randomised(NamedTuple):
    """What is wrong with one robot for one episode."""

    mass: Array
    """Factor for each body but the torso, (nbody,)."""
    torso_kg: float
    torso_com_m: Array
    """(3,)"""
    friction: float
    armature: float
    kp: Array
    """Factor for each joint, (29,)."""
    kd: float
    stiff_wrists: bool
    """Wrist gains of the real robot (kp 20) instead of the simulated one's (kp 4)."""
    delay: int
    """Physics steps from the policy's answer to the motors, 0 to 16; the distillation draws 0 to 4."""
    noise: float
    """Factor on the student's sensor noise."""

    @classmethod
    def nominal(cls, nbody: int, **changes: Any) -> Randomised:
        """The robot as it is."""
        none = cls(np.ones(nbody), 0.0, np.zeros(3), 1.0, 1.0, np.ones(N), 1.0, False, 0, 0.0)
        return none._replace(**changes)

    @classmethod
    def drawn(cls, rng: np.random.Generator, nbody: int) -> Randomised:
        """One of the robots of training (policy.md 11.1); a fifth of them nominal."""
        if rng.random() < 0.2:
            return cls.nominal(nbody)
        return cls(
            mass=rng.uniform(0.95, 1.05, nbody),
            torso_kg=rng.uniform(-2.0, 3.0),
            torso_com_m=rng.uniform(-0.03, 0.03, 3),
            friction=rng.uniform(0.4, 1.6),
            armature=rng.uniform(0.8, 1.3),
            kp=rng.uniform(0.85, 1.15) * rng.uniform(0.93, 1.07, N),
            kd=rng.uniform(0.75, 1.25),
            stiff_wrists=bool(rng.random() < 0.4),
            delay=int(rng.integers(0, SUBSTEPS + 1)),
            noise=float(rng.choice((0.0, 0.5, 1.0))),
        )


class Body:
    """One robot of a batch: its own model, its own data."""

    def __init__(self, base: Any, card: Card) -> None:
        """`card` gives the gains, simulated and real."""
        self._base = base
        self.m: Any = copy.copy(base)
        self.data: Any = mujoco.MjData(self.m)
        names = MODEL.joint_names
        sim, real = card.gains.sim, card.gains.real
        self._kp, self._kd = card.per_joint(sim.kp, names), card.per_joint(sim.kd, names)
        self._kp_stiff, self._kd_stiff = self._kp.copy(), self._kd.copy()
        self._kp_stiff[WRISTS] = card.per_joint(real.kp, names)[WRISTS]
        self._kd_stiff[WRISTS] = card.per_joint(real.kd, names)[WRISTS]
        self._torso = base.body(TORSO).id
        self._pelvis = base.body(MODEL.root_body).id
        self._soles = np.array([base.site(name).id for name in MODEL.sole_sites])
        self._keys = np.array([base.site(name).id for name in MODEL.key_sites])
        self._ghost: Any = None
        self._kept: Array = np.zeros(mujoco.mj_stateSize(base, mujoco.mjtState.mjSTATE_INTEGRATION))

    def become(self, r: Randomised) -> None:
        """Take on masses, friction and gains."""
        m, base = self.m, self._base
        factor = r.mass.copy()
        factor[self._torso] = 1.0 + r.torso_kg / base.body_mass[self._torso]
        m.body_mass[:] = base.body_mass * factor
        m.body_inertia[:] = base.body_inertia * factor[:, None]
        m.body_ipos[:] = base.body_ipos
        m.body_ipos[self._torso] += r.torso_com_m
        m.geom_friction[:, 0] = base.geom_friction[:, 0] * r.friction
        m.dof_armature[:] = base.dof_armature * r.armature
        kp = (self._kp_stiff if r.stiff_wrists else self._kp) * r.kp
        kd = (self._kd_stiff if r.stiff_wrists else self._kd) * r.kd
        m.actuator_gainprm[:, 0], m.actuator_biasprm[:, 1], m.actuator_biasprm[:, 2] = kp, -kp, -kd
        mujoco.mj_setConst(m, self.data)

    def place(self, qpos: Array, qvel: Array) -> None:
        """Put it with its lowest sole on the floor."""
        mujoco.mj_resetData(self.m, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_kinematics(self.m, self.data)
        self.data.qpos[2] -= float(self.data.site_xpos[self._soles, 2].min()) + 5e-4
        self.data.ctrl[:] = self.data.qpos[7:]

    def push(self, force_w: Array) -> None:
        """A force on the pelvis until the next call, world frame [N], (3,)."""
        self.data.xfrc_applied[self._pelvis, :3] = force_w

    def key_sites(self) -> Array:
        """In the world at the last physics step's begin [m], (sites, 3)."""
        out: Array = self.data.site_xpos[self._keys]
        return out

    def soles(self) -> Array:
        """Sole sites likewise, (8, 3)."""
        out: Array = self.data.site_xpos[self._soles]
        return out

    def pelvis(self) -> Array:
        """Likewise, (3,)."""
        out: Array = self.data.xpos[self._pelvis]
        return out

    def key_sites_of(self, quat: Array, joints: Array) -> Array:
        """Key sites of a posture with the pelvis in the origin [m], (sites, 3)."""
        if self._ghost is None:
            self._ghost = mujoco.MjData(self._base)
        ghost = self._ghost
        ghost.qpos[:3], ghost.qpos[3:7], ghost.qpos[7:] = 0.0, quat, joints
        mujoco.mj_kinematics(self._base, ghost)
        out: Array = ghost.site_xpos[self._keys]
        return out

    def foresee(self, steps: int, targets: Sequence[Array]) -> tuple[Array, Array]:
        """qpos and qvel after `steps` physics steps as it is driven now and a policy tick of each of `targets` (29,)
        [rad]; the robot itself stays where it is."""
        m, data = self.m, self.data
        mujoco.mj_getState(m, data, self._kept, mujoco.mjtState.mjSTATE_INTEGRATION)
        if steps:
            mujoco.mj_step(m, data, steps)
        for target in targets:
            data.ctrl[:] = target
            mujoco.mj_step(m, data, SUBSTEPS)
        found = data.qpos.copy(), data.qvel.copy()
        mujoco.mj_setState(m, data, self._kept, mujoco.mjtState.mjSTATE_INTEGRATION)
        return found

    def advance(self, target: Array, delay: int) -> None:
        """One policy tick; `target` (29,) [rad] reaches the motors after `delay` physics steps."""
        if delay:
            mujoco.mj_step(self.m, self.data, delay)
        self.data.ctrl[:] = target
        if delay < SUBSTEPS:
            mujoco.mj_step(self.m, self.data, SUBSTEPS - delay)
