"""A robot's MJCF compiled into the physics of the virtual robot, with its perturbed constants and its indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from teleopd.robots.model import IntArray, RobotModel
from teleopd.robots.virtual.perturbation import Perturbation

PHYSICS_HZ = (200, 500, 1000, 2000)
PAYLOAD_RADIUS_M = 0.05
"""A payload is a solid ball of this radius: inertia 2/5 m r^2."""
Index = slice | IntArray


class ModelUnusable(ValueError):
    """The MJCF lacks something the virtual robot needs; says what."""


@dataclass(frozen=True, slots=True)
class Plant:
    """The compiled model and where in its arrays the robot's joints lie, in motor order."""

    m: Any
    """mujoco.MjModel; owned by one virtual robot, which writes actuator gains and free-joint damping."""
    qpos: Index
    dof: Index
    actuator: Index
    root_body: int
    accel: slice
    """Of the pelvis accelerometer in `sensordata`."""
    soles: IntArray
    """Sites under the feet."""
    imu_mat_b: Any
    """Rotation from the pelvis IMU site to the pelvis, (3, 3)."""


def build(model: RobotModel, physics_hz: int, perturbation: Perturbation) -> Plant:
    """Compile `model.mjcf` at `physics_hz` with the perturbed masses, friction and armature.

    Raises:
        ValueError: the rate is not one of `PHYSICS_HZ`.
        ModelUnusable: the MJCF cannot be compiled or lacks a joint, actuator, sensor or site.
    """
    if physics_hz not in PHYSICS_HZ:
        raise ValueError(f"physics_hz is {physics_hz}; valid: {', '.join(map(str, PHYSICS_HZ))}")
    try:
        spec = mujoco.MjSpec.from_file(str(model.mjcf))
        _add_payload(spec, model, perturbation)
        m = spec.compile()
    except (ValueError, OSError) as error:
        raise ModelUnusable(f"{model.mjcf} does not compile: {error}") from error
    m.opt.timestep = 1.0 / physics_hz
    m.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    plant = _locate(m, model)
    _own_actuators(m, plant, model)
    _perturb(m, plant, model, perturbation)
    return plant


def _add_payload(spec: Any, model: RobotModel, perturbation: Perturbation) -> None:
    """Hang a ball of the payload's mass on each wrist's key site."""
    for side, mass in zip(("left", "right"), perturbation.payload_kg, strict=True):
        if mass == 0.0:
            continue
        names = [name for name in model.key_sites if "wrist" in name and side in name]
        site = spec.site(names[0]) if names else None
        if site is None:
            raise ModelUnusable(f"{model.mjcf} has no {side} wrist key site to carry a payload")
        inertia = 0.4 * mass * PAYLOAD_RADIUS_M**2
        site.parent.add_body(
            name=f"payload_{side}", pos=site.pos, mass=mass, inertia=[inertia] * 3, ipos=[0.0, 0.0, 0.0],
            explicitinertial=True,
        )  # fmt: skip


def _id(m: Any, kind: str, name: str, model: RobotModel) -> int:
    found = mujoco.mj_name2id(m, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name)
    if found < 0:
        raise ModelUnusable(f"{model.mjcf} has no {kind} '{name}'")
    return int(found)


def _index(values: list[int]) -> Index:
    """A slice where the numbers are consecutive (cheaper in the loop), else an array."""
    if values == list(range(values[0], values[0] + len(values))):
        return slice(values[0], values[0] + len(values))
    return np.array(values, dtype=np.intp)


