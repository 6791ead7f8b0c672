"""Every registered robot: its model and its MJCF agree with each other and with what the others assume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import mujoco
import numpy as np
import pytest

from teleopd.launch import registry
from teleopd.robots.model import JointLimits, RobotModel, UnknownJoint, WrongHardware

ROBOTS = registry.names("robot")
NUMERIC_FIELDS = (
    "limits_by_mode_machine", "default_mode_machine", "kp_ready", "kd_ready", "kd_damp", "q_stand", "stand_height_m",
    "wire_slot",
)  # fmt: skip
LIMIT_FIELDS = ("q_lower", "q_upper", "dq_max", "tau_max")
SLOTS = {"hg": 35, "go": 20}


@cache
def robot(name: str) -> tuple[RobotModel, Any]:
    model = registry.load("robot", name)
    return model, mujoco.MjModel.from_xml_path(str(model.mjcf))


@pytest.fixture(params=ROBOTS)
def model(request: pytest.FixtureRequest) -> RobotModel:
    return robot(request.param)[0]


@pytest.fixture
def mj(model: RobotModel) -> Any:
    return robot(model.name)[1]


@pytest.fixture
def standing(model: RobotModel, mj: Any) -> Any:
    """The robot in its stand pose, pelvis at `stand_height_m`, heading along x."""
    data = mujoco.MjData(mj)
    data.qpos[:7] = 0.0, 0.0, model.stand_height_m, 1.0, 0.0, 0.0, 0.0
    data.qpos[joints(model, mj).qpos] = model.q_stand
    mujoco.mj_forward(mj, data)
    return data


class Joints(NamedTuple):
    """Where the joints lie in MuJoCo's arrays, in motor order, each (n,)."""

    joint: Any
    qpos: Any
    dof: Any


def joints(model: RobotModel, mj: Any) -> Joints:
    """By name: no more than the names is promised."""
    ids = np.array([mj.joint(name).id for name in model.joint_names])
    return Joints(ids, mj.jnt_qposadr[ids], mj.jnt_dofadr[ids])


def name_of(mj: Any, kind: Any, i: int) -> str:
    return str(mujoco.mj_id2name(mj, kind, i))


def test_some_robot_is_registered() -> None:
    assert "unitree_g1" in ROBOTS


def test_is_a_robot_model_of_the_registered_name(model: RobotModel) -> None:
    assert isinstance(model, RobotModel)
    assert registry.load("robot", model.name) is model


def test_the_free_joint_comes_first_and_carries_the_root_body(model: RobotModel, mj: Any) -> None:
    assert mj.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    assert list(mj.jnt_type[1:]) == [mujoco.mjtJoint.mjJNT_HINGE] * model.n
    assert name_of(mj, mujoco.mjtObj.mjOBJ_BODY, mj.jnt_bodyid[0]) == model.root_body


def test_actuators_stand_in_motor_order_and_each_drives_the_joint_of_its_name(model: RobotModel, mj: Any) -> None:
    """Joints may stand as the tree has them: that order is the bodies', and not every vendor's motors follow it."""
    assert len(set(model.joint_names)) == model.n
    assert sorted(name_of(mj, mujoco.mjtObj.mjOBJ_JOINT, i) for i in range(1, mj.njnt)) == sorted(model.joint_names)
    assert tuple(name_of(mj, mujoco.mjtObj.mjOBJ_ACTUATOR, i) for i in range(mj.nu)) == model.joint_names
    assert (mj.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT).all() and mj.na == 0
    driven = tuple(name_of(mj, mujoco.mjtObj.mjOBJ_JOINT, i) for i in mj.actuator_trnid[:, 0])
    assert driven == model.joint_names


def test_limits_are_finite_and_ordered(model: RobotModel) -> None:
    assert model.default_mode_machine in model.limits_by_mode_machine
    for limits in model.limits_by_mode_machine.values():
        for field in LIMIT_FIELDS:
            array = getattr(limits, field)
            assert array.shape == (model.n,) and array.dtype == np.float64 and np.isfinite(array).all(), field
        assert (limits.q_lower < limits.q_upper).all()
        assert (limits.dq_max > 0).all() and (limits.tau_max > 0).all()


