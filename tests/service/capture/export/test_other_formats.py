"""npz for tracking policies, CSV and robomimic HDF5: keys, orders, and the numbers in them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import mujoco
import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.episode import Episode
from teleopd.service.capture.export.csv import write_csv
from teleopd.service.capture.export.errors import EpisodeRefused
from teleopd.service.capture.export.frames import frames_of, load, save
from teleopd.service.capture.export.hdf5 import write_hdf5
from teleopd.service.capture.export.npz import known_robot, write_npz
from teleopd.service.capture.export.settings import Settings
from teleopd.service.evaluation.robot_motion import read_robot_motion

Make = Callable[..., Episode]
KEYS = {
    "fps", "qpos", "root_pos", "root_rot", "dof_pos", "local_body_pos", "local_body_rot", "body_names", "joint_names",
    "source", "config_sha256",
}  # fmt: skip


def test_forward_kinematics_of_the_npz_give_its_own_bodies(make: Make, tmp_path: Path):
    settings = Settings("npz")
    (frames,) = frames_of(make(1.0, config_sha256="c0ffee"), settings)
    write_npz(tmp_path / "a.npz", frames, settings)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert set(data) == KEYS
        motion = {key: data[key] for key in data.files}
    assert (str(motion["source"]), str(motion["config_sha256"]), float(motion["fps"])) == ("a.mcap", "c0ffee", 50.0)
    assert motion["joint_names"].tolist() == list(G1.joint_names)
    assert np.array_equal(motion["root_rot"], motion["qpos"][:, [4, 5, 6, 3]])
    model = mujoco.MjModel.from_xml_path(str(G1.mjcf))  # the robot's own file, not what the writer compiled
    data = mujoco.MjData(model)
    where = [model.jnt_qposadr[model.joint(name).id] for name in G1.joint_names]
    ids = [model.body(name).id for name in motion["body_names"]]
    for i in range(0, len(motion["qpos"]), 7):
        data.qpos[:3], data.qpos[3:7], data.qpos[where] = 0.0, (1.0, 0.0, 0.0, 0.0), motion["dof_pos"][i]
        mujoco.mj_kinematics(model, data)
        assert np.abs(data.xpos[ids] - motion["local_body_pos"][i]).max() < 1e-6
        assert np.abs(data.xquat[ids][:, [1, 2, 3, 0]] - motion["local_body_rot"][i]).max() < 1e-6


def test_measured_motion_has_measured_joints_on_the_root_of_the_reference(make: Make, tmp_path: Path):
    settings = Settings("npz")
    episode = make(1.0)
    (frames,) = frames_of(episode, settings)
    write_npz(tmp_path / "a.npz", frames, settings)
    state = episode.streams["state"]
    seconds = (frames.t_ns - episode.t_start_ns) / 1e9
    with np.load(tmp_path / "a.npz") as data:
        for j in range(G1.n):
            line = np.interp(frames.t_ns, state.t_ns, state.columns["joint_pos"][:, j])
            assert np.allclose(data["dof_pos"][:, j], line, atol=1e-12)
        assert np.allclose(data["root_pos"], np.stack([seconds, 0 * seconds, 0.8 + 0 * seconds], axis=1))
        assert np.allclose(data["qpos"][:, 3], np.cos(seconds * 0.25))  # 0.5 rad/s about z, by slerp
        assert np.allclose(data["qpos"][:, 6], np.sin(seconds * 0.25))


@pytest.mark.parametrize(("motion", "stream"), [("reference", "reference"), ("shaped", "shaped_reference")])
def test_the_motion_can_be_what_was_asked_for_or_tracked(make: Make, tmp_path: Path, motion: str, stream: str):
    settings = Settings("npz", motion=motion)  # type: ignore[arg-type]
    plain = make(1.0)
    episode = replace(plain, streams={stream: plain.streams["reference"]})
    (frames,) = frames_of(episode, settings)
    write_npz(tmp_path / "a.npz", frames, settings)
    reference = plain.streams["reference"]
    with np.load(tmp_path / "a.npz") as data:
        assert np.allclose(
            data["dof_pos"][:, 4], np.interp(frames.t_ns, reference.t_ns, reference.columns["joint_pos"][:, 4])
        )


def test_the_evaluation_reads_the_npz(make: Make, tmp_path: Path):
    settings = Settings("npz")
    (frames,) = frames_of(make(1.0), settings)
    write_npz(tmp_path / "a.npz", frames, settings)
    motion = read_robot_motion(tmp_path / "a.npz", G1)
    assert motion.fps == 50.0


def test_a_robot_that_is_not_known_here_is_named():
    with pytest.raises(EpisodeRefused) as raised:
        known_robot("boston", ("hip",))
    assert str(raised.value) == (
        "its robot 'boston' is not known here; known are unitree_g1, unitree_h1, unitree_h1_2"
    )
    with pytest.raises(EpisodeRefused) as raised:
        known_robot("unitree_g1", G1.joint_names[:23])
    assert str(raised.value) == (
        "it was recorded with 23 joints of unitree_g1, which has 29 here, or in another order"
    )


def test_the_table_gives_every_number_back_exactly(make: Make, tmp_path: Path):
    settings = Settings("csv", state=("joint_pos", "imu_quat_w"))
    (frames,) = frames_of(make(1.0), settings)
    write_csv(tmp_path / "a.csv", frames, settings)
    with (tmp_path / "a.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:2] == ["time_s", f"state.{G1.joint_names[0]}.q"]
    assert head[G1.n + 1 : G1.n + 6] == [*(f"state.imu_quat_w.{c}" for c in "wxyz"), f"action.{G1.joint_names[0]}.q"]
    assert head[-2:] == ["skew_s.state", "skew_s.action"]
    table = np.array(rows, dtype=np.float64)
    assert np.array_equal(table[:, 0], np.arange(frames.n) / 50.0)
    assert np.array_equal(table[:, 1 : 1 + G1.n], frames.columns["state.joint_pos"])
    assert np.array_equal(table[:, 5 + G1.n : -2], frames.columns["target.joint_pos"])
    assert list(tmp_path.iterdir()) == [tmp_path / "a.csv"]


def test_robomimic_finds_its_groups_masks_and_attributes(make: Make, tmp_path: Path):
    settings = Settings("hdf5")
    episodes = [
        *frames_of(make(1.0, success="true", task='a "b"/c 👋'), settings),
        *frames_of(make(1.5, success="false"), settings), *frames_of(make(1.0, verdict="maybe"), settings),
    ]  # fmt: skip
    write_hdf5(tmp_path, [partial(lambda x: x, frames) for frames in episodes], settings)
    with h5py.File(tmp_path / "data.hdf5") as file:
        assert set(file["data"]) == {"demo_0", "demo_1", "demo_2"}
        assert file["data"].attrs["total"] == sum(e.n for e in episodes)
        about = json.loads(file["data"].attrs["env_args"])
        assert set(about) == {"env_name", "type", "env_kwargs"} and about["env_name"] == "teleopd/unitree_g1"
        one = file["data/demo_0"]
        assert one.attrs["num_samples"] == episodes[0].n and one.attrs["task"] == 'a "b"/c 👋'
        assert set(one["obs"]) == {"joint_pos", "joint_vel", "imu_quat_w", "imu_gyro_b"}
        assert np.array_equal(one["actions"][:], episodes[0].columns["target.joint_pos"])
        assert np.array_equal(one["obs/imu_quat_w"][:], episodes[0].columns["state.imu_quat_w"])
        assert one["rewards"][:].sum() == one["rewards"][-1] == 1.0 and one["dones"][:].sum() == 1
        assert file["data/demo_1/rewards"][:].sum() == 0.0
        assert [name.decode() for name in file["mask/train"]] == ["demo_0", "demo_1"]
        assert [name.decode() for name in file["mask/maybe"]] == ["demo_2"]


def test_frames_on_the_disk_come_back_equal(make: Make, tmp_path: Path):
    (frames,) = frames_of(make(1.0, task="wave 👋"), Settings("lerobot"))
    save(frames, tmp_path / "x")
    back = load(tmp_path / "x")
    assert back.record() == frames.record() and back.joint_names == frames.joint_names and back.task == "wave 👋"
    assert np.array_equal(back.t_ns, frames.t_ns)
    assert all(np.array_equal(back.columns[name], values) for name, values in frames.columns.items())
    assert all(np.array_equal(back.skew_s[name], values) for name, values in frames.skew_s.items())
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]
