"""Run by an environment with lerobot: loads, samples, deletes from and merges the sets of make_sets.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

# torchvision from the index does not know a CPU build of torch; its operators are declared, and never called.
LIBRARY = torch.library.Library("torchvision", "DEF")
LIBRARY.define("nms(Tensor a, Tensor b, float c) -> Tensor")
LIBRARY.define("qnms(Tensor a, Tensor b, float c) -> Tensor")
LIBRARY.define("roi_align(Tensor a, Tensor b, float c, int d, int e, int f, bool g) -> Tensor")

from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets  # noqa: E402
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.datasets.utils import dataset_to_policy_features  # noqa: E402

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
    return 0


if __name__ == "__main__":
    sys.exit(main())