def test_the_mjcf_has_the_limits_of_the_default_variant(model: RobotModel, mj: Any) -> None:
    assert mj.jnt_limited[1:].all() and mj.jnt_actfrclimited[1:].all()
    at = joints(model, mj).joint
    np.testing.assert_allclose(mj.jnt_range[at, 0], model.limits.q_lower, atol=5e-6)
    np.testing.assert_allclose(mj.jnt_range[at, 1], model.limits.q_upper, atol=5e-6)
    np.testing.assert_array_equal(mj.jnt_actfrcrange[at, 0], -model.limits.tau_max)
    np.testing.assert_array_equal(mj.jnt_actfrcrange[at, 1], model.limits.tau_max)


def test_an_unlisted_variant_is_refused(model: RobotModel) -> None:
    with pytest.raises(WrongHardware) as caught:
        model.limits_for(0)
    known = sorted(model.limits_by_mode_machine)
    assert str(caught.value) == f"{model.name} reports mode_machine 0, for which there are no limits; known: {known}"


def test_an_unknown_joint_is_named_with_the_valid_ones(model: RobotModel) -> None:
    with pytest.raises(UnknownJoint) as caught:
        model.indices(["tail_joint"])
    valid = ", ".join(model.joint_names)
    assert str(caught.value) == f"{model.name} has no joint 'tail_joint'; its joints are: {valid}"


def test_gains_hold_and_damp(model: RobotModel) -> None:
    for gains in (model.kp_ready, model.kd_ready, model.kd_damp):
        assert gains.shape == (model.n,) and np.isfinite(gains).all() and (gains > 0).all()


def test_the_stand_pose_lies_inside_every_variants_limits(model: RobotModel) -> None:
    assert model.q_stand.shape == (model.n,)
    for limits in model.limits_by_mode_machine.values():
        assert (model.q_stand > limits.q_lower).all() and (model.q_stand < limits.q_upper).all()


def test_the_lowest_sole_touches_the_floor_in_the_stand_pose(model: RobotModel, standing: Any) -> None:
    lowest = min(standing.site(name).xpos[2] for name in model.sole_sites)
    assert abs(lowest) <= 2e-3


def test_no_link_enters_another_in_the_stand_pose(mj: Any, standing: Any) -> None:
    floor = mj.geom_bodyid == 0
    deep = [
        (mj.geom(c.geom1).name, mj.geom(c.geom2).name, c.dist)
        for c in standing.contact
        if c.dist < -5e-3 and not floor[c.geom1] and not floor[c.geom2]
    ]
    assert deep == []


def test_sites_exist_once_and_where_they_belong(model: RobotModel, mj: Any) -> None:
    sites = {name_of(mj, mujoco.mjtObj.mjOBJ_SITE, i): int(mj.site_bodyid[i]) for i in range(mj.nsite)}
    wanted = (*model.key_sites, *model.sole_sites, *model.imu_sites.values())
    assert [name for name in wanted if name not in sites] == []
    assert len(set(wanted)) == len(wanted)
    root = int(mj.body(model.root_body).id)
    assert sites[model.imu_sites["pelvis"]] == root
    assert len(model.key_sites) == 9
    assert len({sites[name] for name in model.key_sites}) == 9
    left, right = ({sites[name] for name in model.sole_sites[at]} for at in (slice(0, 4), slice(4, 8)))
    assert len(model.sole_sites) == 8 and len(left) == 1 and len(right) == 1 and left != right


def test_each_imu_site_measures_orientation_rate_and_acceleration(model: RobotModel, mj: Any) -> None:
    kinds = {mujoco.mjtSensor.mjSENS_FRAMEQUAT, mujoco.mjtSensor.mjSENS_GYRO, mujoco.mjtSensor.mjSENS_ACCELEROMETER}
    for name in model.imu_sites.values():
        site = mj.site(name).id
        assert {mj.sensor_type[i] for i in range(mj.nsensor) if mj.sensor_objid[i] == site} >= kinds, name


def test_every_moving_body_has_mass_and_every_joint_a_rotor(model: RobotModel, mj: Any) -> None:
    assert (mj.body_mass[1:] > 0).all() and (mj.body_inertia[1:] > 0).all()
    assert (mj.dof_armature[6:] > 0).all()
    assert (mj.dof_armature[:6] == 0).all()


def test_what_is_seen_touches_nothing_and_what_touches_is_not_seen(mj: Any) -> None:
    robot_geoms = mj.geom_bodyid != 0
    seen = robot_geoms & (mj.geom_group <= 2)
    touching = (mj.geom_contype | mj.geom_conaffinity) != 0
    assert not (seen & touching).any()
    assert (mj.geom_group[robot_geoms & touching] == 3).all()
    assert mj.nmesh == 0


