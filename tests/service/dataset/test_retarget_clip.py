"""A clip through frame checks and retargeter into arrays: as many frames as the clip, whatever was refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN
from teleopd.drivers.motion_file import human
from teleopd.drivers.motion_file.clip import SEGMENT, MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.dataset.retarget_clip import NothingRetargeted, pose_of, retarget_clip, source_of
from teleopd.service.retarget.retargeter import Retargeter


@pytest.fixture(scope="module")
def clip() -> MotionClip:
    """The first second of the built-in walk that moves."""
    whole = load_motion("walk")
    return replace(whole, pos_w=whole.pos_w[200:320], quat_w=whole.quat_w[200:320])


def test_it_is_what_the_live_retargeter_gives(clip: MotionClip) -> None:
    done = retarget_clip(G1, clip)
    live = Retargeter(G1, MVN, source_id=1, nominal_hz=clip.fps)
    for i in range(clip.frames):
        reference = live.update(pose_of(clip, i))
        assert reference is not None
        assert done.qpos[i, :3] == pytest.approx(reference.root_pos_w, abs=1e-12)
        assert done.qpos[i, 3:7] == pytest.approx(reference.root_quat_w, abs=1e-12)
        assert done.qpos[i, 7:] == pytest.approx(reference.q, abs=1e-12)
    assert done.fps == 120.0
    assert done.held == 0
    assert done.reasons == {}
    assert len(done.cpu_ms) == clip.frames


def test_targets_are_kept_for_every_frame_and_grouped(clip: MotionClip) -> None:
    asked = retarget_clip(G1, clip).asked
    assert asked.pos.shape == (120, len(asked.bodies), 3)
    assert np.ptp(asked.pos[:, :, 0], axis=0).min() > 0.1  # a walker: not the last frame 120 times

    def named(group: str) -> set[str]:
        return {asked.bodies[i] for i in asked.groups[group]}

    assert named("foot") == {"left_ankle_roll_link", "right_ankle_roll_link"}
    assert named("hand") == {"left_wrist_yaw_link", "right_wrist_yaw_link"}
    assert named("pelvis") == {"pelvis"}
    assert len(asked.groups["orientation"]) == 14
    assert "left_shoulder_roll_link" not in named("orientation")


def test_a_refused_frame_holds_the_pose_before(clip: MotionClip) -> None:
    broken = replace(clip, pos_w=clip.pos_w.copy())
    broken.pos_w[50] = np.nan
    done = retarget_clip(G1, broken)
    assert done.held == 1
    assert done.reasons == {"non_finite": 1}
    assert len(done.qpos) == clip.frames
    assert done.qpos[50].tolist() == done.qpos[49].tolist()
    assert done.qpos[51].tolist() != done.qpos[49].tolist()


def test_refused_frames_at_the_start_show_the_first_pose(clip: MotionClip) -> None:
    broken = replace(clip, pos_w=clip.pos_w.copy())
    broken.pos_w[:3] = np.nan
    done = retarget_clip(G1, broken)
    assert done.held == 3
    assert done.qpos[0].tolist() == done.qpos[3].tolist()


def test_a_clip_without_a_usable_frame_says_why(clip: MotionClip) -> None:
    broken = replace(clip, name="hollow", pos_w=np.full_like(clip.pos_w, np.nan))
    with pytest.raises(
        NothingRetargeted, match=r"^hollow: none of its 120 frames could be retargeted: non_finite$"
    ):
        retarget_clip(G1, broken)


def test_the_source_is_the_persons_toes_and_hips() -> None:
    clip = load_motion("squat")
    source = source_of(clip)
    assert np.array_equal(source.toes[:, 1], clip.pos_w[:, SEGMENT["RightToe"]])
    legs = human.THIGH_M + human.SHANK_M
    assert source.standing_hips_m == pytest.approx(legs * 0.530 / 0.491, rel=1e-6)
    assert source.hips_z[0] > 0.95 * source.standing_hips_m
    assert source.hips_z.min() < 0.75 * source.standing_hips_m
