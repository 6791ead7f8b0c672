"""Compile everything once and keep it; about half a minute, and every later start takes a second."""

from __future__ import annotations

import numpy as np

from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.catalog import load_robot
from teleopd.service.dataset.retarget_clip import pose_of
from teleopd.service.retarget.compiled import cache
from teleopd.service.retarget.retargeter import Retargeter


def prepare(robot: str = "unitree_g1") -> None:
    """Retarget a few frames, which compiles; then say in the cache that it is done.

    Raises:
        ImportError: numba is not installed, or does not work here.
        OSError: the cache cannot be written.
    """
    clip = load_motion("walk")
    retargeter = Retargeter(load_robot(robot), clip.skeleton, solver="compiled")
    for frame in range(3):
        reference = retargeter.update(pose_of(clip, frame))
        assert reference is not None and np.isfinite(reference.q).all()
    cache.folder().mkdir(parents=True, exist_ok=True)
    (cache.folder() / "ready").touch()
