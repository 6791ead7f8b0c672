"""Every robot's MJCF against its vendor's own files, and as a body that stands, walks, collides and is pushed about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from .vendor import ROBOTS, Published, at, bodies, compiled, contacts, joints, motor_at, without_meshes


@pytest.fixture(params=ROBOTS, ids=lambda robot: robot.model.name)
def robot(request: pytest.FixtureRequest) -> Published:
    return request.param


@pytest.fixture(params=[(robot, file) for robot in ROBOTS for file in robot.files], ids=lambda pair: pair[1])
def both(request: pytest.FixtureRequest, shared_data: Path) -> tuple[Any, Any]:
    """Our model and the vendor's."""
    robot, file = request.param
    return compiled(robot.model)[0], without_meshes(shared_data / file)


@pytest.mark.shared_data
def test_kinematics_equal_the_vendors_on_a_thousand_poses(both: tuple[Any, Any]) -> None:
    ours, vendor = both
    assert bodies(ours) == bodies(vendor) and len(bodies(ours)) == ours.nu + 1
    assert joints(ours) == joints(vendor) and len(joints(ours)) == ours.nu
    np.testing.assert_array_equal(ours.jnt_range[1:], vendor.jnt_range[1:])
    np.testing.assert_array_equal(ours.jnt_axis[1:], vendor.jnt_axis[1:])
    a, b = mujoco.MjData(ours), mujoco.MjData(vendor)
    rng = np.random.default_rng(20)
    low, high = vendor.jnt_range[1:].T
    for _ in range(1000):
        a.qpos[:3] = rng.uniform(-2, 2, 3)
        a.qpos[3:7] = rng.normal(size=4)
        a.qpos[3:7] /= np.linalg.norm(a.qpos[3:7])
        a.qpos[7:] = rng.uniform(low, high)
        b.qpos[:] = a.qpos
        mujoco.mj_kinematics(ours, a)
        mujoco.mj_kinematics(vendor, b)
        assert np.abs(a.xpos - b.xpos).max() < 1e-6
        assert np.abs(a.xmat - b.xmat).max() < 1e-6


