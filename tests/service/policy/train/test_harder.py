"""What fine-tuning meets: robots within the widened ranges, broken streams, shoves that begin and end."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.bodies import Randomised
from teleopd.service.policy.train.channels import JOINTS, VX, Clip, stand
from teleopd.service.policy.train.harder import (
    LONGEST_DELAY,
    SHOVE_IMPULSE_N_S,
    HardReferences,
    Shoves,
    broken,
    drawn_hard,
    mode_track,
    teachable,
    walk_track,
)
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.world import World


def test_robots_reach_the_battery_s_extremes_and_stay_within_the_ranges():
    rng = np.random.default_rng(0)
    drawn = [drawn_hard(rng, 5) for _ in range(3000)]
    kp = np.array([r.kp.mean() for r in drawn])
    armature, torso = np.array([r.armature for r in drawn]), np.array([r.torso_kg for r in drawn])
    friction, delay = np.array([r.friction for r in drawn]), np.array([r.delay for r in drawn])
    assert 0.6 < kp.min() < 0.7 and 1.3 < kp.max() < 1.42
    assert 0.0 <= armature.min() < 0.05 and 1.95 < armature.max() <= 2.0
    assert -2.0 <= torso.min() and 5.0 < torso.max() <= 6.0
    assert 0.3 <= friction.min() < 0.35 and set(delay) == set(range(LONGEST_DELAY + 1))
    assert 0.15 < np.mean([np.all(r.kp == 1.0) for r in drawn]) < 0.25


@pytest.mark.parametrize("changes, at_home", [
    ({}, True), ({"delay": 4}, True), ({"delay": 5}, False), ({"kp": np.full(29, 0.7)}, False),
    ({"armature": 0.0}, False), ({"torso_kg": 5.0}, False), ({"friction": 0.35}, False),
])  # fmt: skip
def test_the_teacher_is_asked_only_about_robots_like_its_own(changes, at_home):
    assert teachable(Randomised.nominal(5, **changes)) is at_home


def test_a_broken_stream_shows_old_frames_for_half_a_second_at_most():
    track = np.arange(1000.0)[:, None] * np.ones(35)
    for seed in range(20):
        age = np.arange(1000) - broken(np.random.default_rng(seed), track)[:, 0]
        assert age.min() == 0 and 3 <= age.max() <= 25


def test_walks_go_every_way_and_the_teacher_is_not_followed_backwards():
    rng = np.random.default_rng(1)
    drawn = [walk_track(rng) for _ in range(6)]
    velocity = np.vstack([d.track[:, :2] for d in drawn])
    assert velocity.min() < -0.3 and velocity[:, 0].max() > 0.3 and velocity[:, 1].max() > 0.3
    for d in drawn:
        # Sway and the walk's beginnings aside, a track going back is one that is not taught.
        back = np.convolve(d.track[:, VX], np.ones(50) / 50, mode="same") < -0.12
        assert np.mean(d.taught[back]) < 0.1 if back.any() else d.taught.mean() > 0.0


def test_the_velocity_mode_s_walk_is_a_track_that_closes_on_standing():
    drawn = mode_track(np.random.default_rng(0), 260)
    assert drawn.track.shape == (260, 35) and len(drawn.taught) == 260
    np.testing.assert_allclose(drawn.track[5], stand(), atol=1e-9)
    assert np.isfinite(drawn.track).all() and np.abs(np.diff(drawn.track[:, JOINTS], axis=0)).max() * 50 < 25.0


def test_references_repeat_with_the_seed(swaying):
    clips = [swaying, Clip("0807_sway", swaying.channels)]
    references = HardReferences(ReferenceGenerator(clips), clips, mode_tracks=0)
    one, two = ([references.draw(np.random.default_rng(s)) for s in range(12)] for _ in range(2))
    assert {bool(d.taught.all()) for d in one} == {True, False}
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.track, b.track)
        assert len(a.track) == len(a.taught)


def test_shoves_begin_end_and_spare_who_is_not_exposed(card):
    world, rng = World(40, card, threads=1), np.random.default_rng(0)
    still = np.tile(stand(), (10, 1))
    shoves = Shoves(40)
    for i in range(40):
        world.start(i, still, Randomised.nominal(world.nbody))
        shoves.reset(world, i, exposed=i < 20)
    held = np.zeros((400, 40))
    for tick in range(400):
        shoves.apply(world, rng)
        held[tick] = np.linalg.norm(shoves.force_w, axis=1)
        applied = [np.linalg.norm(body.data.xfrc_applied[:, :3].sum(axis=0)) for body in world.bodies]
        np.testing.assert_allclose(applied, held[tick])
    world.close()
    assert not held[:, 20:].any()
    begins = (held[1:, :20] > 0) & (held[:-1, :20] == 0)
    assert 15 < begins.sum() < 70  # 400 ticks of 20 robots at 0.5 % a tick
    assert held.max() <= 230.0 and held[held > 0].min() >= 30.0
    for i in range(20):
        runs = np.split(held[:, i], np.flatnonzero(np.diff(held[:, i])) + 1)
        assert all(run[0] * len(run) * 0.02 <= SHOVE_IMPULSE_N_S + 230 * 0.02 for run in runs)
