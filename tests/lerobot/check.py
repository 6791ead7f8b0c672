"""Run by an environment with lerobot: loads, samples, deletes from and merges the sets of make_sets.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torchvision_operators  # noqa: F401  before lerobot
from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features

TASKS = ["wave 0", "wave 1", "wave 2", "wave 0", "wave 1"]
SECONDS = [4.0, 5.0, 6.0, 7.0, 8.0]


def check_loads(data: LeRobotDataset, root: Path, first: int, episodes: int) -> None:
    """Totals, every frame's numbers and texts, statistics."""
    rows = pq.read_table(root / "data").to_pydict()
    assert data.num_episodes == episodes and data.num_frames == len(rows["index"]) == len(data)
    assert data.fps == 50 and data.meta.robot_type == "unitree_g1"
    for k in (0, 1, len(data) // 2, len(data) - 1):
        item = data[k]
        episode = rows["episode_index"][k]
        assert item["task"] == TASKS[first + episode], item["task"]
        assert item["observation.state"].tolist() == rows["observation.state"][k]
        assert item["action"].tolist() == rows["action"][k]
        assert item["timestamp"].item() == np.float32(rows["frame_index"][k] / 50)
    for episode in range(episodes):
        length = data.meta.episodes["length"][episode]
        assert abs(length / 50 - SECONDS[first + episode]) < 0.05, length
    state = np.array(rows["observation.state"])
    assert np.allclose(data.meta.stats["observation.state"]["mean"], state.mean(axis=0), atol=1e-5)
    kinds = {key: str(feature.type) for key, feature in dataset_to_policy_features(data.meta.features).items()}
    assert kinds == {"observation.state": "FeatureType.STATE", "action": "FeatureType.ACTION"}, kinds


def check_samples(root: Path) -> None:
    """Windows in time, padded at the ends of an episode, and a shuffled loader."""
    windows = {"observation.state": [-0.02, 0.0], "action": [0.0, 0.02, 0.04]}
    data = LeRobotDataset("teleopd/one", root=root, delta_timestamps=windows)
    last = int(data.meta.episodes["length"][0]) - 1
    item = data[last]
    assert item["action"].shape == (3, 29) and item["action_is_pad"].tolist() == [False, True, True]
    assert torch.equal(item["observation.state"][0], data[last - 1]["observation.state"][1])
    seen = 0
    for batch in torch.utils.data.DataLoader(data, batch_size=64, shuffle=True):
        assert batch["observation.state"].shape[1:] == (2, 65) and torch.isfinite(batch["action"]).all()
        seen += len(batch["index"])
    assert seen == len(data)


def check_tools(one: LeRobotDataset, two: LeRobotDataset, work: Path) -> None:
    """LeRobot's own delete and merge."""
    fewer = delete_episodes(one, [1], output_dir=work / "deleted", repo_id="teleopd/deleted")
    assert fewer.num_episodes == 2 and fewer.num_frames == one.num_frames - one.meta.episodes["length"][1]
    assert fewer[fewer.num_frames - 1]["task"] == TASKS[2]
    assert torch.equal(fewer[fewer.num_frames - 1]["action"], one[one.num_frames - 1]["action"])
    both = merge_datasets([one, two], output_repo_id="teleopd/both", output_dir=work / "both")
    assert both.num_episodes == 5 and both.num_frames == one.num_frames + two.num_frames
    start = 0
    for episode, task in enumerate(TASKS):
        assert both[start]["task"] == task, (episode, both[start]["task"])
        start += both.meta.episodes["length"][episode]
    assert torch.equal(both[one.num_frames]["observation.state"], two[0]["observation.state"])


def shade(picture: torch.Tensor) -> float:
    """Mean level of the upper half of a picture (3, H, W) in 0..1, in 0..255."""
    return float(picture[:, : picture.shape[1] // 2].mean()) * 255


def check_films(work: Path) -> None:
    """Pictures of every frame, across episodes; windows in time; deleted and merged sets show the same pictures."""
    films, film = (LeRobotDataset(f"teleopd/{name}", root=work / name) for name in ("films", "film"))
    key = "observation.images.head"
    assert films.meta.camera_keys == [key] and films[0][key].shape == (3, 64, 96)
    starts = [int(i) for i in films.meta.episodes["dataset_from_index"]]
    for start in starts:
        shades = [shade(films[start + k][key]) for k in range(20)]
        steps = np.diff(shades)
        assert 25 < shades[0] < 45 and ((steps > -2) & (steps < 10)).all() and shades[-1] > 90, shades
    assert films.meta.stats[key]["mean"].shape == (3, 1, 1)
    window = LeRobotDataset("teleopd/films", root=work / "films", delta_timestamps={key: [-1 / 30, 0.0]})
    pair = window[starts[1] + 5][key]
    assert torch.equal(pair[1], films[starts[1] + 5][key]) and torch.equal(pair[0], films[starts[1] + 4][key])
    fewer = delete_episodes(films, [0], output_dir=work / "films_fewer", repo_id="teleopd/films_fewer")
    assert fewer.num_episodes == 2 and abs(shade(fewer[7][key]) - shade(films[starts[1] + 7][key])) < 3
    both = merge_datasets([films, film], output_repo_id="teleopd/all_films", output_dir=work / "all_films")
    assert both.num_episodes == 4
    assert abs(shade(both[films.num_frames + 9][key]) - shade(film[9][key])) < 3
    loader = torch.utils.data.DataLoader(both, batch_size=16, shuffle=True)
    assert next(iter(loader))[key].shape == (16, 3, 64, 96)


def main() -> int:
    work = Path(sys.argv[1])
    one = LeRobotDataset("teleopd/one", root=work / "one")
    two = LeRobotDataset("teleopd/two", root=work / "two")
    check_loads(one, work / "one", 0, 3)
    check_loads(two, work / "two", 3, 2)
    print("loads: 3 and 2 episodes, every checked frame equal to the file, task texts, statistics")
    check_samples(work / "one")
    print("samples: windows in time, padding, shuffled batches")
    check_tools(one, two, work)
    print("delete_episodes and merge_datasets: frames and texts as expected")
    check_films(work)
    print("cameras: every frame's picture, windows, deleted and merged sets, shuffled batches")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads of torchcodec abort an orderly end
