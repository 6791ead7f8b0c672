"""The clips a user means: folders, files and names of built-in motions; people's motions and a robot's alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.robots.model import RobotModel
from teleopd.service.evaluation.robot_motion import NotAMotion, RobotMotion, read_robot_motion

PEOPLE, ROBOTS = (".bvh",), (".pkl", ".npz")
"""File endings: motions of a person, and of a robot."""
LEAD_IN_S, LEAD_OUT_S = 4.0, 1.0
"""Standing before, in which the operator engages, and after."""


def find_clips(given: Sequence[str]) -> list[str]:
    """Files and built-in names in the order given; a folder stands for the motion files in it, sorted by name.

    Raises:
        NotAMotion: a folder holds no motion file.
    """
    found: list[str] = []
    for text in given:
        folder = Path(text).expanduser()
        if text in motion_names or not folder.is_dir():
            found.append(text)
            continue
        files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in PEOPLE + ROBOTS]
        if not files:
            wanted = ", ".join(f"*{end}" for end in PEOPLE + ROBOTS)
            raise NotAMotion(f"{text} holds no motion file; looked for {wanted}")
        found += map(str, files)
    return list(dict.fromkeys(found))


def open_clip(clip: str, model: RobotModel, seconds: float | None = None) -> MotionClip | RobotMotion:
    """The clip, at most its first `seconds`, with standing before and after it.

    Raises:
        NotAMotion, MotionFileError: it cannot be played; one sentence.
    """
    path = Path(clip).expanduser()
    if path.suffix.lower() in ROBOTS and path.is_file():
        motion = read_robot_motion(path, model)
        motion = motion if seconds is None else motion.first(seconds)
        return motion.with_leads(model, LEAD_IN_S, LEAD_OUT_S)
    person = load_motion(clip)
    if seconds is not None:
        frames = max(2, round(seconds * person.fps) + 1)
        person = replace(person, pos_w=person.pos_w[:frames], quat_w=person.quat_w[:frames])
    return with_leads(person, LEAD_IN_S, LEAD_OUT_S)


def clip_name(clip: str) -> str:
    """What tables and JSON call it."""
    return Path(clip).stem
