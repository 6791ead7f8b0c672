"""Episodes of xr_teleoperate and TWIST2, laid out as their writers do: numbers, names, times, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.peers import read_peer
from teleopd.service.capture.export.recordings import find_recordings
from teleopd.service.capture.export.run import export_episodes
from teleopd.service.capture.export.settings import Settings

ARM = [f"kLeft{j}" for j in ("ShoulderPitch", "ShoulderRoll", "ShoulderYaw", "Elbow", "WristRoll")]


def xr(n: int = 40, **info: Any) -> dict[str, Any]:
    """`left_arm` is named, the hand is not; `base` has a velocity and no joints."""
    names = {"left_arm": ARM, "left_ee": [], "base": []}
    items = [
        {
            "idx": k, "colors": {"color_0": f"colors/{k:06d}_color_0.jpg"}, "depths": {}, "audios": {},
            "states": {"left_arm": {"qpos": [k + 0.1 * j for j in range(5)], "qvel": [], "torque": []},
                       "left_ee": {"qpos": [-k, k / 2]}, "base": {"qvel": [0.1, 0.0, 0.0]}},
            "actions": {"left_arm": {"qpos": [k + 0.5] * 5}, "left_ee": {"qpos": [k, k]}, "base": {"qvel": [0.0]}},
        }
        for k in range(n)
    ]  # fmt: skip
    about = {"version": "1.0.0", "image": {"width": 640, "height": 480, "fps": 30}, "joint_names": names, **info}
    return {"info": about, "text": {"goal": 'pick the "red" cup'}, "data": items, "rewards": {"success": True}}


def twist2(n: int = 40) -> dict[str, Any]:
    items = [
        {
            "idx": k, "rgb": f"rgb/{k:06d}.jpg", "t_img": 1_700_000_000_000 + 33 * k,
            "state_body": [0.1, 0.2, 0.3, 0.01, 0.02, *(k + 0.01 * np.arange(29))], "state_hand_left": [0.0] * 7,
            "action_body": [0.5, 0.0, 0.79, 0.0, 0.0, 0.1, *(k - 0.01 * np.arange(29))], "t_action": 1,
        }
        for k in range(n)
    ]  # fmt: skip
    return {"info": {"image": {"width": 640, "height": 480, "fps": 30}}, "text": {"goal": "walk"}, "data": items}


def write(folder: Path, value: Any, text: str | None = None) -> Path:
    folder.mkdir(parents=True)
    path = folder / "data.json"
    path.write_text(json.dumps(value, indent=4) if text is None else text, encoding="utf-8")
    return path


def test_an_episode_of_xr_teleoperate(tmp_path: Path):
    episode = read_peer(write(tmp_path / "episode_0003", xr()))
    assert episode.joint_names == (*ARM, "left_ee_0", "left_ee_1")
    state, target = episode.streams["state"], episode.streams["target"]
    assert set(state.columns) == {"joint_pos"}
    assert state.columns["joint_pos"][6].tolist() == [6.0, 6.1, 6.2, 6.3, 6.4, -6.0, 3.0]
    assert target.columns["joint_pos"][6].tolist() == [6.5] * 5 + [6.0, 6.0]
    assert np.array_equal(state.t_ns, np.rint(np.arange(40) * 1e9 / 30).astype(np.int64))
    assert np.all(target.t_ns - state.t_ns == 8_333_333)
    assert episode.metadata == {
        "task": 'pick the "red" cup', "source": "xr_teleoperate", "complete": "true", "success": "true",
    }  # fmt: skip


def test_an_episode_of_twist2(tmp_path: Path):
    episode = read_peer(write(tmp_path / "episode_0001", twist2()))
    assert (episode.robot, episode.joint_names) == (G1.name, tuple(G1.joint_names))
    state, target = episode.streams["state"], episode.streams["target"]
    assert np.allclose(state.columns["joint_pos"][5], 5 + 0.01 * np.arange(29))
    assert np.allclose(state.columns["imu_gyro_b"], [0.1, 0.2, 0.3])
    assert np.allclose(target.columns["joint_pos"][5], 5 - 0.01 * np.arange(29))
    assert np.all(np.diff(state.t_ns) == 33_000_000)
    assert episode.metadata["task"] == "walk" and episode.metadata["success"] == ""


@pytest.mark.parametrize(("made", "rate"), [(xr, 30.0), (twist2, 30.0)])
def test_they_become_a_data_set_in_which_state_and_action_of_an_item_meet(tmp_path: Path, made: Any, rate: float):
    for i in range(2):
        write(tmp_path / f"task/episode_000{i}", made())
    settings = Settings("lerobot", rate, state=("joint_pos",))
    summary = export_episodes(find_recordings([tmp_path / "task"]), tmp_path / "ds", settings)
    assert summary.status == 0 and [row["name"] for row in summary.episodes] == ["episode_0000", "episode_0001"]
    rows = pq.read_table(tmp_path / "ds/data").to_pydict()
    items = made()["data"]
    for k in range(36):
        seen, answered = rows["observation.state"][k], rows["action"][k]
        item = items[round(seen[0])]
        wanted = item["action_body"][6:] if "action_body" in item else (
            item["actions"]["left_arm"]["qpos"] + item["actions"]["left_ee"]["qpos"]
        )  # fmt: skip
        assert answered == pytest.approx(wanted, abs=1e-5), k


def test_a_file_its_writer_did_not_finish_gives_the_items_it_has(tmp_path: Path):
    value = xr()
    text = "{\n" + "".join(f'"{key}": {json.dumps(value[key], indent=4)},\n' for key in ("info", "text"))
    text += '"data": [\n' + ",\n".join(json.dumps(item, indent=4) for item in value["data"])
    for i, (cut, left) in enumerate([(text, 40), (text[:-60], 39), (text + ",\n", 40)]):
        episode = read_peer(write(tmp_path / str(i), None, cut))
        assert episode.streams["state"].n == left and episode.metadata["complete"] == "false"


def changed(value: dict[str, Any], item: int, **more: Any) -> dict[str, Any]:
    value["data"][item].update(more)
    return value


@pytest.mark.parametrize(("value", "said"), [
    ([], "no JSON with `data`"), ({"data": []}, "has no items"), ({"data": [{"idx": 0}]}, "KeyError 'info'"),
    (changed(xr(), 7, states={"left_arm": {"qpos": [1.0]}}), "its states differ in number from item to item"),
    (changed(twist2(), 0, state_body=[0.0] * 32), "inhomogeneous"),
    ({**twist2(3), "data": [{**item, "action_body": [0.0] * 29} for item in twist2(3)["data"]]}, "not (34,) and (35,)"),
    (xr(image={"fps": 0}), "0 frames a second"), (changed(xr(), 3, idx="x"), "ValueError"),
    (changed(xr(), 0, states=None), "AttributeError"),
])  # fmt: skip
def test_what_is_laid_out_otherwise_is_one_sentence(tmp_path: Path, value: Any, said: str):
    path = write(tmp_path / "e", value)
    with pytest.raises(EpisodeRefused) as raised:
        read_peer(path)
    assert str(raised.value).startswith(str(path)) and said in str(raised.value)