@pytest.mark.shared_data
def test_masses_and_inertias_equal_the_vendors(both: tuple[Any, Any]) -> None:
    ours, vendor = both
    for name in bodies(vendor):
        a, b = ours.body(name), vendor.body(name)
        assert abs(a.mass[0] - b.mass[0]) < 1e-3, name
        np.testing.assert_allclose(a.inertia, b.inertia, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(a.ipos, b.ipos, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(a.iquat, b.iquat, atol=1e-9, err_msg=name)


def test_it_weighs_what_unitree_says(robot: Published) -> None:
    m, _ = compiled(robot.model)
    assert m.body_mass.sum() == pytest.approx(robot.weighs_kg, abs=1e-3)


def test_gains_can_be_retuned_between_steps_and_torque_is_clipped(robot: Published) -> None:
    """In motor order on the actuators, whatever order the joints have."""
    m, d = compiled(robot.model)
    rng = np.random.default_rng(3)
    n, qpos, tau_max = robot.model.n, motor_at(m, robot.model), robot.model.limits.tau_max
    kp, kd = rng.uniform(0, 200, n), rng.uniform(0, 8, n)
    d.qvel[6:] = rng.uniform(-2, 2, n)
    d.ctrl[:] = robot.model.q_stand + rng.uniform(-1, 1, n)
    m.actuator_gainprm[:, 0], m.actuator_biasprm[:, 1], m.actuator_biasprm[:, 2] = kp, -kp, -kd
    mujoco.mj_forward(m, d)
    free = kp * (d.ctrl - d.qpos[qpos]) - kd * d.qvel[qpos - 1]
    wanted = np.clip(free, -tau_max, tau_max)
    assert (wanted != free).any() and (wanted == free).any()
    np.testing.assert_allclose(d.qfrc_actuator[qpos - 1], wanted, atol=1e-12)


def test_standing_rests_on_the_eight_soles_only(robot: Published) -> None:
    m, d = compiled(robot.model)
    mujoco.mj_step(m, d, nstep=150)
    soles = {frozenset(("floor", f"{side}_sole_{i}")) for side in ("left", "right") for i in (1, 2, 3, 4)}
    assert set(contacts(m, d)) == soles == {frozenset(("floor", name)) for name in robot.model.sole_sites}
    assert min(c.dist for c in d.contact) > -2e-3
    pushes = []
    for _ in range(350):
        mujoco.mj_step(m, d)
        force = np.zeros((d.ncon, 6))
        for i in range(d.ncon):
            mujoco.mj_contactForce(m, d, i, force[i])
        pushes.append(force[:, 0].sum())
    assert np.mean(pushes) == pytest.approx(robot.weighs_kg * 9.81, rel=0.05)


def test_walking_touches_only_the_floor(robot: Published) -> None:
    """Legs and swinging arms through the range of an ordinary gait: no link meets another."""
    m, d = compiled(robot.model)
    d.qpos[2] = 2.0
    for phase in np.linspace(0.0, 2 * np.pi, 60):
        for side, swing in (("left", np.sin(phase)), ("right", -np.sin(phase))):
            d.qpos[at(m, f"{side}_hip_pitch")] = -0.25 - 0.45 * swing
            d.qpos[at(m, f"{side}_knee")] = 0.55 + 0.45 * swing
            d.qpos[at(m, f"{side}_shoulder_pitch")] = 0.5 * swing
        mujoco.mj_forward(m, d)
        assert contacts(m, d) == []


@pytest.mark.parametrize("which", range(3))
def test_what_would_collide_does(robot: Published, which: int) -> None:
    posture, wanted = robot.collisions[which]
    m, d = compiled(robot.model)
    d.qpos[2] = 2.0
    for name, value in posture.items():
        d.qpos[at(m, name)] = value
    mujoco.mj_forward(m, d)
    assert frozenset(wanted) in contacts(m, d)


def test_left_and_right_shapes_mirror_each_other(robot: Published) -> None:
    """In the symmetric zero pose; the shoulders of the vendor's G1 differ by 10 micrometres."""
    m, d = compiled(robot.model)
    d.qpos[7:] = 0.0
    mujoco.mj_kinematics(m, d)
    for what, count, pos in (("geom", m.ngeom, d.geom_xpos), ("site", m.nsite, d.site_xpos)):
        named = {getattr(m, what)(i).name: pos[i] for i in range(count) if getattr(m, what)(i).name}
        lefts = [name for name in named if "left" in name]
        assert len(lefts) >= 9
        for name in lefts:
            other = name.replace("left", "right")
            np.testing.assert_allclose(named[other] * [1, -1, 1], named[name], atol=1e-4, err_msg=name)


def test_sites_lie_where_the_vendor_puts_them(robot: Published) -> None:
    m, _ = compiled(robot.model)
    for name, (body, pos) in robot.sites.items():
        site = m.site(name)
        assert m.body(site.bodyid[0]).name == body
        np.testing.assert_allclose(site.pos, pos, atol=1e-12)
        np.testing.assert_allclose(site.quat, [1, 0, 0, 0])


@pytest.mark.parametrize("step_s", [0.001, 0.002, 0.005])
def test_wild_targets_neither_explode_nor_leave_the_ranges(robot: Published, step_s: float) -> None:
    """Full torque whips an H1's forearm through its soft stop at 100 rad/s and more; it must come back."""
    m, d = compiled(robot.model, step_s)
    m.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    rng = np.random.default_rng(1)
    low, high = m.jnt_range[1:].T
    beyond = speed = 0.0
    for _ in range(10):
        d.ctrl[:] = rng.uniform(robot.model.limits.q_lower, robot.model.limits.q_upper)
        for _ in range(round(0.2 / step_s)):
            mujoco.mj_step(m, d)
            beyond = max(beyond, float(np.maximum(d.qpos[7:] - high, low - d.qpos[7:]).max()))
            speed = max(speed, float(np.abs(d.qvel).max()))
    assert not any(warning.number for warning in d.warning)
    assert np.isfinite(d.qpos).all()
    assert beyond < robot.wildest[0] and speed < robot.wildest[1]
