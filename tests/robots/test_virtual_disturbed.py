"""What is wrong with a virtual robot, against its size computed by hand: delays, pushes, masses, noise."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from tests.robots.conftest import HIGH, MASS_KG, G, Z, stand

from teleopd.robots.model import Array, RobotModel
from teleopd.robots.virtual.perturbation import Perturbation, Push, RandomPushes
from teleopd.robots.virtual.robot import VirtualRobot


def momentum(robot: VirtualRobot) -> Array:
    """Linear momentum of the whole robot [N s], (3,)."""
    mujoco.mj_forward(robot.mj_model, robot.mj_data)
    mujoco.mj_subtreeVel(robot.mj_model, robot.mj_data)
    return robot.mj_data.subtree_linvel[0] * robot.mass_kg


@pytest.mark.parametrize(("physics_hz", "delay_ms"), [(1000, 0), (1000, 1), (1000, 37), (500, 20), (200, 30)])
def test_actuator_delay_is_exact(toy: RobotModel, physics_hz: int, delay_ms: int):
    robot = VirtualRobot(toy, physics_hz=physics_hz, perturbation=Perturbation(actuator_delay_ms=(delay_ms, delay_ms)))
    robot.step(0.1)
    robot.command(Z, Z, np.full(7, 3.0), Z, Z)
    waited = 0
    while waited < 100:
        robot.advance(1)
        if robot.low_state(0).tau[0] == 3.0:
            break
        waited += 1
    assert waited * 1000 / physics_hz == delay_ms


def test_delayed_commands_keep_order_and_none_is_lost(toy: RobotModel):
    robot = VirtualRobot(toy, perturbation=Perturbation(actuator_delay_ms=(18.0, 30.0)), seed=3)
    shown = []
    for i in range(400):
        if i % 2 == 0:
            robot.command(Z, Z, np.full(7, float(i + 1)) * 0.01, Z, Z)
        robot.advance(1)
        shown.append(robot.low_state(0).tau[4] * 100 - 1)
    sent_at = {i: i for i in range(0, 400, 2)}
    heard = [(step, round(value)) for step, value in enumerate(shown) if round(value) in sent_at and value > -1]
    values = [value for _, value in heard]
    assert values == sorted(values), "FIFO"
    first = {value: step for step, value in reversed(heard)}
    delays = [step - value for value, step in first.items() if value > 0]
    assert min(delays) >= 18 and max(delays) <= 30 and len(set(delays)) > 5
    assert len(robot._on_the_way) <= 16, "what is on its way is bounded by delay and rate"


def test_commands_faster_than_physics_do_not_queue_up(toy: RobotModel):
    robot = VirtualRobot(toy, perturbation=Perturbation(actuator_delay_ms=(20.0, 20.0)))
    for _ in range(1000):
        stand(robot)
    assert len(robot._on_the_way) == 1


@pytest.mark.parametrize("delay_ms", [0, 1, 7])
def test_sensor_delay_is_exact(toy: RobotModel, delay_ms: int):
    robot = VirtualRobot(toy, perturbation=Perturbation(sensor_delay_ms=delay_ms), odometry=True)
    robot.reset(root_pos_w=HIGH, hanging=False)
    heights = [50.0]
    for _ in range(30):
        robot.advance(1)
        heights.append(robot.root_height)
    state = robot.low_state(77)
    assert state.root_pos_w[2] == heights[30 - delay_ms]
    assert state.t_ns == 77, "the stamp is that of the receipt"


@pytest.mark.parametrize("delay_ms", [0, 3])
def test_delay_does_not_depend_on_how_physics_is_batched(toy: RobotModel, delay_ms: int):
    shown = []
    for batch in (1, 2, 10):
        robot = VirtualRobot(toy, perturbation=Perturbation(sensor_delay_ms=delay_ms, q_noise_rad=0.01), seed=4)
        stand(robot, q=np.full(7, 0.2))
        for _ in range(20 // batch):
            robot.advance(batch)
        shown.append(robot.low_state(0).q.tobytes())
    assert len(set(shown)) == 1


def test_push_changes_the_momentum_by_force_times_time(toy: RobotModel):
    push = Push(at_s=0.1, duration_s=0.25, force_w=(40.0, -30.0, 20.0))
    robot = VirtualRobot(toy, perturbation=Perturbation(pushes=(push,)))
    robot.reset(root_pos_w=HIGH, hanging=False)
    stand(robot)
    robot.step(0.1)
    assert not robot.push_active
    robot.step(0.2)
    assert robot.push_active
    robot.step(0.2)
    assert not robot.push_active
    expected = np.array(push.force_w) * push.duration_s + [0.0, 0.0, -MASS_KG * G * 0.5]
    # equal up to the integrator's first order in the step while the robot turns under the push
    assert momentum(robot) == pytest.approx(expected, abs=0.05)


def test_random_pushes_are_seeded_and_within_their_ranges(toy: RobotModel):
    ranges = RandomPushes(interval_s=(0.1, 0.2), force_n=(50.0, 60.0), duration_s=(0.02, 0.04))

    def forces(seed: int) -> list[tuple[float, float, float]]:
        robot = VirtualRobot(toy, perturbation=Perturbation(random_pushes=ranges), seed=seed)
        robot.reset(root_pos_w=HIGH, hanging=False)
        out = []
        for _ in range(600):
            robot.advance(1)
            out.append(tuple(robot.mj_data.xfrc_applied[robot._plant.root_body, :3]))
        return out

    first = forces(1)
    assert first == forces(1) and first != forces(2)
    sizes = [np.linalg.norm(force) for force in first if force != (0.0, 0.0, 0.0)]
    assert len(sizes) >= 2 * 20 and min(sizes) >= 50.0 and max(sizes) <= 60.0
    assert all(force[2] == 0.0 for force in first)


def test_gain_scale_scales_the_torque(toy: RobotModel):
    robot = VirtualRobot(toy, perturbation=Perturbation(kp_scale=0.7, kd_scale=0.5))
    robot.command(np.full(7, 0.1), np.full(7, 0.3), np.full(7, 0.2), np.full(7, 10.0), np.full(7, 2.0))
    robot.advance(1)
    assert robot.low_state(0).tau == pytest.approx(np.full(7, 7.0 * 0.1 + 1.0 * 0.3 + 0.2), abs=1e-9)


def test_masses_friction_and_armature_are_what_was_asked_for(toy: RobotModel):
    nominal = VirtualRobot(toy)
    changed = VirtualRobot(
        toy,
        perturbation=Perturbation(
            payload_kg=(0.5, 1.5), mass_scale=1.1, torso_mass_kg=2.0, friction_scale=0.5, armature_scale=3.0
        ),
    )
    assert changed.mass_kg == pytest.approx((MASS_KG + 2.0) * 1.1 + 2.0)
    assert changed.mj_model.geom_friction == pytest.approx(0.5 * nominal.mj_model.geom_friction)
    assert changed.mj_model.dof_armature[6:] == pytest.approx(3.0 * nominal.mj_model.dof_armature[6:])
    changed.reset(root_pos_w=HIGH)
    stand(changed)
    changed.step(3.0)
    assert changed.gantry_force_w[2] == pytest.approx(changed.mass_kg * G, abs=0.5)


def test_payload_hangs_at_the_wrist(toy: RobotModel):
    robot = VirtualRobot(toy, perturbation=Perturbation(payload_kg=(0.0, 2.0)))
    level = Z.copy()
    level[5:] = -np.pi / 2
    robot.reset(q=level, root_pos_w=HIGH)
    force = robot.mj_data.qfrc_bias[robot._plant.dof]
    assert force[5] == pytest.approx(-1.0 * G * 0.2, rel=1e-6)
    assert force[6] == pytest.approx(-(1.0 * G * 0.2 + 2.0 * G * 0.4), rel=1e-6)


def test_noise_has_the_size_asked_for_and_stays_out_of_the_physics(toy: RobotModel):
    asked = Perturbation(
        gyro_noise_rad_s=0.02, accel_noise_m_s2=0.1, rp_noise_rad=0.005, q_noise_rad=0.01, dq_noise_rad_s=0.05
    )
    noisy, clean = VirtualRobot(toy, perturbation=asked, seed=1), VirtualRobot(toy)
    errors: dict[str, list[Array]] = {name: [] for name in ("q", "dq", "gyro_b", "accel_b")}
    tilts = []
    for _ in range(1000):
        noisy.advance(1)
        clean.advance(1)
        got, true = noisy.low_state(0), clean.low_state(0)
        for name, values in errors.items():
            values.append(getattr(got, name) - getattr(true, name))
        error = np.zeros(3)
        mujoco.mju_subQuat(error, got.quat_w, true.quat_w)
        tilts.append(error)
        assert np.linalg.norm(got.quat_w) == pytest.approx(1.0)
    assert noisy.mj_data.qpos.tobytes() == clean.mj_data.qpos.tobytes()
    for name, sigma in (("q", 0.01), ("dq", 0.05), ("gyro_b", 0.02), ("accel_b", 0.1)):
        assert np.std(errors[name]) == pytest.approx(sigma, rel=0.08), name
    assert np.std(np.array(tilts)[:, :2]) == pytest.approx(0.005, rel=0.08)
    assert np.abs(np.array(tilts)[:, 2]).max() < 1e-9, "yaw is not disturbed"
