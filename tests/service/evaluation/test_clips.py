"""Folders, files and names -> clips with standing around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.clips import LEAD_IN_S, LEAD_OUT_S, find_clips, open_clip
from teleopd.service.evaluation.robot_motion import NotAMotion, RobotMotion


def test_a_folder_stands_for_its_motion_files(tmp_path: Path):
    for name in ("b.bvh", "a.pkl", "c.NPZ", "notes.md", "d.txt"):
        (tmp_path / name).write_text("")
    found = find_clips(["walk", str(tmp_path), str(tmp_path / "b.bvh"), "nowhere.bvh"])
    files = [str(tmp_path / name) for name in ("a.pkl", "b.bvh", "c.NPZ")]
    assert found == ["walk", *files, "nowhere.bvh"], "each once; what does not exist is judged when it is opened"


def test_a_folder_without_motions_is_one_sentence(tmp_path: Path):
    with pytest.raises(NotAMotion, match=r"holds no motion file; looked for \*\.bvh, \*\.pkl, \*\.npz$"):
        find_clips([str(tmp_path)])


def test_a_person_is_cut_to_length_and_led_in():
    whole, short = open_clip("walk", MODEL), open_clip("walk", MODEL, seconds=1.0)
    assert isinstance(whole, MotionClip) and isinstance(short, MotionClip)
    leads = round((LEAD_IN_S + LEAD_OUT_S) * short.fps)
    assert short.frames == leads + round(1.0 * short.fps) + 1 < whole.frames


def test_a_robot_motion_is_cut_to_length_and_led_in(tmp_path: Path):
    qpos = np.zeros((200, 7 + MODEL.n))
    qpos[:, 3] = 1.0
    np.savez(tmp_path / "a.npz", fps=50.0, qpos=qpos, joint_names=np.array(MODEL.joint_names))
    clip = open_clip(str(tmp_path / "a.npz"), MODEL, seconds=2.0)
    assert isinstance(clip, RobotMotion)
    assert len(clip.qpos) == 101 + round((LEAD_IN_S + LEAD_OUT_S) * 50)


def test_what_is_absent_or_no_motion_says_so(tmp_path: Path):
    with pytest.raises(MotionFileError, match="no built-in motion and no file 'nowhere.bvh'"):
        open_clip("nowhere.bvh", MODEL)
    with pytest.raises(MotionFileError, match="no built-in motion and no file 'nowhere.pkl'"):
        open_clip("nowhere.pkl", MODEL)
