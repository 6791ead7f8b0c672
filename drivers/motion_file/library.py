"""A built-in motion by name or a BVH file by path, for sources and emulators alike."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from teleopd.drivers.home import expanded
from teleopd.drivers.motion_file.bvh import MAX_BYTES, parse_bvh
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.kinematics import clip_from_bvh
from teleopd.drivers.motion_file.parametric import MOTIONS, built_in

motion_names: tuple[str, ...] = tuple(MOTIONS)
"""Built-in motions."""


def load_motion(motion: str | os.PathLike[str], *, unit_m: float | None = None) -> MotionClip:
    """The clip of that name or file, first heading +X, first pelvis over the origin, floor at z = 0.

    Args:
        motion: built-in name or path of a BVH file (a name wins over a file of the same name; write ./walk for that).
        unit_m: metres per unit of the BVH, where it is not that of its skeleton family.

    Raises:
        MotionFileError: unknown name, unreadable file, or a file that is not a person's motion.
    """
    path = find_motion(motion)
    if path is None:
        return built_in(os.fspath(motion))
    try:
        content = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise MotionFileError(f"{os.fspath(motion)} cannot be read: {error.strerror}") from error
    return clip_from_bvh(parse_bvh(content, path.name), path.stem, unit_m=unit_m)


def find_motion(motion: str | os.PathLike[str]) -> Path | None:
    """The file of a motion, not yet read; None for a built-in one.

    Raises:
        MotionFileError: unknown name, or a file that cannot be a person's motion.
    """
    text = os.fspath(motion)
    if text in MOTIONS:
        return None
    path = expanded(text, MotionFileError)
    if not path.exists():
        close = difflib.get_close_matches(text, MOTIONS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise MotionFileError(
            f"no built-in motion and no file {text!r}{hint}; built-in are {', '.join(MOTIONS)}; files are BVH"
        )
    if not path.is_file():
        raise MotionFileError(f"{text} is not a file; give a BVH file or one of {', '.join(MOTIONS)}")
    if path.suffix.lower() in (".npz", ".npy"):
        raise MotionFileError(
            f"{text} is a robot motion (joint angles of a robot), which has no person to follow; "
            f"give a person's motion: a BVH file or one of {', '.join(MOTIONS)}"
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise MotionFileError(f"{text}: {size} bytes; at most {MAX_BYTES} are read")
    return path
