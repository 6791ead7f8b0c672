"""The LeRobotDataset v3.0 that is written: layout, definitions of state and action, statistics, and what is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.episode import Episode
from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.export.frames import Frames, frames_of
from teleopd.service.capture.export.lerobot import write_lerobot
from teleopd.service.capture.export.lerobot_check import check_lerobot
from teleopd.service.capture.export.settings import Settings

Make = Callable[..., Episode]
N = G1.n
SETTINGS = Settings("lerobot")


def pieces(make: Make, *tasks: str, settings: Settings = SETTINGS, **metadata: str) -> list[Frames]:
    made = [make(1.0 + 0.5 * i, path=Path(f"e{i}.mcap"), task=task, **metadata) for i, task in enumerate(tasks)]
    return [frames_of(episode, settings)[0] for episode in made]


def written(root: Path, episodes: list[Frames], settings: Settings = SETTINGS, **more: Any) -> Path:
    root.mkdir()
    write_lerobot(root, [partial(lambda x: x, frames) for frames in episodes], settings, **more)
    check_lerobot(root)
    return root


def info(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "meta/info.json").read_text()))


def test_the_files_are_those_of_the_format(make: Make, tmp_path: Path):
    root = written(tmp_path / "ds", pieces(make, "wave", "walk"))
    assert sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) == [
        "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet", "meta/info.json",
        "meta/modality.json", "meta/stats.json", "meta/tasks.parquet", "meta/teleopd.json",
    ]  # fmt: skip
    said = info(root)
    assert said["codebase_version"] == "v3.0" and said["fps"] == 50 and said["robot_type"] == "unitree_g1"
    assert (said["total_episodes"], said["total_tasks"], said["splits"]) == (2, 2, {"train": "0:2"})
    assert said["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert said["features"]["observation.state"]["shape"] == [2 * N + 7]
    assert said["features"]["observation.state"]["names"][N - 1 : N + 1] == [
        f"{G1.joint_names[-1]}.q", f"{G1.joint_names[0]}.dq",
    ]  # fmt: skip
    assert said["features"]["observation.state"]["names"][-7:-3] == [f"imu_quat_w.{c}" for c in "wxyz"]
    assert said["features"]["action"]["names"] == [f"{name}.q" for name in G1.joint_names]
    assert said["features"]["index"] == {"dtype": "int64", "shape": [1], "names": None}


def test_the_data_have_the_formats_types_and_one_row_group_an_episode(make: Make, tmp_path: Path):
    episodes = pieces(make, "wave", "walk")
    root = written(tmp_path / "ds", episodes)
    file = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(2)] == [e.n for e in episodes]
    schema = file.schema_arrow
    assert schema.field("observation.state").type == pa.list_(pa.float32(), 2 * N + 7)
    assert schema.field("action").type == pa.list_(pa.float32(), N)
    assert schema.field("timestamp").type == pa.float32()
    assert all(schema.field(n).type == pa.int64() for n in ("frame_index", "episode_index", "index", "task_index"))


def test_state_and_action_are_the_samples_of_their_definition(make: Make, tmp_path: Path):
    episode = make(2.0)
    root = written(tmp_path / "ds", list(frames_of(episode, SETTINGS)))
    rows = pq.read_table(root / "data").to_pydict()
    state, target = episode.streams["state"], episode.streams["target"]
    first = int(target.t_ns[0]) - 5_000_000 + 20_000_000  # the state begins 2 ms after the first target's own frame
    for k in (0, 1, 40, len(rows["index"]) - 1):
        t = first + k * 20_000_000
        i = int(np.argmin(np.abs(state.t_ns - t)))
        j = int(np.flatnonzero(target.t_ns >= t)[0])
        seen, answered = np.array(rows["observation.state"][k]), np.array(rows["action"][k])
        assert np.array_equal(seen[:N], state.columns["joint_pos"][i].astype(np.float32))
        assert np.array_equal(seen[N : 2 * N], state.columns["joint_vel"][i].astype(np.float32))
        assert np.array_equal(answered, target.columns["joint_pos"][j].astype(np.float32))
        assert rows["skew_s"][k] == pytest.approx([(state.t_ns[i] - t) / 1e9, 0.005], abs=1e-7)
        assert rows["timestamp"][k] == np.float32(k / 50)


def test_the_action_can_be_what_the_operator_asked_for(make: Make, tmp_path: Path):
    settings = Settings("lerobot", action="reference", joint_names="unitree", state=("joint_pos",))
    root = written(tmp_path / "ds", pieces(make, "wave", settings=settings), settings)
    named = info(root)["features"]["action"]["names"]
    assert named[:8] == [
        "root_pos_w.x", "root_pos_w.y", "root_pos_w.z", "root_quat_w.w", "root_quat_w.x", "root_quat_w.y",
        "root_quat_w.z", "kLeftHipPitch.q",
    ]  # fmt: skip
    assert len(pq.read_table(root / "data")["action"][0]) == 7 + N == len(named)
    modality = json.loads((root / "meta/modality.json").read_text())
    assert modality["action"] == {
        "root_pos_w": {"start": 0, "end": 3}, "root_quat_w": {"start": 3, "end": 7},
        "joint_pos": {"start": 7, "end": 7 + N},
    }  # fmt: skip
    assert modality["state"] == {"joint_pos": {"start": 0, "end": N}}


NASTY = ['say "hi"', "a/b\\c", "wave 👋", "wave 👋", "ends \ud83d torn", "   "]


def test_task_texts_come_back_whatever_they_hold(make: Make, tmp_path: Path):
    root = written(tmp_path / "ds", pieces(make, *NASTY))
    table = pq.read_table(root / "meta/tasks.parquet")
    texts = ['say "hi"', "a/b\\c", "wave 👋", "ends ? torn", "teleoperation"]
    assert table["__index_level_0__"].to_pylist() == texts
    assert table.schema.field("__index_level_0__").type == pa.large_string()
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]
    episodes = pq.read_table(root / "meta/episodes").to_pydict()
    assert episodes["tasks"] == [[texts[i]] for i in (0, 1, 2, 2, 3, 4)]
    rows = pq.read_table(root / "data", columns=["task_index", "episode_index"]).to_pydict()
    assert dict(zip(rows["episode_index"], rows["task_index"], strict=True)) == dict(enumerate((0, 1, 2, 2, 3, 4)))


def test_statistics_of_an_episode_and_of_all_are_those_of_their_frames(make: Make, tmp_path: Path):
    root = written(tmp_path / "ds", pieces(make, "wave", "walk", "run"))
    rows = pq.read_table(root / "data").to_pydict()
    everything = np.array(rows["observation.state"], dtype=np.float64)
    stats = json.loads((root / "meta/stats.json").read_text())
    found = stats["observation.state"]
    assert np.allclose(found["min"], everything.min(axis=0)) and np.allclose(found["max"], everything.max(axis=0))
    assert np.allclose(found["mean"], everything.mean(axis=0)) and np.allclose(found["std"], everything.std(axis=0))
    assert found["count"] == [len(everything)]
    assert set(stats) == {"observation.state", "action", "skew_s", "timestamp", "frame_index", "episode_index",
                          "index", "task_index"}  # fmt: skip
    episodes = pq.read_table(root / "meta/episodes").to_pydict()
    one = everything[episodes["dataset_from_index"][1] : episodes["dataset_to_index"][1]]
    assert np.allclose(episodes["stats/observation.state/q10"][1], np.quantile(one, 0.1, axis=0))
    assert episodes["stats/action/count"] == [[length] for length in episodes["length"]]
    weights = np.array(episodes["length"]) / sum(episodes["length"])
    of_each = np.array(episodes["stats/observation.state/q90"])
    assert np.allclose(found["q90"], weights @ of_each)


def test_large_sets_go_on_in_the_next_file(make: Make, tmp_path: Path):
    episodes = pieces(make, "a", "b", "c")
    root = written(tmp_path / "ds", episodes, file_mb=0.01)
    assert sorted(p.name for p in (root / "data/chunk-000").iterdir()) == [f"file-00{i}.parquet" for i in range(3)]
    table = pq.read_table(root / "meta/episodes").to_pydict()
    assert table["data/file_index"] == [0, 1, 2]
    assert table["dataset_to_index"][-1] == sum(e.n for e in episodes) == info(root)["total_frames"]


def test_what_was_judged_maybe_or_drop_is_in_no_split_named_train(make: Make, tmp_path: Path):
    episodes = [*pieces(make, "a", "b"), *pieces(make, "c", verdict="maybe"), *pieces(make, "d", verdict="drop")]
    root = written(tmp_path / "ds", episodes)
    assert info(root)["splits"] == {"train": "0:2", "maybe": "2:3", "drop": "3:4"}


def test_where_everything_comes_from_is_written_down(make: Make, tmp_path: Path):
    episode = make(1.5, path=Path("x/e7.mcap"), config_sha256="ab12", dropped={"state": 3})
    root = written(tmp_path / "ds", list(frames_of(episode, SETTINGS)))
    said = json.loads((root / "meta/teleopd.json").read_text())
    assert said["settings"]["rate_hz"] == 50.0 and set(said["definition"]) >= {"observation.state", "action"}
    (row,) = said["episodes"]
    assert (row["name"], row["operator"], row["config_sha256"], row["dropped"]) == ("e7", "ada", "ab12", {"state": 3})
    assert row["skew_ms"]["target"] == {"max": 5.0, "p99": 5.0} and row["held"] == 0


def spoil(root: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    path = root / name
    if path.suffix == ".json":
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))
        return
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path)


DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
FAULTS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("meta/info.json", lambda v: v.update(total_frames=1), "frames in info.json"),
    ("meta/info.json", lambda v: v.update(total_tasks=9), "tasks in info.json: 9 expected, 1 found"),
    (EPISODES, lambda v: v["length"].__setitem__(0, 7), "frames"),
    (DATA, lambda v: v["index"].__setitem__(5, 6), "its indices do not go on from 0 one by one"),
    (DATA, lambda v: v["timestamp"].__setitem__(5, 0.0), "a time is not frame / 50"),
    (DATA, lambda v: v["action"][3].__setitem__(2, float("nan")), "'action' has a number that is not finite"),
    (DATA, lambda v: v["episode_index"].__setitem__(0, 1), "rows of episode 0"),
]


@pytest.mark.parametrize(("name", "change", "said"), FAULTS, ids=[said for _, _, said in FAULTS])
def test_the_check_finds_what_loaders_do_not(
    make: Make, tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None], said: str
):
    root = written(tmp_path / "ds", pieces(make, "a", "a"))
    spoil(root, name, change)
    with pytest.raises(ExportError, match=said):
        check_lerobot(root)


PARTS = "joint_pos, joint_vel, joint_torque, imu_quat_w, imu_gyro_b, imu_acc_b"


@pytest.mark.parametrize(("asked", "said"), [
    ({"rate_hz": 29.97}, "a rate of 29.97 Hz; LeRobot counts whole frames a second, as 30 or 50"),
    ({"rate_hz": 0.0}, "a rate of 0 Hz; give 1 to 500 Hz"),
    ({"rate_hz": float("nan")}, "a rate of nan Hz; give 1 to 500 Hz"),
    ({"state": ("joint_pos", "root")}, f"the state has no part 'root'; its parts are {PARTS}"),
    ({"state": ("joint_pos", "joint_pos")},
     f"the state is made of joint_pos, joint_pos; name each of its parts once: {PARTS}"),
    ({"include": ("good",)}, "there is no verdict 'good'; there are keep, maybe, drop"),
])  # fmt: skip
def test_settings_that_cannot_be_are_one_sentence(asked: dict[str, Any], said: str):
    with pytest.raises(ExportError) as raised:
        Settings("lerobot", **asked)
    assert str(raised.value) == said