def _locate(m: Any, model: RobotModel) -> Plant:
    root = _id(m, "body", model.root_body, model)
    if m.body_jntnum[root] != 1 or m.jnt_type[m.body_jntadr[root]] != mujoco.mjtJoint.mjJNT_FREE:
        raise ModelUnusable(f"{model.mjcf}: body '{model.root_body}' has no free joint")
    if m.body_jntadr[root] != 0:
        raise ModelUnusable(f"{model.mjcf}: the free joint of '{model.root_body}' is not the first joint")
    joints = [_id(m, "joint", name, model) for name in model.joint_names]
    by_joint = {
        int(m.actuator_trnid[i, 0]): i for i in range(m.nu) if m.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_JOINT
    }
    missing = [name for name, joint in zip(model.joint_names, joints, strict=True) if joint not in by_joint]
    if missing or m.nu != model.n or m.na != 0:
        raise ModelUnusable(
            f"{model.mjcf} must have one stateless actuator a joint ({model.n}); it has {m.nu} with {m.na} states"
            + (f", none for {', '.join(missing)}" if missing else "")
        )
    site = _id(m, "site", model.imu_sites["pelvis"], model)
    if m.site_bodyid[site] != root:
        raise ModelUnusable(f"{model.mjcf}: site '{model.imu_sites['pelvis']}' is not on body '{model.root_body}'")
    accel = np.flatnonzero((m.sensor_type == mujoco.mjtSensor.mjSENS_ACCELEROMETER) & (m.sensor_objid == site))
    if len(accel) == 0:
        raise ModelUnusable(f"{model.mjcf} has no accelerometer on site '{model.imu_sites['pelvis']}'")
    adr = int(m.sensor_adr[accel[0]])
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, m.site_quat[site])
    return Plant(
        m=m,
        qpos=_index([int(m.jnt_qposadr[joint]) for joint in joints]),
        dof=_index([int(m.jnt_dofadr[joint]) for joint in joints]),
        actuator=_index([by_joint[joint] for joint in joints]),
        root_body=root,
        accel=slice(adr, adr + 3),
        soles=np.array([_id(m, "site", name, model) for name in model.sole_sites], dtype=np.intp),
        imu_mat_b=rotation.reshape(3, 3),
    )


def _own_actuators(m: Any, plant: Plant, model: RobotModel) -> None:
    """Turn every actuator into torque = ctrl - kp q - kd dq, with kp and kd in `actuator_biasprm`.

    The clip is put on the actuator as well as on the joint: only then does the implicit integrator drop the damping
    term of a saturated motor.
    """
    m.actuator_gaintype[:] = mujoco.mjtGain.mjGAIN_FIXED
    m.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
    m.actuator_gainprm[:] = 0.0
    m.actuator_gainprm[:, 0] = 1.0
    m.actuator_biasprm[:] = 0.0
    m.actuator_gear[:] = 0.0
    m.actuator_gear[:, 0] = 1.0
    m.actuator_ctrllimited[:] = 0
    tau_max = np.array(model.limits.tau_max, dtype=np.float64)
    for i in range(m.nu):
        joint = int(m.actuator_trnid[i, 0])
        if m.jnt_actfrclimited[joint]:
            m.actuator_forcerange[i] = m.jnt_actfrcrange[joint]
        else:
            motor = model.joint_names.index(mujoco.mj_id2name(m, mujoco.mjtObj.mjOBJ_JOINT, joint))
            m.actuator_forcerange[i] = -tau_max[motor], tau_max[motor]
    m.actuator_forcelimited[:] = 1


def _perturb(m: Any, plant: Plant, model: RobotModel, perturbation: Perturbation) -> None:
    m.geom_friction[:] *= perturbation.friction_scale
    m.dof_armature[plant.dof] *= perturbation.armature_scale
    m.body_mass[:] *= perturbation.mass_scale
    m.body_inertia[:] *= perturbation.mass_scale
    if perturbation.torso_mass_kg != 0.0:
        name = model.imu_sites.get("torso", model.imu_sites["pelvis"])
        body = int(m.site_bodyid[_id(m, "site", name, model)])
        before = float(m.body_mass[body])
        if before + perturbation.torso_mass_kg <= 0.0:
            raise ValueError(f"torso_mass_kg is {perturbation.torso_mass_kg}; the torso weighs only {before:.2f} kg")
        m.body_mass[body] = before + perturbation.torso_mass_kg
        m.body_inertia[body] *= m.body_mass[body] / before
    data = mujoco.MjData(m)
    mujoco.mj_setConst(m, data)
