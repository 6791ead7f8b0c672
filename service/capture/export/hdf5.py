"""Episodes as one file in robomimic's layout: data/demo_0/{actions, obs/*, rewards, dones}, mask/train.

Each part of the state is an observation of its own (obs/joint_pos, ...), float64. `rewards` is 1 in the last frame of
an episode that the operator called a success, `dones` 1 in every last frame. `mask` holds the names of the episodes for
each verdict; `keep` is mask/train.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from teleopd.service.capture.export.frames import Frames
from teleopd.service.capture.export.layout import ACTIONS, names, side_by_side
from teleopd.service.capture.export.settings import VERDICTS, Settings

FILE = "data.hdf5"
GYM = 2
"""robomimic's number of an environment that it does not simulate itself (`robomimic/envs/env_base.py`)."""


def write_hdf5(root: Path, episodes: Iterable[Callable[[], Frames]], settings: Settings) -> None:
    """Write root/data.hdf5; each episode is loaded when its turn comes.

    Raises:
        OSError: the disk says no.
    """
    masks: dict[str, list[str]] = {}
    total = 0
    with h5py.File(root / FILE, "w") as file:
        data = file.create_group("data")
        for i, load in enumerate(episodes):
            frames = load()
            _demo(data.create_group(f"demo_{i}"), frames, settings)
            masks.setdefault(frames.verdict, []).append(f"demo_{i}")
            total += frames.n
            if i == 0:
                data.attrs["env_args"] = json.dumps(_environment(frames, settings))
        data.attrs["total"] = total
        for verdict, demos in masks.items():
            name = "train" if verdict == VERDICTS[0] else verdict
            file.create_dataset(f"mask/{name}", data=np.array(demos, dtype="S"))


def _demo(group: Any, frames: Frames, settings: Settings) -> None:
    group.attrs["num_samples"] = frames.n
    group.attrs["task"] = frames.task
    group.attrs["teleopd"] = json.dumps(frames.record(), ensure_ascii=False)
    group.create_dataset("actions", data=side_by_side(frames.columns, settings.action, ACTIONS[settings.action]))
    for column in settings.state:
        group.create_dataset(f"obs/{column}", data=frames.columns[f"state.{column}"])
    rewards, dones = np.zeros(frames.n), np.zeros(frames.n, dtype=np.int64)
    rewards[-1], dones[-1] = float(frames.metadata.get("success", "") == "true"), 1
    group.create_dataset("rewards", data=rewards)
    group.create_dataset("dones", data=dones)
    group.create_dataset("timestamp", data=np.arange(frames.n) / frames.rate_hz)


def _environment(frames: Frames, settings: Settings) -> dict[str, Any]:
    labels = {name: names((name,), frames.joint_names, settings.joint_names) for name in settings.state}
    return {
        "env_name": f"teleopd/{frames.robot}", "type": GYM,
        "env_kwargs": {
            "control_freq": frames.rate_hz, "obs_names": labels,
            "action_names": names(ACTIONS[settings.action], frames.joint_names, settings.joint_names),
        },
    }  # fmt: skip
