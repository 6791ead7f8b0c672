"""The trainer's observations against the running service's, from the shipped description."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.robots.model import LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.observation import ObservationBuilder
from teleopd.service.policy.train.channels import JOINTS, quaternion
from teleopd.service.policy.train.features import (
    CARD_WIDTH,
    COLUMNS,
    TEACHER_WIDTH,
    StudentView,
    TeacherView,
    proprioception,
)

TWIST2_CARD = MODEL.mjcf.parent / "policies" / "twist2.toml"


def rotation(quat):
    w, x, y, z = quat
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


class Tick:
    """A random moment, as the service states it and as the trainer does."""

    def __init__(self, rng):
        angles, tilt = rng.uniform(-0.8, 0.8, (2, 2)), rng.uniform(-3, 3, 2)
        quat, reference_quat = (quaternion(a[0], a[1], y) for a, y in zip(angles, tilt, strict=True))
        lin_b, ang_b, gyro = rng.normal(size=(3, 3))
        q, dq, reference_q = rng.normal(size=(3, 29)) * np.array([[0.5], [4.0], [0.5]])
        height = rng.uniform(0.4, 0.9)
        turn = rotation(reference_quat)
        still = np.zeros(29)
        self.reference = Reference(
            seq=1, source_id=0, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=True, resets=0,
            nominal_hz=50.0, root_pos_w=np.array([*rng.normal(size=2), height]), root_quat_w=reference_quat,
            root_lin_vel_w=turn @ lin_b, root_ang_vel_w=turn @ ang_b, q=reference_q, dq=rng.normal(size=29),
        )  # fmt: skip
        self.state = LowState(
            t_ns=0, tick=0, mode_machine=5, q=q, dq=dq, tau=still, quat_w=quat, gyro_b=gyro, accel_b=np.zeros(3),
            temperature_c=still, motor_fault=np.zeros(29, np.uint32), remote=np.zeros(40, np.uint8),
            has_odometry=False, root_pos_w=np.zeros(3), root_lin_vel_w=np.zeros(3),
        )  # fmt: skip
        self.qpos = np.concatenate((rng.normal(size=3), quat, q))
        self.qvel = np.concatenate((rng.normal(size=3), gyro, dq))
        self.channels = np.concatenate((lin_b[:2], [height], angles[1], [ang_b[2]], reference_q))


def look(view, tick, last_action):
    """The trainer's observation of a tick, (1, width)."""
    prop = proprioception(tick.qpos[None], tick.qvel[None], last_action)
    return view.observe(tick.channels[None].astype(np.float32), prop)


def compare(card, view, ticks, reset_at=()):
    """Worst difference between the service's builder and the trainer's view over random ticks."""
    rng = np.random.default_rng(0)
    builder, worst = ObservationBuilder(card, MODEL), 0.0
    last = np.zeros((1, 29), np.float32)
    for i in range(ticks):
        if i in reset_at:
            builder.reset()
            view.reset(np.array([True]))
            last[:] = 0.0
        tick = Tick(rng)
        wanted = builder.build(tick.reference, tick.state)
        seen = look(view, tick, last)
        assert seen.shape == wanted.shape
        worst = max(worst, float(np.abs(seen - wanted).max()))
        last = rng.normal(size=(1, 29)).astype(np.float32)
        builder.push(last[0])
    return worst


def test_the_student_sees_in_training_what_it_will_see_when_it_runs(card):
    assert compare(card, StudentView(1), 1000, reset_at=(3, 500)) < 1e-6


def test_the_teacher_sees_what_its_card_says_once_its_history_is_full():
    """Only the start differs: the service fills the teacher's history with zeros, training with the present."""
    card = parse_card(TWIST2_CARD.read_text(), "twist2")
    builder, view, rng = ObservationBuilder(card, MODEL), TeacherView(1), np.random.default_rng(1)
    last = np.zeros((1, 29), np.float32)
    for i in range(40):
        tick = Tick(rng)
        wanted = builder.build(tick.reference, tick.state)
        seen = look(view, tick, last)
        if i >= 10:
            np.testing.assert_allclose(seen, wanted, atol=1e-6)
        last = rng.normal(size=(1, 29)).astype(np.float32)
        builder.push(last[0])
    assert seen.shape == (1, TEACHER_WIDTH) == (1, 1432)


def test_the_network_uses_lags_two_and_five_of_the_reference(card):
    """Each tick's reference height is the tick's number: the used columns must hold the present, lag 2 and lag 5."""
    assert (CARD_WIDTH, len(COLUMNS), card.model.input_width) == (600, 537, 600)
    view, reference = StudentView(1), np.zeros((1, 35), np.float32)
    for i in range(10):
        reference[0, 2] = i
        used = view.observe(reference, np.zeros((1, 92), np.float32))[0, COLUMNS]
    assert [used[2], used[495 + 2], used[495 + 21 + 2]] == [9, 7, 4]


def test_views_of_a_batch_do_not_mix():
    rng = np.random.default_rng(2)
    both, alone = StudentView(2), StudentView(1)
    for i in range(12):
        if i == 6:
            both.reset(np.array([False, True]))
            alone.reset(np.array([True]))
        reference, prop = rng.normal(size=(2, 35)).astype(np.float32), rng.normal(size=(2, 92)).astype(np.float32)
        np.testing.assert_array_equal(both.observe(reference, prop)[1:], alone.observe(reference[1:], prop[1:]))


def test_the_residual_stands_on_the_reference_joints(card):
    """The first 35 columns are the reference in the trainer's channel order."""
    tick = Tick(np.random.default_rng(5))
    row = ObservationBuilder(card, MODEL).build(tick.reference, tick.state)[0]
    assert row[JOINTS] == pytest.approx(tick.reference.q, abs=1e-6)
    assert row[:6] == pytest.approx(tick.channels[:6], abs=1e-6)
