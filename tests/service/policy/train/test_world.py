"""The light physics: errors put on and taken off, delay, resets, falls, and the battery that uses it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.bodies import Body, Randomised, reduced_model
from teleopd.service.policy.train.channels import stand
from teleopd.service.policy.train.figures import markdown, summary
from teleopd.service.policy.train.suite import Trial, run
from teleopd.service.policy.train.world import World

STILL = np.tile(stand(), (200, 1))


@pytest.fixture
def world(card):
    made = World(2, card, threads=1)
    yield made
    made.close()


def test_only_soles_touch_the_floor():
    m = reduced_model()
    assert m.ngeom == 9 and m.nu == 29 and m.nsensor == 0
    assert m.opt.timestep == 0.005
    np.testing.assert_allclose(m.body_mass.sum(), 33.3, atol=0.3)


def test_errors_come_off_again(card):
    base = reduced_model()
    body, fresh = Body(base, card), Body(base, card)
    nominal = Randomised.nominal(base.nbody)
    fresh.become(nominal)
    body.become(Randomised.drawn(np.random.default_rng(1), base.nbody))
    assert body.m.body_mass.sum() != pytest.approx(base.body_mass.sum(), abs=1e-6)
    body.become(nominal)
    for field in ("body_mass", "body_inertia", "body_ipos", "geom_friction", "dof_armature", "actuator_gainprm",
                  "actuator_biasprm", "dof_invweight0"):  # fmt: skip
        np.testing.assert_allclose(getattr(body.m, field), getattr(fresh.m, field), atol=1e-12)
    np.testing.assert_array_equal(base.body_mass, reduced_model().body_mass)


def test_gains_are_the_cards(card):
    base = reduced_model()
    body = Body(base, card)
    body.become(Randomised.nominal(base.nbody))
    wrist = MODEL.joint_names.index("left_wrist_yaw_joint")
    assert body.m.actuator_gainprm[wrist, 0] == 4.0 and body.m.actuator_gainprm[3, 0] == 150.0
    body.become(Randomised.nominal(base.nbody, stiff_wrists=True))
    assert body.m.actuator_gainprm[wrist, 0] == 20.0
    assert tuple(body.m.actuator_biasprm[wrist, 1:3]) == (-20.0, -1.0)


def test_a_delayed_target_arrives_later(world):
    """Delay 0, 2 and 4 physics steps: the knee that is told to bend has moved less, and not at all, after a tick."""
    moved = []
    for delay in (0, 2, 4):
        world.start(0, STILL, Randomised.nominal(world.nbody, delay=delay))
        before = world.qpos[0, 7 + 3]
        action = np.zeros((2, 29), np.float32)
        action[0, 3] = 1.0
        world.act(action)
        moved.append(world.qpos[0, 7 + 3] - before)
    assert moved[0] > 1.5 * moved[1] > 3.0 * abs(moved[2])


@pytest.mark.parametrize("delay", [5, 8, 12])
def test_an_answer_can_be_more_than_a_tick_late(world, delay):
    """Until then the robot does exactly what one does that is told nothing; then the knee bends."""

    def knee(told):
        world.start(0, STILL, Randomised.nominal(world.nbody, delay=delay))
        action = np.zeros((2, 29), np.float32)
        action[0, 3] = told
        found = []
        for _ in range(6):
            world.act(action)
            found.append(world.qpos[0, 7 + 3])
        return np.array(found)

    bent, still = knee(1.0), knee(0.0)
    whole = delay // 4
    np.testing.assert_array_equal(bent[:whole], still[:whole])
    assert bent[whole] > still[whole] and bent[whole + 1] > still[whole + 1] + 0.05


def test_a_start_stands_on_the_floor_and_forgets(world):
    world.start(0, STILL, Randomised.nominal(world.nbody))
    world.start(1, STILL, Randomised.nominal(world.nbody))
    world.push(0, np.array([400.0, 0.0, 0.0]))
    for _ in range(10):
        world.act(np.ones((2, 29), np.float32))
    world.start(0, STILL, Randomised.nominal(world.nbody), at=7)
    assert world.at[0] == 7 and not world.last_action[0].any() and world.last_action[1].all()
    assert world.qpos[0, 2] == pytest.approx(MODEL.stand_height_m, abs=2e-3)
    body = world.bodies[0]
    soles = [body.m.site(name).id for name in MODEL.sole_sites]
    mujoco.mj_kinematics(body.m, body.data)
    assert body.data.site_xpos[soles, 2].min() == pytest.approx(-5e-4, abs=1e-6)
    assert not body.data.xfrc_applied.any()


def test_a_start_in_mid_track_moves_as_the_track(world):
    track = STILL.copy()
    track[:, 0], track[:, 3] = 0.5, 0.1
    track[:, 6 + 18] += 0.02 * np.arange(200)
    world.start(0, track, Randomised.nominal(world.nbody), at=20, as_track=True)
    assert world.qvel[0, 0] == pytest.approx(0.5)
    assert world.qvel[0, 6 + 18] == pytest.approx(1.0)
    assert world.qpos[0, 7 + 18] == pytest.approx(track[20, 6 + 18])


def test_who_lies_has_fallen(world):
    for i in range(2):
        world.start(i, STILL, Randomised.nominal(world.nbody))
    assert not world.fallen().any()
    world.qpos[0, 3:7] = np.cos(0.55), np.sin(0.55), 0.0, 0.0  # rolled by 1.1 rad: cosine 0.45
    world.qvel[1, 4] = np.nan
    assert world.fallen().tolist() == [True, True]


def test_the_battery_tells_standing_from_falling(card):
    """Holding the stand pose survives a second of nothing and no push of 900 N; pushed along +X it goes there."""
    quiet = Trial("quiet", "still", STILL[:50], 10)
    pushed = Trial("pushed", "hard", STILL, 100, push_w=(900.0, 0.0, 0.0))
    outcomes = run([quiet, pushed], lambda seen: np.zeros((2, 29), np.float32), card, threads=1)
    assert outcomes[0].fell_at_s is None and outcomes[0].key_body_mm < 30.0
    assert outcomes[1].fell_at_s is not None
    found = summary(outcomes)
    assert (found["quiet"]["upright"], found["pushed"]["upright"], found["pushed"]["of"]) == (1, 0, 1)
    assert found["pushed"]["fell"] == [f"hard at {outcomes[1].fell_at_s:.1f} s"]
    assert "| pushed | 0/1, " in markdown({"nobody": found})
