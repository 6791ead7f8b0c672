"""Loops without a seam: no step, no turn faster than the clip's own, place and heading go on, the room is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.drivers.motion_file.looping import ROOM_M, Loop


def speeds(pos_w, quat_w):
    """Largest step [m] and turn [rad] from one frame to the next."""
    cosine = np.abs(np.vecdot(quat_w[1:], quat_w[:-1])).min()
    return np.abs(np.diff(pos_w, axis=0)).max(), 2.0 * np.arccos(min(cosine, 1.0))


@pytest.mark.parametrize("name", motion_names)
def test_a_seam_is_no_faster_than_the_clip(name):
    clip = load_motion(name)
    long = Loop(clip).unrolled(3 * clip.frames)
    assert long.frames > clip.frames
    step, turn = speeds(long.pos_w, long.quat_w)
    own_step, own_turn = speeds(clip.pos_w, clip.quat_w)
    assert step <= 1.1 * own_step and turn <= 1.1 * own_turn
    np.testing.assert_allclose(np.linalg.norm(long.quat_w, axis=-1), 1.0, atol=1e-9)
    assert (np.vecdot(long.quat_w[1:], long.quat_w[:-1]) > 0.0).all()


def test_the_first_lap_up_to_its_blend_is_the_clip_itself():
    clip = load_motion("wave")
    long = Loop(clip).unrolled(2 * clip.frames)
    untouched = clip.frames - round(0.5 * clip.fps)
    assert np.array_equal(long.pos_w[:untouched], clip.pos_w[:untouched])
    np.testing.assert_allclose(long.pos_w[clip.frames], clip.pos_w[round(0.5 * clip.fps)], atol=1e-9)


def test_place_and_heading_go_on_where_the_lap_before_ended():
    """A person who turns left by 90 degrees and steps ahead: after four laps the path closes."""
    still = load_motion("stand")
    clip = replace(still, pos_w=still.pos_w[:240].copy(), quat_w=still.quat_w[:240].copy())
    yaw = np.linspace(0.0, np.pi / 2, 180).clip(0.0)
    yaw = np.concatenate((yaw, np.full(60, np.pi / 2)))
    ahead = np.concatenate((np.linspace(0.0, 1.0, 180), np.ones(60)))
    about = rot.about(2, yaw)[:, None]
    centre = clip.pos_w[:, :1] * (1.0, 1.0, 0.0)
    clip = replace(clip, pos_w=rot.rotate(about, clip.pos_w - centre) + centre, quat_w=rot.multiply(about, clip.quat_w))
    clip.pos_w[..., 0] += ahead[:, None]
    loop, lap = Loop(clip), 240 - 60
    roots = [loop.frame(k * lap)[0][0, :2] for k in range(5)]
    headings = [float(rot.heading(loop.frame(k * lap)[1][0])) for k in range(5)]
    sides = np.diff(roots, axis=0)
    np.testing.assert_allclose(np.linalg.norm(sides, axis=1), 1.0, atol=0.02)
    np.testing.assert_allclose(roots[4], roots[0], atol=0.05)
    np.testing.assert_allclose(np.mod(np.diff(headings), 2 * np.pi), np.pi / 2, atol=0.02)


def test_a_motion_that_travels_begins_anew_before_it_leaves_the_room():
    clip = load_motion("walk")
    loop = Loop(clip)
    travelled = loop.unrolled(10**9)
    assert travelled.frames == loop.frames < 10**5
    reach = np.hypot(*travelled.pos_w[:, 0, :2].T)
    assert 0.5 * ROOM_M < reach.max() <= ROOM_M
    pos, _, resets = loop.frame(loop.frames)
    assert resets == 1 and np.array_equal(pos, clip.pos_w[0])
    assert loop.frame(loop.frames - 1)[2] == 0


def test_frame_and_unrolled_are_the_same_motion():
    clip = load_motion("walk_and_turn")
    loop = Loop(clip)
    long = loop.unrolled(4 * clip.frames)
    for number in (0, 59, 60, clip.frames - 1, clip.frames, 2 * clip.frames + 17, long.frames - 1):
        pos, quat, resets = loop.frame(number)
        np.testing.assert_allclose(pos, long.pos_w[number], atol=1e-12)
        np.testing.assert_allclose(np.abs(np.vecdot(quat, long.quat_w[number])), 1.0, atol=1e-12)
        assert resets == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 10])
def test_a_clip_of_a_few_frames_loops_too(frames):
    clip = load_motion("stand")
    short = replace(clip, pos_w=clip.pos_w[:frames], quat_w=clip.quat_w[:frames])
    long = Loop(short).unrolled(50)
    assert long.frames == 50 and np.isfinite(long.pos_w).all()