def test_every_touching_shape_touches_the_floor(mj: Any) -> None:
    floors = [i for i in range(mj.ngeom) if mj.geom_type[i] == mujoco.mjtGeom.mjGEOM_PLANE]
    assert len(floors) == 1
    bits = int(mj.geom_contype[floors[0]])
    touching = (mj.geom_bodyid != 0) & (mj.geom_group == 3)
    assert touching.sum() > 8
    assert (mj.geom_conaffinity[touching] & bits).all()


def test_the_motors_are_pd_actuators_with_the_ready_gains(model: RobotModel, mj: Any) -> None:
    np.testing.assert_array_equal(mj.actuator_gainprm[:, 0], model.kp_ready)
    np.testing.assert_array_equal(mj.actuator_biasprm[:, 1], -model.kp_ready)
    np.testing.assert_array_equal(mj.actuator_biasprm[:, 2], -model.kd_ready)
    assert not mj.actuator_ctrllimited.any(), "policies ask for positions outside the range to obtain torque"


def test_the_stand_keyframe_is_the_models_stand_pose(model: RobotModel, mj: Any) -> None:
    key = mj.key("stand")
    np.testing.assert_allclose(key.qpos[:7], [0, 0, model.stand_height_m, 1, 0, 0, 0])
    np.testing.assert_allclose(key.qpos[joints(model, mj).qpos], model.q_stand)
    np.testing.assert_allclose(key.ctrl, model.q_stand)


def test_each_joint_has_its_own_wire_slot(model: RobotModel) -> None:
    assert len(model.wire_slot) == model.n == len(set(model.wire_slot))
    assert all(0 <= slot < SLOTS[model.wire] for slot in model.wire_slot)


@pytest.mark.parametrize("field", NUMERIC_FIELDS)
def test_every_number_has_a_source(model: RobotModel, field: str) -> None:
    assert model.provenance[field].strip()


def test_the_arms_that_are_lent_are_joints_of_it_and_the_weight_has_a_slot_of_its_own(model: RobotModel) -> None:
    if model.arms is None:
        return
    taken = model.indices(model.arms.joint_names)
    assert 0 < len(taken) < model.n and model.provenance["arms"].strip()
    assert not any(part in name for name in model.arms.joint_names for part in ("hip", "knee", "ankle"))
    assert model.arms.weight_slot not in model.wire_slot and 0 <= model.arms.weight_slot < SLOTS[model.wire]


def test_nothing_of_it_can_be_written_to(model: RobotModel) -> None:
    arrays = [model.kp_ready, model.kd_ready, model.kd_damp, model.q_stand]
    for limits in model.limits_by_mode_machine.values():
        assert isinstance(limits, JointLimits)
        arrays += [getattr(limits, field) for field in LIMIT_FIELDS]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    for mapping in (model.limits_by_mode_machine, model.imu_sites, model.provenance):
        assert isinstance(mapping, Mapping)
        with pytest.raises(TypeError):
            mapping["new"] = None  # type: ignore[index]


@pytest.mark.parametrize("step_ms", [1, 2, 5])
def test_the_ready_gains_are_stable_while_the_pelvis_is_held(model: RobotModel, step_ms: int) -> None:
    """With the pelvis held in the air, a step to the stand pose from 0.3 rad away has died out after four seconds.

    The published gains leave an 11 kg leg in the air nearly undamped (ratio 0.06); on the ground, and in the ramp that
    READY makes of such a step, it does not swing.
    """
    mj = mujoco.MjModel.from_xml_path(str(model.mjcf))
    mj.opt.timestep = step_ms * 1e-3
    data = mujoco.MjData(mj)
    hold = np.array([0.0, 0.0, model.stand_height_m + 0.5, 1.0, 0.0, 0.0, 0.0])
    at = joints(model, mj)
    data.qpos[:7] = hold
    data.qpos[at.qpos] = np.clip(model.q_stand + 0.3, model.limits.q_lower, model.limits.q_upper)
    data.ctrl[:] = model.q_stand
    for _ in range(4000 // step_ms):
        mujoco.mj_step(mj, data)
        data.qpos[:7], data.qvel[:6] = hold, 0.0
    assert np.abs(data.qvel[6:]).max() < 0.05
    # A PD without gravity compensation sags by torque / kp; nothing here carries more than 12 N m when hanging.
    assert (np.abs(data.qpos[at.qpos] - model.q_stand) < 12.0 / model.kp_ready).all()
