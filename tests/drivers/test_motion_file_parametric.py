"""Built-in motions: stance feet stand still to the bit, bones keep their length, speeds are a person's."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import SEGMENT, to_local
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.footsteps import plan
from teleopd.drivers.motion_file.human import HEIGHT_M, OFFSETS
from teleopd.drivers.motion_file.parametric import MOTIONS, _stepping, built_in
from teleopd.drivers.motion_file.timing import minimum_jerk, track

WALKS = {"walk": 8, "walk_and_turn": 12, "step_in_place": 10, "turn": 12}
"""Motions with steps, and their number (counted by hand)."""


@pytest.fixture(scope="module", params=list(MOTIONS))
def clip(request: pytest.FixtureRequest):
    return built_in(request.param)


def feet_still(clip, side: str) -> np.ndarray:
    """Per frame step: the foot and toe did not change in a single bit."""
    ids = [SEGMENT[side + "Foot"], SEGMENT[side + "Toe"]]
    same = (np.diff(clip.pos_w[:, ids], axis=0) == 0).all(axis=(1, 2))
    return same & (np.diff(clip.quat_w[:, ids], axis=0) == 0).all(axis=(1, 2))


def test_there_are_the_eight() -> None:
    assert list(MOTIONS) == ["stand", "wave", "reach", "squat", "turn", "step_in_place", "walk", "walk_and_turn"]


def test_a_foot_always_stands_exactly_still_and_swings_are_the_only_motion(clip) -> None:
    left, right = feet_still(clip, "Left"), feet_still(clip, "Right")
    assert (left | right).all()
    swings = sum(int(np.sum(np.diff((~s).astype(int)) == 1)) for s in (left, right))
    assert swings == WALKS.get(clip.name, 0)
    for side, still in (("Left", left), ("Right", right)):
        ball, foot = (clip.pos_w[:, SEGMENT[side + s]] for s in ("Toe", "Foot"))
        # stance is flat at the standing height; a ball within a millimetre of the floor hardly slides
        assert (foot[1:][still, 2] == foot[0, 2]).all() and (ball[1:][still, 2] == ball[0, 2]).all()
        slide = np.linalg.norm(np.diff(ball[:, :2], axis=0), axis=-1) * clip.fps
        assert slide[ball[1:, 2] < ball[0, 2] + 1e-3].max() < 0.1


@pytest.mark.parametrize("fps", [30.0, 59.94, 240.0])
def test_stance_is_exact_at_any_rate(fps: float) -> None:
    clip = built_in("walk", fps)
    assert clip.fps == fps
    assert (feet_still(clip, "Left") | feet_still(clip, "Right")).all()


def test_the_motion_does_not_depend_on_the_rate() -> None:
    slow, fast = built_in("walk_and_turn", 30.0), built_in("walk_and_turn", 120.0)
    assert slow.pos_w == pytest.approx(fast.pos_w[::4], abs=1e-12)


def test_body_is_rigid_and_above_the_floor(clip) -> None:
    offsets, _ = to_local(clip.pos_w, clip.quat_w)
    assert np.abs(np.linalg.norm(offsets[:, 1:], axis=-1) - np.linalg.norm(OFFSETS[1:], axis=-1)).max() < 1e-9
    assert np.abs(offsets[:, 1:] - OFFSETS[1:]).max() < 1e-9
    assert clip.pos_w[..., 2].min() >= 0.02 - 1e-12
    assert np.linalg.norm(clip.quat_w, axis=-1) == pytest.approx(1.0)


def test_speeds_are_a_persons(clip) -> None:
    speed = np.linalg.norm(np.diff(clip.pos_w, axis=0), axis=-1) * clip.fps
    assert speed[:, 0].max() < 0.7 and speed.max() < 3.3
    _, local = to_local(clip.pos_w, clip.quat_w)
    dot = np.clip(np.abs(np.sum(local[1:] * local[:-1], axis=-1)), 0, 1)
    assert (2 * np.arccos(dot)).max() * clip.fps < 7.0
    jump = np.linalg.norm(np.diff(clip.pos_w, 2, axis=0), axis=-1) * clip.fps  # change of velocity per frame [m/s]
    assert jump.max() < 0.4


def test_starts_and_ends_standing_still_for_five_to_twelve_seconds(clip) -> None:
    assert 5.0 <= clip.duration_s <= 12.0
    for i in (0, -1):
        tilt = rot.multiply(rot.about(2, -rot.heading(clip.quat_w[i, 0])), clip.quat_w[i, 0])
        assert tilt == pytest.approx([1, 0, 0, 0], abs=1e-9)
        hang = clip.pos_w[i, SEGMENT["LeftHand"]] - clip.pos_w[i, SEGMENT["LeftUpperArm"]]
        assert hang[2] < -0.5
    for i in (0, -2):
        assert np.abs(clip.pos_w[i + 1] - clip.pos_w[i]).max() < 1e-4  # breathing: 5 mm/s at the shoulders
    assert clip.pos_w[0, 0, :2] == pytest.approx([0, 0], abs=1e-12)


def test_places_and_headings_at_the_end() -> None:
    end = {name: built_in(name) for name in WALKS}
    assert end["walk"].pos_w[-1, 0, :2] == pytest.approx([0.2 + 6 * 0.4, 0.0], abs=1e-9)
    assert rot.heading(end["walk_and_turn"].quat_w[-1, 0]) == pytest.approx(np.pi / 2)
    turn = end["turn"]
    assert np.max(rot.heading(turn.quat_w[:, 0])) == pytest.approx(np.pi / 2, abs=1e-3)
    assert turn.pos_w[-1, 0, :2] == pytest.approx([0, 0], abs=1e-9)
    walk = end["walk"]
    middle = (walk.pos_w[600, 0, 0] - walk.pos_w[360, 0, 0]) / 2.0
    assert 0.5 < middle < 0.7


def test_the_acts_are_what_they_are_called() -> None:
    wave, squat, reach = built_in("wave"), built_in("squat"), built_in("reach")
    hand, head = wave.pos_w[:, SEGMENT["RightHand"]], wave.pos_w[:, SEGMENT["Head"]]
    assert hand[420, 2] > head[420, 2] and hand[420, 1] < -0.3
    assert squat.pos_w[:, 0, 2].min() < squat.pos_w[0, 0, 2] - 0.24
    assert reach.pos_w[:, SEGMENT["RightHand"], 0].max() > 0.5
    assert reach.pos_w[:, SEGMENT["LeftHand"], 0].max() > 0.5


def test_proportions() -> None:
    clip = built_in("stand")
    assert clip.pos_w[0, SEGMENT["LeftUpperArm"], 2] == pytest.approx(0.818 * HEIGHT_M, abs=0.02)  # Winter, shoulder
    assert 1.2 < clip.pos_w[0, SEGMENT["Head"], 2] < 1.65


def test_bad_requests() -> None:
    with pytest.raises(MotionFileError, match=r"no built-in motion 'jog'; there are stand, wave, reach"):
        built_in("jog")
    with pytest.raises(MotionFileError, match="0.0 frames per second; 10 to 1000 are possible"):
        built_in("walk", 0.0)
    giant = plan([(1.2, 0.0)] * 3, start_s=1.0, step_s=0.7, swing_s=0.5)
    with pytest.raises(ValueError, match="motion giant: a foot is .* m from its hip; the leg is shorter"):
        _stepping("giant", 60.0, 6.0, giant, drop_m=0.03, swing_deg=0.0)


def test_minimum_jerk_and_tracks() -> None:
    assert minimum_jerk(np.array([-1, 0, 0.5, 1, 2])).tolist() == [0, 0, 0.5, 1, 1]
    s = np.linspace(0, 1, 10001)
    assert np.max(np.gradient(minimum_jerk(s), s)) == pytest.approx(1.875, abs=1e-4)
    assert track(np.array([0.0, 1.0, 1.5, 2.0, 9.0]), [(1.0, 3.0), (2.0, 5.0)]).tolist() == [3, 3, 4, 5, 5]
