"""Channels, mirrors, squats and tracks, against mechanics and against their definitions."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import JOINTS, LEGS, VX, VY, WZ, Z, channels_of, mirrored, quaternion, stand
from teleopd.service.policy.train.references import (
    ReferenceGenerator,
    closed_cycle,
    gait,
    smooth_noise,
)
from teleopd.service.policy.train.squats import squat_table


def sites(q, roll=0.0, pitch=0.0):
    """Key sites with the pelvis at the origin, heading +X, (9, 3)."""
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    data = mujoco.MjData(m)
    data.qpos[:3] = 0.0
    data.qpos[3:7] = quaternion(np.array(roll), np.array(pitch), np.array(0.0))
    data.qpos[7:] = q
    mujoco.mj_kinematics(m, data)
    return data.site_xpos[[m.site(name).id for name in MODEL.key_sites]].copy()


def test_channels_of_a_circle():
    """A body that walks a circle of 2 m at 0.5 m/s, facing along it and pitched, has constant channels."""
    t = np.arange(100) / 50.0
    yaw = 0.25 * t + 0.7
    qpos = np.zeros((100, 36))
    qpos[:, 0], qpos[:, 1], qpos[:, 2] = 2 * np.sin(yaw), -2 * np.cos(yaw), 0.75
    qpos[:, 3:7] = quaternion(np.zeros(100), np.full(100, 0.2), yaw)
    channels = channels_of(qpos)
    level = channels[5:]
    np.testing.assert_allclose(level[:, Z], 0.75)
    np.testing.assert_allclose(level[:, 4], 0.2, atol=1e-12)
    np.testing.assert_allclose(level[:, VX], 0.5 * np.cos(0.2), atol=1e-4)
    np.testing.assert_allclose(level[:, VY], 0.0, atol=3e-3)  # the window lags by 20 ms: 5 mrad of heading
    np.testing.assert_allclose(level[:, WZ], 0.25 * np.cos(0.2), atol=1e-6)


def test_a_mirrored_posture_is_the_mirror_image():
    rng = np.random.default_rng(0)
    channels = stand()
    channels[JOINTS] = rng.uniform(-0.5, 0.5, 29)
    channels[3:5] = 0.2, -0.1
    other = mirrored(channels)
    right_of = [MODEL.key_sites.index(n.replace("left", "#").replace("right", "left").replace("#", "right"))
                for n in MODEL.key_sites]  # fmt: skip
    one, two = sites(channels[JOINTS], *channels[3:5]), sites(other[JOINTS], *other[3:5])
    np.testing.assert_allclose(two[right_of], one * (1, -1, 1), atol=1e-3)  # the vendor's frames differ by 0.5 mm
    np.testing.assert_array_equal(mirrored(other), channels)


@pytest.mark.parametrize("height", [0.55, 0.65, 0.75])
def test_a_squat_is_as_deep_as_asked_and_balanced(height):
    legs = squat_table()(np.array([height]))[0]
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    data = mujoco.MjData(m)
    data.qpos[:7] = 0, 0, height, 1, 0, 0, 0
    data.qpos[7:] = MODEL.q_stand
    data.qpos[7:19] = legs
    mujoco.mj_forward(m, data)
    soles = data.site_xpos[[m.site(name).id for name in MODEL.sole_sites]]
    np.testing.assert_allclose(soles[:, 2], 0.0, atol=3e-3)
    assert abs(data.subtree_com[0, 0] - soles[:, 0].mean()) < 5e-3


def test_noise_has_unit_variance_and_no_fast_content():
    noise = smooth_noise(np.random.default_rng(0), 4000, 20, 20.0)
    assert noise.std() == pytest.approx(1.0, abs=0.1)
    # Gaussian kernel of width tau: the derivative's deviation is 1 / (sqrt 2 tau).
    assert np.diff(noise, axis=0).std() == pytest.approx(1 / (np.sqrt(2) * 20), rel=0.15)


def test_a_gait_of_amplitude_nought_stands_and_closes_on_itself():
    t = np.arange(61)
    clip = np.tile(stand(0.75), (61, 1))
    clip[:, 6] += 0.3 * np.sin(2 * np.pi * t / 60) + 0.001 * t
    clip[:, VX] = 0.8
    cycle = closed_cycle(clip, 0, 60)
    assert len(cycle) == 60
    assert cycle[0, 6] - cycle[-1, 6] == pytest.approx(0.3 * 2 * np.pi / 60, abs=2e-3)
    np.testing.assert_allclose(gait(cycle, 10, 0.0, 1.0, 0.0), np.tile(stand(0.75), (10, 1)))
    quick = gait(cycle, 10, 0.5, 1.2, 0.0)
    np.testing.assert_allclose(quick[:, VX], 0.5 * 0.8 * 1.2)


def test_tracks_are_finite_in_the_limits_and_repeat_with_their_seed(swaying):
    generator = ReferenceGenerator([swaying])
    tracks = generator.tracks(np.random.default_rng(5), 12)
    assert tracks.shape == (12, 1000, 35) and np.isfinite(tracks).all()
    # White noise of a live stream comes after the clip to the limits.
    assert (tracks[..., JOINTS] >= MODEL.limits.q_lower - 0.06).all()
    assert (tracks[..., JOINTS] <= MODEL.limits.q_upper + 0.06).all()
    assert 0.45 < tracks[..., Z].min() and tracks[..., Z].max() < 0.93
    np.testing.assert_array_equal(generator.tracks(np.random.default_rng(5), 2), tracks[:2])
    assert not np.array_equal(generator.tracks(np.random.default_rng(6), 1)[0], tracks[0])
    spread = tracks.reshape(-1, 35).std(axis=0)
    assert (spread[LEGS] > 0.02).all() and (spread[21:] > 0.05).all()
