"""Training of H1 and H1-2: what the student sees is what the service will show it, the experts do their part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.robots.model import LowState, Reference
from teleopd.service.policy.action import ActionMap
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.card_writer import card_text
from teleopd.service.policy.observation import ObservationBuilder
from teleopd.service.policy.train.decoupled.bodies import Randomised
from teleopd.service.policy.train.decoupled.distil import LegDistillation, LegSettings, leg_student_of
from teleopd.service.policy.train.decoupled.export import card_of, standing_observation
from teleopd.service.policy.train.decoupled.suite import (
    COMMANDS,
    SHOULD,
    Suite,
    Trial,
    acting,
    markdown,
    on_speed,
    summary,
    trials,
)
from teleopd.service.policy.train.decoupled.tracks import (
    LOWEST_M,
    SPEED_RAD_S,
    Track,
    commands,
    steady,
    thrown,
    upper_body,
)
from teleopd.service.policy.train.decoupled.walker import ACTION_SCALE, DT_S, HEIGHT, VX, WALKS
from teleopd.service.policy.train.decoupled.world import World
from teleopd.service.policy.train.experts.both import BothExperts
from teleopd.service.policy.train.experts.standing import StandingExpert
from teleopd.service.policy.train.experts.walking import OBEYED, WalkingExpert


@pytest.fixture
def make_world(walker):
    """Worlds of the nominal gains, closed when the test ends."""
    made = []

    def make(count: int) -> World:
        made.append(World(walker, count, walker.model.kp_ready, walker.model.kd_ready, threads=1))
        return made[-1]

    yield make
    for world in made:
        world.close()


def still(walker, ticks: int, height: float | None = None) -> Track:
    home = walker.default[len(walker.legs) :]
    return Track(steady(None, height or walker.model.stand_height_m, ticks), np.tile(home, (ticks, 1)))


def as_seen_by_the_service(walker, world: World) -> tuple[Reference, LowState]:
    """Robot 0 and its wishes as the running service has them."""
    n, motor, legs = walker.model.n, walker.motor, len(walker.legs)
    q, dq, wanted = np.zeros(n), np.zeros(n), walker.model.q_stand.copy()
    q[motor], dq[motor] = world.qpos[0, 7:], world.qvel[0, 6:]
    wanted[motor[legs:]] = world.upper[0]
    command, zero = world.command[0], np.zeros(3)
    reference = Reference(
        seq=1, source_id=0, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=True, resets=0,
        nominal_hz=50.0, root_pos_w=np.array([0.0, 0.0, command[HEIGHT]]), root_quat_w=np.array([1.0, 0, 0, 0]),
        root_lin_vel_w=np.array([*command[:2], 0.0]), root_ang_vel_w=np.array([0.0, 0.0, command[2]]), q=wanted,
        dq=np.zeros(n),
    )  # fmt: skip
    state = LowState(
        t_ns=0, tick=0, mode_machine=1, q=q, dq=dq, tau=np.zeros(n), quat_w=world.qpos[0, 3:7],
        gyro_b=world.qvel[0, 3:6], accel_b=zero, temperature_c=np.zeros(n), motor_fault=np.zeros(n, dtype=np.uint32),
        remote=np.zeros(40, dtype=np.uint8), has_odometry=False, root_pos_w=zero, root_lin_vel_w=zero,
    )  # fmt: skip
    return reference, state


def test_the_student_sees_and_does_what_the_service_will_show_and_do(walker, make_world):
    world, rng = make_world(1), np.random.default_rng(2)
    card = parse_card(card_text(card_of(walker, "0" * 64)), "card")
    builder, actions = ObservationBuilder(card, walker.model), ActionMap(card, walker.model)
    command = np.vstack((steady((0.3, -0.2, 0.5), 1.0, 12), steady(None, 0.9, 12)))
    track = Track(command, thrown(rng, walker, 24, 3.0, 0.5))
    world.start(0, track, Randomised())
    for _ in range(24):
        reference, state = as_seen_by_the_service(walker, world)
        seen = world.observe(rng)
        assert builder.build(reference, state) == pytest.approx(seen, abs=2e-6)
        raw = rng.normal(0.0, 2.0, (1, len(walker.legs))).astype(np.float32)
        actions.apply(raw[0], reference)
        world.act(raw)
        inside = np.clip(actions.q, walker.model.limits.q_lower, walker.model.limits.q_upper)
        assert world.bodies[0].data.ctrl == pytest.approx(inside, abs=1e-6)
        builder.push(actions.fed_back)


def test_the_card_says_what_it_does_not_do(walker):
    card = card_of(walker, "0" * 64)
    assert card.capabilities is not None and card.capabilities.legs is False and not card.odometry
    assert set(card.driven_joints) == set(walker.model.joint_names)
    assert card.robot == walker.model.name and card.role == "velocity"


def test_commands_stand_squat_and_walk_without_jumps(walker):
    rng = np.random.default_rng(1)
    found = np.concatenate([commands(rng, walker.model.stand_height_m) for _ in range(20)])
    walks = found[:, WALKS] > 0.5
    assert 0.3 < walks.mean() < 0.7
    assert found[:, HEIGHT].min() >= LOWEST_M - 1e-9 and found[~walks, HEIGHT].min() < 0.9
    assert not found[~walks, :3].any()
    within = np.abs(np.diff(found[:, HEIGHT])).reshape(-1)
    within = np.delete(within, np.arange(999, len(within), 1000))
    assert within.max() < 2.0 * 0.3 * DT_S


@pytest.mark.parametrize("each_joint", [False, True])
def test_arms_use_their_range_at_the_speed_asked_for(walker, each_joint):
    rng = np.random.default_rng(3)
    found = thrown(rng, walker, 3000, 3.0, 0.5, each_joint=each_joint)
    speed = np.abs(np.diff(found, axis=0)) / DT_S
    assert 2.5 < speed.max() <= 3.0 + 1e-6
    motor = walker.motor[len(walker.legs) :]
    lower, upper = walker.model.limits.q_lower[motor], walker.model.limits.q_upper[motor]
    assert (found > lower).all() and (found < upper).all()
    arms = [i for i, name in enumerate(walker.upper) if name != walker.torso]
    assert ((np.ptp(found, axis=0) / (upper - lower))[arms] > 0.7).all()
    assert np.abs(found[:, walker.upper.index(walker.torso)]).max() == pytest.approx(0.5, abs=0.02)


def test_training_throws_arms_beyond_what_is_judged(walker):
    rng = np.random.default_rng(0)
    fastest = max(float(np.abs(np.diff(upper_body(rng, walker), axis=0)).max()) / DT_S for _ in range(30))
    assert 3.0 < fastest <= SPEED_RAD_S[1] + 1e-6


def test_the_standing_controller_holds_still_and_squats_with_moving_arms(walker, make_world):
    world, stand = make_world(2), walker.model.stand_height_m
    rng = np.random.default_rng(5)
    squat = steady(None, stand, 250)
    squat[:, HEIGHT] = np.clip(stand - 0.08 * (np.arange(250) * DT_S - 0.5), 0.88, stand)
    world.start(0, Track(steady(None, stand, 250), thrown(rng, walker, 250, 3.0, 0.5)), Randomised())
    world.start(1, Track(squat, thrown(rng, walker, 250, 3.0, 0.5)), Randomised())
    expert = StandingExpert(world)
    expert.begin(np.ones(2, dtype=np.bool_))
    for _ in range(250):
        world.act(expert(world.command, world.balance()))
    assert not world.fallen().any()
    assert np.abs(world.qpos[:, :2]).max() < 0.06
    assert world.qpos[:, 2] == pytest.approx([stand, 0.88], abs=0.03)


def test_a_payload_and_a_push_are_felt(walker, make_world):
    world = make_world(3)
    for i, errors in enumerate((Randomised(), Randomised(loads_kg=(2.0, 0.0)), Randomised())):
        world.start(i, still(walker, 40), errors)
    assert world.bodies[1].weight_n - world.bodies[0].weight_n == pytest.approx(2.0 * 9.81, rel=1e-6)
    world.push(2, np.array([0.0, 80.0, 0.0]))
    for _ in range(10):
        world.act(np.zeros((3, len(walker.legs)), dtype=np.float32))
    assert world.qvel[2, 1] > world.qvel[0, 1] + 0.1
    body = world.bodies[1]
    name, place = walker.hands[0]
    hand, load = body.data.body(name), body.data.body("load0").xipos
    assert hand.xmat.reshape(3, 3).T @ (load - hand.xpos) == pytest.approx(place, abs=1e-6)
    elbow = 7 + walker.joints.index("left_elbow_joint")
    assert world.qpos[1, elbow] > world.qpos[0, elbow] + 0.01


def test_soft_motors_are_told_more_for_the_same_torque(walker, make_world, shared_data):
    world = make_world(2)
    for i, kp in enumerate((1.0, 0.7)):
        world.start(i, still(walker, 5), Randomised(kp=kp))
    experts = BothExperts(world, shared_data / walker.teacher)
    experts.reset(np.ones(2, dtype=np.bool_))
    nominal, soft = experts()
    zero = (world.qpos[0, 7 : 7 + len(walker.legs)] - walker.default[: len(walker.legs)]) / ACTION_SCALE
    assert 0.7 * (soft - zero) == pytest.approx(nominal - zero, abs=1e-5)
    world.steps[:] = 1.0
    world.command[:, WALKS] = 1.0
    nominal, soft = experts()
    share = np.array([OBEYED[walker.model.name].ankle_share if "ankle" in name else 1.0 for name in walker.legs])
    assert (1.0 - 0.3 * share) * (soft - zero) == pytest.approx(nominal - zero, abs=1e-5)


def test_what_the_arms_weigh_ahead_is_told_as_less_speed(walker, make_world, shared_data):
    world, arms = make_world(2), still(walker, 5)
    ahead = arms.upper.copy()
    ahead[:, [i for i, name in enumerate(walker.upper) if "shoulder_pitch" in name]] = -1.5
    world.start(0, arms, Randomised())
    world.start(1, arms._replace(upper=ahead), Randomised())
    place = world.mass_place()
    assert place[1, 0] > place[0, 0] + 0.01 and abs(place[1, 1]) < 0.005
    upright = world.qpos[1, 3:7].copy()
    world.qpos[1, 3:7] = np.array((np.cos(0.4), 0.0, 0.0, np.sin(0.4)))
    assert np.hypot(*world.mass_place()[1, :2]) == pytest.approx(np.hypot(*place[1, :2]))  # turned, not moved
    world.qpos[1, 3:7] = upright
    answers = []
    for gain in (0.0, 10.0):
        obeyed = OBEYED[walker.model.name]._replace(mass_ahead_m=place[0, 0], mass_velocity=gain, mass_lean=0.0)
        expert = WalkingExpert(shared_data / walker.teacher, world, obeyed)
        answers.append(expert(np.tile((0.3, 0.0, 0.0), (2, 1)), world.balance()))
    assert answers[0][0] == pytest.approx(answers[1][0], abs=0.05)
    assert np.abs(answers[0][1] - answers[1][1]).max() > 0.1


def test_a_late_answer_arrives_late(walker, make_world):
    world = make_world(2)
    world.start(0, still(walker, 10), Randomised())
    world.start(1, still(walker, 10), Randomised(delay=5))
    before = world.bodies[1].data.ctrl.copy()
    world.act(np.ones((2, len(walker.legs)), dtype=np.float32))
    assert (world.bodies[1].data.ctrl == before).all()
    assert (world.bodies[0].data.ctrl != before).any()
    world.act(np.ones((2, len(walker.legs)), dtype=np.float32))
    assert (world.bodies[1].data.ctrl != before).any()


def test_the_walker_starts_and_the_stander_takes_over_again(walker, make_world, shared_data):
    world, stand = make_world(1), walker.model.stand_height_m
    command = np.vstack((steady(None, stand, 25), steady((0.4, 0.0, 0.0), stand, 125), steady(None, stand, 250)))
    home = walker.default[len(walker.legs) :]
    world.start(0, Track(command, np.tile(home, (400, 1))), Randomised())
    experts = BothExperts(world, shared_data / walker.teacher)
    experts.reset(np.ones(1, dtype=np.bool_))
    stood, x = [], []
    for _ in range(400):
        action = experts()
        world.steps[:] = experts.steps
        world.act(action)
        stood.append(not world.steps[0])
        x.append(float(world.qpos[0, 0]))
    assert all(stood[:20]) and not any(stood[30:140]) and stood[-1]
    assert x[149] - x[25] > 0.5
    assert abs(x[-1] - x[-100]) < 0.03
    assert not world.fallen()[0]


def test_a_tiny_distillation_learns_and_its_checkpoint_is_one_robots(walker, tmp_path):
    settings = LegSettings(
        hidden=(16, 8), robots=4, ticks=8, threads=1, iterations=6, buffer=2000, batch=32, normalise_after=60
    )
    robot, reports = walker.model, []

    class Standing:
        """The standing controller alone, which needs no teacher."""

        def __init__(self, world: World) -> None:
            self._world, self._expert = world, StandingExpert(world)
            self.steps = np.zeros(world.count, dtype=np.float32)

        def reset(self, which) -> None:
            self._expert.begin(which)

        def __call__(self):
            return self._expert(self._world.command, self._world.balance())

    run = LegDistillation(settings, walker, robot.kp_ready, robot.kd_ready, Standing)
    run.run(tmp_path, reports.append)
    run.close()
    assert reports[-1].samples == 6 * 4 * 8 and reports[-1].updates > 0
    assert np.isfinite(reports[-1].loss)
    student = leg_student_of(tmp_path, walker)
    assert np.isfinite(student.act(standing_observation(walker), np.ones(1, dtype=np.float32))[0]).all()
    other = walker._replace(model=replace(robot, name="tripod"))
    with pytest.raises(ValueError, match=f"holds a network for {robot.name}, not tripod"):
        leg_student_of(tmp_path, other)


def test_the_suite_counts_who_falls_and_who_keeps_stepping(walker):
    suite = Suite(walker, walker.model.kp_ready, walker.model.kd_ready, threads=1)
    todo = [
        Trial("stands", "stand 60 s", still(walker, 60)),
        Trial("shoved", "push 100 N", still(walker, 60), push_n=(2000.0, 0.0), push_at=5),
    ]

    def standing(world: World):
        expert = StandingExpert(world)
        expert.begin(np.ones(world.count, dtype=np.bool_))
        return lambda _seen: expert(world.command, world.balance())

    stands, shoved = suite.run(todo, standing)
    assert stands.good and stands.drift_m < 0.03
    assert not shoved.good and shoved.fell_at_s is not None and shoved.fell_at_s > 0.1
    found = summary([stands, shoved])
    assert found["push 100 N"]["upright"] == 0
    assert "| stand 60 s | 9/9 | 1/1, drift" in markdown({"ours": found})
    steps = stands._replace(still=False)
    assert not steps.good


def test_speed_is_judged_by_every_component_asked_for(walker):
    trial = Trial("walk", "walk", Track(steady((0.4, 0.0, -0.5), 1.03, 10), np.zeros((10, len(walker.upper)))))
    limp = np.zeros((1, len(walker.legs)), dtype=np.float32)
    (outcome,) = Suite(walker, walker.model.kp_ready, walker.model.kd_ready, 1).run(
        [Trial("stands", "walk", still(walker, 3))], lambda _w: lambda _seen: limp
    )
    walked = outcome._replace(trial=trial, velocity=(0.44, 0.2, -0.45))
    assert on_speed(walked)
    assert not on_speed(walked._replace(velocity=(0.3, 0.0, -0.5)))
    assert not on_speed(walked._replace(fell_at_s=3.0))


def test_the_suite_has_what_is_asked_for(walker):
    counts: dict[str, int] = {}
    for trial in trials(walker):
        counts[trial.group] = counts.get(trial.group, 0) + 1
        assert len(trial.track.command) == len(trial.track.upper)
    assert counts == {name: of for name, (_, of) in SHOULD.items() if "speed" not in name}
    assert min(c[VX] for c in COMMANDS) == -0.4 and max(c[VX] for c in COMMANDS) == 0.9


def test_a_driver_that_steps_on_its_own_is_told_to_stop_again(walker, make_world, shared_data):
    world = make_world(2)
    for i in range(2):
        world.start(i, still(walker, 200), Randomised())
    experts = BothExperts(world, shared_data / walker.teacher)
    experts.reset(np.ones(2, dtype=np.bool_))
    stepping = []
    for tick in range(200):
        if tick == 20:
            world.steps[0] = 1.0  # a student's mistake
        action = experts()
        world.steps[:] = experts.steps
        stepping.append(world.steps.copy())
        world.act(action)
    assert stepping[20][0] == 1.0 and stepping[30][0] == 1.0
    assert stepping[-1][0] == 0.0
    assert not any(row[1] for row in stepping)
    assert not world.fallen().any()


def test_the_memory_of_a_network_is_kept_and_lost_with_a_new_start(walker, make_world):
    world = make_world(2)
    for i in range(2):
        world.start(i, still(walker, 10), Randomised())

    def network(seen, steps):
        return np.zeros((2, len(walker.legs)), dtype=np.float32), np.array([1.0, steps[1]], dtype=np.float32)

    actor = acting(network)(world)
    actor(world.observe(np.random.default_rng(0)))
    assert world.steps.tolist() == [1.0, 0.0]
    world.start(0, still(walker, 10), Randomised())
    assert world.steps.tolist() == [0.0, 0.0]
