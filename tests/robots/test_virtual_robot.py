"""The virtual robot against mechanics computed by hand: free fall, weight, PD, delay, impulse, determinism."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import Array, RobotModel
from teleopd.robots.virtual.gantry import GantryMode
from teleopd.robots.virtual.perturbation import Perturbation, Push, RandomPushes
from teleopd.robots.virtual.plant import ModelUnusable
from teleopd.robots.virtual.robot import Silence, VirtualRobot
from teleopd.robots.virtual.thermal import AMBIENT_C, RISE_AT_FULL_TORQUE_C, TIME_CONSTANT_S, Thermal

G = 9.81
MASS_KG = 8.0 + 2 * (3.0 + 2.0) + 10.0 + 2 * 1.0
HIGH = np.array([0.0, 0.0, 50.0])
Z = np.zeros(7)


def stand(robot: VirtualRobot, kp: float = 200.0, kd: float = 5.0, q: Array = Z) -> None:
    assert robot.command(q, Z, Z, np.full(7, kp), np.full(7, kd))


def momentum(robot: VirtualRobot) -> Array:
    """Linear momentum of the whole robot [N s], (3,)."""
    mujoco.mj_forward(robot.mj_model, robot.mj_data)
    mujoco.mj_subtreeVel(robot.mj_model, robot.mj_data)
    return robot.mj_data.subtree_linvel[0] * robot.mass_kg


# -- gravity and the gantry


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
def test_free_fall(toy: RobotModel, physics_hz: int):
    robot = VirtualRobot(toy, physics_hz=physics_hz, odometry=True)
    robot.reset(root_pos_w=HIGH, hanging=False)
    robot.step(1.0)
    state = robot.low_state(5)
    assert state.root_lin_vel_w == pytest.approx([0.0, 0.0, -G], abs=1e-9)
    # semi-implicit: n steps fall g h^2 n (n + 1) / 2
    h = 1.0 / physics_hz
    assert 50.0 - state.root_pos_w[2] == pytest.approx(G * h * h * physics_hz * (physics_hz + 1) / 2, rel=1e-9)
    assert state.accel_b == pytest.approx([0.0, 0.0, 0.0], abs=1e-9), "an accelerometer in free fall shows nothing"
    assert robot.gantry_force_w.tolist() == [0.0, 0.0, 0.0]


def test_starts_hanging_with_the_feet_just_touching(toy: RobotModel):
    robot = VirtualRobot(toy)
    assert robot.gantry.mode is GantryMode.HANG
    assert robot.mj_data.site_xpos[robot._plant.soles, 2].min() == pytest.approx(0.0, abs=1e-12)
    assert robot.root_height == pytest.approx(0.72)
    assert robot.mass_kg == MASS_KG


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
@pytest.mark.parametrize("commanded", [True, False], ids=["standing", "damped"])
def test_gantry_carries_exactly_the_weight_and_stays_calm(toy: RobotModel, physics_hz: int, commanded: bool):
    robot = VirtualRobot(toy, physics_hz=physics_hz)
    robot.reset(root_pos_w=np.array([0.0, 0.0, 1.0]))  # feet in the air
    if commanded:
        stand(robot)
    robot.step(3.0)
    assert robot.gantry_force_w == pytest.approx([0.0, 0.0, MASS_KG * G], abs=0.5)
    assert robot.root_height == pytest.approx(1.0, abs=1e-3) and robot.up_z > 0.999
    assert robot.low_state(1).accel_b == pytest.approx([0.0, 0.0, G], abs=0.05)
    assert not robot.fallen and not robot.diverged


def test_lowering_hands_the_weight_to_the_feet_then_lets_go_completely(toy: RobotModel):
    robot = VirtualRobot(toy)
    stand(robot)
    robot.step(1.0)
    robot.gantry.lower(2.0)
    robot.step(1.0)
    assert robot.gantry.mode is GantryMode.LOWER
    assert robot.gantry.support == pytest.approx(0.5)
    assert robot.gantry_force_w[2] == pytest.approx(0.5 * MASS_KG * G, rel=0.1)
    robot.step(1.0)
    assert robot.gantry.mode is GantryMode.RELEASE
    robot.step(0.001)
    assert robot.gantry_force_w.tolist() == [0.0] * 3
    assert robot.mj_data.qfrc_applied.tolist() == [0.0] * 13
    assert robot.mj_model.dof_damping[:6].tolist() == [0.0] * 6


def test_release_is_immediate_and_lowering_after_it_does_nothing(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(root_pos_w=HIGH)
    robot.gantry.release()
    robot.gantry.lower(1.0)
    robot.step(0.5)
    assert robot.mj_data.qvel[2] == pytest.approx(-0.5 * G)


def test_gantry_picks_up_a_fallen_robot_where_it_lies_without_throwing_it(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(hanging=False)
    robot.push((150.0, 0.0, 0.0), 0.3)
    robot.step(3.0)
    assert robot.fallen
    x = float(robot.mj_data.qpos[0])
    assert abs(x) > 0.1
    stand(robot)
    robot.hang()
    fastest = 0.0
    for _ in range(60):
        robot.step(0.1)
        fastest = max(fastest, float(np.linalg.norm(robot.mj_data.qvel[:3])))
    assert fastest < 1.5
    assert robot.mj_data.qpos[:3] == pytest.approx([x, robot.mj_data.qpos[1], 0.74], abs=0.005)
    assert robot.up_z > 0.99 and not robot.fallen


# -- motors


def test_motor_law_and_saturation(toy: RobotModel):
    robot = VirtualRobot(toy)
    q, dq, tau = np.linspace(-0.3, 0.3, 7), np.linspace(0.5, -0.5, 7), np.linspace(-1.0, -2.0, 7)
    kp, kd = np.linspace(10.0, 70.0, 7), np.linspace(1.0, 3.0, 7)
    robot.step(0.05)
    position, velocity = robot.mj_data.qpos[7:].copy(), robot.mj_data.qvel[6:].copy()
    robot.command(q, dq, tau, kp, kd)
    robot.advance(1)
    assert robot.low_state(0).tau == pytest.approx(kp * (q - position) + kd * (dq - velocity) + tau, abs=1e-9)
    robot.command(q, dq, np.full(7, 1000.0), kp, kd)
    robot.advance(1)
    assert robot.low_state(0).tau.tolist() == [100.0, 100.0, 100.0, 100.0, 60.0, 20.0, 20.0]


def test_a_saturated_motor_accelerates_by_its_torque_alone(toy: RobotModel):
    """The damping gain of a clipped motor must not act through the implicit integrator."""
    speeds = []
    for kd in (0.0, 50.0):
        robot = VirtualRobot(toy)
        robot.reset(root_pos_w=HIGH, hanging=False)
        robot.command(Z, Z, np.full(7, 1e5), Z, np.full(7, kd))
        robot.advance(5)
        speeds.append(robot.low_state(0).dq)
    assert speeds[1] == pytest.approx(speeds[0], rel=1e-12)


def test_pd_holds_against_gravity_with_the_offset_of_its_stiffness(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.reset(root_pos_w=np.array([0.0, 0.0, 2.0]))
    wanted = Z.copy()
    wanted[5] = -np.pi / 2 + 0.0  # left arm forwards, level: 1 kg at 0.2 m
    kp = np.full(7, 200.0)
    robot.command(wanted, Z, Z, kp, np.full(7, 5.0))
    robot.step(4.0)
    state = robot.low_state(0)
    sag = state.q[5] - wanted[5]
    assert state.tau[5] == pytest.approx(-200.0 * sag, abs=1e-3)
    assert abs(state.tau[5]) == pytest.approx(1.0 * G * 0.2 * abs(np.sin(state.q[5])), rel=1e-2)


def test_hold_law_keeps_the_last_command_and_silence_can_damp_or_go_limp(toy: RobotModel):
    for silence, gains in ((Silence.HOLD, (200.0, 5.0)), (Silence.DAMP, (0.0, 8.0)), (Silence.LIMP, (0.0, 0.0))):
        robot = VirtualRobot(toy, silence=silence, silence_s=0.1)
        robot.step(1.0)
        assert robot.mj_model.actuator_biasprm[0, 2] == -8.0, "before the first command the motors damp"
        stand(robot)
        robot.advance(100)
        assert robot.mj_model.actuator_biasprm[0, 1] == -200.0
        robot.advance(1)
        assert tuple(-robot.mj_model.actuator_biasprm[0, 1:3]) == gains
        stand(robot)
        robot.advance(1)
        assert robot.mj_model.actuator_biasprm[0, 1] == -200.0, "commands are heard again"


@pytest.mark.parametrize("where", range(5))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_command_that_is_not_finite_is_not_heard(toy: RobotModel, where: int, value: float):
    robot = VirtualRobot(toy)
    stand(robot)
    robot.advance(1)
    parts = [Z.copy(), Z.copy(), Z.copy(), np.full(7, 10.0), np.full(7, 1.0)]
    parts[where][3] = value
    assert not robot.command(*parts)
    robot.advance(10)
    assert (robot.commands_received, robot.commands_refused) == (1, 1)
    assert robot.mj_model.actuator_biasprm[0, 1] == -200.0 and np.isfinite(robot.low_state(0).q).all()


def test_negative_gain_is_not_heard(toy: RobotModel):
    robot = VirtualRobot(toy)
    assert not robot.command(Z, Z, Z, np.full(7, -1.0), Z) and not robot.command(Z, Z, Z, Z, np.full(7, -1.0))
    assert robot.commands_refused == 2


@pytest.mark.parametrize("physics_hz", [200, 500, 1000])
def test_stands_and_damps_at_every_physics_rate(toy: RobotModel, physics_hz: int):
    robot = VirtualRobot(toy, physics_hz=physics_hz)
    stand(robot, 400.0, 10.0)
    robot.gantry.lower(0.5)
    robot.step(2.0)
    assert not robot.fallen and robot.gantry.mode is GantryMode.RELEASE
    feet = sum(float(robot.mj_data.efc_force[contact.efc_address]) for contact in robot.mj_data.contact)
    assert robot.low_state(0).accel_b[2] == pytest.approx(G, abs=0.05)
    assert feet > 0.0


# -- perturbations


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


# -- determinism and what is reported


HARSH = Perturbation(
    actuator_delay_ms=(2.0, 9.0), sensor_delay_ms=3.0, q_noise_rad=0.01, rp_noise_rad=0.01, initial_q_rad=0.05,
    initial_velocity_m_s=0.2, random_pushes=RandomPushes(interval_s=(0.2, 0.4)), friction_scale=0.8,
)  # fmt: skip


def trajectory(robot: VirtualRobot) -> bytes:
    robot.gantry.release()
    out = []
    for i in range(150):
        stand(robot, q=np.full(7, 0.1 * np.sin(0.1 * i)))
        robot.advance(4)
        out.append(np.concatenate([robot.low_state(i).q, robot.low_state(i).quat_w, robot.mj_data.qpos]))
    return np.array(out).tobytes()


def test_same_seed_and_commands_give_the_same_bits(toy: RobotModel):
    first = VirtualRobot(toy, perturbation=HARSH, seed=5)
    reference = trajectory(first)
    assert trajectory(VirtualRobot(toy, perturbation=HARSH, seed=5)) == reference
    first.reset()
    assert trajectory(first) == reference, "a reset starts the same run"
    first.reset(seed=6)
    assert trajectory(first) != reference


def test_low_state_reports_the_robot(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.step(1.2345 - 0.0005)
    state = robot.low_state(123)
    assert (state.t_ns, state.tick, state.mode_machine) == (123, 1234, 7)
    assert not state.has_odometry and not state.root_pos_w.any() and not state.root_lin_vel_w.any()
    assert state.motor_fault.dtype == np.uint32 and state.remote.shape == (40,) and not state.remote.any()
    before = state.q.copy()
    robot.step(0.1)
    robot.low_state(124)
    assert state.q.tobytes() == before.tobytes()


def test_gyro_and_orientation_of_a_turning_body(toy: RobotModel):
    robot = VirtualRobot(toy)
    half = np.sqrt(0.5)
    robot.reset(root_pos_w=HIGH, root_quat_w=np.array([half, 0.0, half, 0.0]), hanging=False)
    robot.mj_data.qvel[3:6] = 0.0, 0.0, 0.1  # about the pelvis's own z, which is the world's x now
    stand(robot, 2000.0, 50.0)
    robot.advance(1)
    state = robot.low_state(0)
    assert state.gyro_b == pytest.approx([0.0, 0.0, 0.1], abs=2e-2)
    assert state.quat_w == pytest.approx([half, 0.0, half, 0.0], abs=1e-3)
    assert robot.up_z == pytest.approx(0.0, abs=1e-3) and robot.fallen


def test_fallen_by_height_and_by_tilt(toy: RobotModel):
    robot = VirtualRobot(toy)
    for height, degrees, fallen in ((0.361, 0, False), (0.359, 0, True), (2.0, 59, False), (2.0, 61, True)):
        half = np.radians(degrees) / 2
        quat = np.array([np.cos(half), np.sin(half), 0.0, 0.0])
        robot.reset(root_pos_w=np.array([0.0, 0.0, height]), root_quat_w=quat)
        assert robot.fallen is fallen, (height, degrees)


def test_divergence_is_reported_and_not_hidden_by_a_reset(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.mj_data.qvel[6] = 1e12
    robot.advance(3)
    assert robot.diverged and robot.fallen
    robot.reset()
    assert not robot.diverged and not robot.fallen


def test_step_takes_whole_physics_steps_only(toy: RobotModel):
    robot = VirtualRobot(toy, physics_hz=500)
    robot.step(0.02)
    assert robot.steps == 10 and robot.time_s == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"dt_s is 0\.003; it must be a whole number of physics steps of 0\.002 s"):
        robot.step(0.003)


def test_temperature_follows_the_square_of_the_torque():
    thermal = Thermal(np.array([100.0, 100.0, 10.0]))
    tau = np.array([0.0, 50.0, -10.0])
    for _ in range(3000):
        thermal.advance(tau, 0.1)
    share = 1.0 - np.exp(-300.0 / TIME_CONSTANT_S)
    expected = AMBIENT_C + RISE_AT_FULL_TORQUE_C * np.array([0.0, 0.25, 1.0]) * share
    assert thermal.temperature_c == pytest.approx(expected, rel=1e-3)


def test_motors_warm_up_in_the_robot(toy: RobotModel):
    robot = VirtualRobot(toy)
    robot.command(Z, Z, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 20.0, 0.0]), Z, Z)
    robot.step(1.0)
    hot = robot.low_state(0).temperature_c
    assert hot[5] - AMBIENT_C == pytest.approx(RISE_AT_FULL_TORQUE_C / TIME_CONSTANT_S, rel=0.01)
    robot.reset()
    assert robot.low_state(0).temperature_c.tolist() == [AMBIENT_C] * 7


# -- set-up errors


def test_unknown_physics_rate(toy: RobotModel):
    with pytest.raises(ValueError, match="physics_hz is 300; valid: 200, 500, 1000, 2000"):
        VirtualRobot(toy, physics_hz=300)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('joint name="waist"', 'joint name="hips"', "has no joint 'waist'|does not compile"),
        ('<accelerometer name="accel" site="imu_pelvis"/>', "", "has no accelerometer on site 'imu_pelvis'"),
        ('<freejoint name="root"/>', "", "body 'pelvis' has no free joint"),
        (
            '<position name="waist" joint="waist" kp="50" kv="2"/>', "",
            "must have one stateless actuator a joint .7.; it has 6 with 0 states, none for waist",
        ),
        ("<mujoco", "<mujoc", "does not compile"),
    ],
)  # fmt: skip
def test_unusable_models_say_what_is_missing(toy: RobotModel, old: str, new: str, message: str):
    text = toy.mjcf.read_text()
    assert old in text
    toy.mjcf.write_text(text.replace(old, new, 1))
    with pytest.raises(ModelUnusable, match=message):
        VirtualRobot(toy)


def test_missing_file(toy: RobotModel, tmp_path: Path):
    toy.mjcf.unlink()
    with pytest.raises(ModelUnusable, match="does not compile"):
        VirtualRobot(toy)
