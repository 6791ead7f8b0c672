"""A teacher that sees ahead: each robot as it will be when the answer of this tick reaches its motors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.bodies import SUBSTEPS, WRISTS, Randomised
from teleopd.service.policy.train.channels import WIDTH, N, stand
from teleopd.service.policy.train.dagger import Distillation
from teleopd.service.policy.train.features import ACTION_SCALE, PROPRIOCEPTION
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.settings import Settings
from teleopd.service.policy.train.world import World

STILL = np.tile(stand(), (200, 1))
DELAYS = (0, SUBSTEPS, 2 * SUBSTEPS, 3 * SUBSTEPS)
"""Whole ticks: a robot is looked at once a tick."""


def lively(card, ahead: bool) -> World:
    """A robot of each delay, falling about: what is foreseen is no standing still."""
    world = World(len(DELAYS), card, threads=2, ahead=ahead)
    for i, delay in enumerate(DELAYS):
        world.start(i, STILL, Randomised.nominal(world.nbody, delay=delay), joint_noise=0.05, velocity=0.3)
    return world


def played(world: World, ticks: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Where the robots were, where the teacher saw them, and what it saw, tick by tick."""
    rng, was, seen, told = np.random.default_rng(3), [], [], []
    for _ in range(ticks):
        told.append(world.see(np.random.default_rng(0)).teacher.copy())
        was.append(np.hstack((world.qpos, world.qvel)))
        seen.append(np.hstack((world.seen_qpos, world.seen_qvel)))
        world.act(rng.normal(0.0, 0.5, (world.count, N)).astype(np.float32))
    world.close()
    return was, seen, told


def test_what_the_teacher_sees_is_where_the_robot_is_when_the_answer_arrives(card):
    was, seen, told = played(lively(card, ahead=True), 12)
    for i, delay in enumerate(DELAYS):
        late = delay // SUBSTEPS
        for tick in range(len(was) - late):
            np.testing.assert_array_equal(seen[tick][i], was[tick + late][i], err_msg=f"delay {delay}, tick {tick}")
    gyro = slice(WIDTH, WIDTH + 3)
    np.testing.assert_allclose(told[5][2][gyro], 0.25 * was[7][2][7 + N + 3 : 7 + N + 6], rtol=1e-5, atol=1e-6)
    assert np.abs(told[5][2][gyro] - 0.25 * was[5][2][7 + N + 3 : 7 + N + 6]).max() > 1e-3
    assert told[0].shape[1] > PROPRIOCEPTION


def test_looking_ahead_moves_nothing(card):
    plain, ahead = played(lively(card, ahead=False), 12), played(lively(card, ahead=True), 12)
    np.testing.assert_array_equal(plain[0], ahead[0])
    np.testing.assert_array_equal(plain[0], plain[1], "without it the teacher sees what is")


@pytest.mark.parametrize("known", [False, True])
def test_the_distillation_asks_and_answers_for_the_robot_that_is_seen(card, swaying, tmp_path, monkeypatch, known):
    """A teacher that always says 0, and motors of half the gains: the label is what holds the posture it was shown."""
    settings = Settings(
        hidden=(8,), robots=3, ticks=8, threads=1, iterations=1, buffer=100, normalise_after=10_000,
        standing_starts=1.0, known_gains=True, known_delay=known,
    )  # fmt: skip
    joints, asked, students, labels = slice(WIDTH + 5, WIDTH + 5 + N), [], [], []

    def teacher(seen: np.ndarray) -> np.ndarray:
        asked.append(seen[:, joints].copy())
        return np.zeros((len(seen), N), dtype=np.float32)

    def late(_rng: np.random.Generator, nbody: int) -> Randomised:
        return Randomised.nominal(nbody, delay=SUBSTEPS, kp=np.full(N, 0.5))

    run = Distillation(settings, card, ReferenceGenerator([swaying]), teacher, clock=lambda: 0.0, errors=late)
    monkeypatch.setattr(run.replay, "add", lambda used, wanted: (
        students.append(used[:, joints].copy()), labels.append(wanted.copy())
    ))  # fmt: skip
    run.run(tmp_path, lambda _report: None)
    run.close()
    moved = np.abs(np.diff(students, axis=0)).max(axis=(1, 2))
    assert moved.min() > 1e-3
    for tick in range(len(asked) - 1):
        np.testing.assert_allclose(asked[tick], students[tick + known], atol=1e-6)
    kp = np.full(N, 0.5)
    kp[WRISTS] = 1.0  # theirs count as nominal
    for shown, label in zip(asked, labels, strict=True):
        np.testing.assert_allclose(label, shown / ACTION_SCALE * (1.0 - 1.0 / kp), atol=1e-4)
