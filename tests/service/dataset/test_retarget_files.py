"""Files in, npz out: every key, readable by the evaluation, nothing half written, bad files do not cost the good."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.dataset import motion_npz, retarget_files
from teleopd.service.dataset.motion_npz import config_sha256, local_bodies, write_motion
from teleopd.service.dataset.retarget_files import Job, NoFiles, find_jobs, run_job, run_jobs
from teleopd.service.evaluation.robot_motion import read_robot_motion


@pytest.fixture(autouse=True)
def only_the_first_half_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every clip that this process retargets."""

    def load(motion: str, *, unit_m: float | None = None) -> MotionClip:
        clip = load_motion(motion, unit_m=unit_m)
        return replace(clip, pos_w=clip.pos_w[:61], quat_w=clip.quat_w[:61])

    monkeypatch.setattr(retarget_files, "load_motion", load)


def random_motion(frames: int = 5) -> Any:
    rng = np.random.default_rng(3)
    qpos = np.zeros((frames, 7 + G1.n))
    qpos[:, :3] = rng.normal(size=(frames, 3))
    qpos[:, 3:7] = rng.normal(size=(frames, 4))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qpos[:, 7:] = rng.uniform(G1.limits.q_lower, G1.limits.q_upper, (frames, G1.n))
    return qpos


def test_the_npz_holds_the_documented_keys(tmp_path: Path) -> None:
    qpos = random_motion()
    write_motion(tmp_path / "m.npz", G1, fps=59.75, qpos=qpos, source="walk.bvh")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as data:
        assert set(data) == {
            "fps", "qpos", "root_pos", "root_rot", "dof_pos", "local_body_pos", "local_body_rot", "body_names",
            "joint_names", "source", "config_sha256",
        }  # fmt: skip
        assert float(data["fps"]) == 59.75
        assert np.array_equal(data["qpos"], qpos)
        assert np.array_equal(data["root_pos"], qpos[:, :3])
        assert np.array_equal(data["root_rot"], qpos[:, [4, 5, 6, 3]])
        assert np.array_equal(data["dof_pos"], qpos[:, 7:])
        assert data["joint_names"].tolist() == list(G1.joint_names)
        assert data["body_names"][0] == "pelvis"
        assert str(data["source"]) == "walk.bvh"
        assert str(data["config_sha256"]) == config_sha256(G1, "fast")
        assert data["local_body_pos"].shape == (5, len(data["body_names"]), 3)
        assert data["local_body_rot"].shape == (5, len(data["body_names"]), 4)
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_bodies_are_where_mujoco_has_them_seen_from_the_root() -> None:
    """World pose of every body = root pose times local pose."""
    qpos = random_motion(3)
    names, pos, rot = local_bodies(G1, qpos[:, 7:])
    model = mujoco.MjModel.from_xml_path(str(G1.mjcf))
    data = mujoco.MjData(model)
    for i in range(3):
        data.qpos[:7] = qpos[i, :7]
        for name, value in zip(G1.joint_names, qpos[i, 7:], strict=True):
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        for k, name in enumerate(names):
            where, turn = np.empty(3), np.empty(4)
            mujoco.mju_mulPose(where, turn, qpos[i, :3], qpos[i, 3:7], pos[i, k], np.roll(rot[i, k], 1))
            body = model.body(name).id
            assert where == pytest.approx(data.xpos[body], abs=1e-9)
            assert abs(float(turn @ data.xquat[body])) == pytest.approx(1.0, abs=1e-9)


def test_the_digest_tells_robots_and_solvers_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = config_sha256(G1, "fast")
    assert len(first) == 64
    assert config_sha256(G1, "mink") != first
    table = tmp_path / "retarget.toml"
    table.write_text("# another table")
    monkeypatch.setattr(motion_npz, "table_path", lambda robot: table)
    assert config_sha256(G1, "fast") != first


def test_a_produced_file_is_a_motion_of_the_robot(tmp_path: Path) -> None:
    row = run_job(Job("wave", "unitree_g1", tmp_path / "wave.npz"))
    assert "error" not in row
    clip = load_motion("wave")
    motion = read_robot_motion(tmp_path / "wave.npz", G1)
    assert motion.fps == clip.fps
    assert len(motion.qpos) == 61 == row["frames"]
    assert motion.left_out == 0
    assert motion.qpos[0, 2] == pytest.approx(G1.stand_height_m, abs=0.05)
    limits = G1.limits
    assert (motion.qpos[:, 7:] >= limits.q_lower - 1e-9).all()
    assert (motion.qpos[:, 7:] <= limits.q_upper + 1e-9).all()


def test_a_row_says_what_was_made(tmp_path: Path) -> None:
    row = run_job(Job("wave", "unitree_g1", tmp_path / "wave.npz"))
    assert (row["clip"], row["motion"], row["robot"]) == ("wave", "wave", "unitree_g1")
    assert row["out"] == str(tmp_path / "wave.npz")
    assert row["seconds"] == 0.5
    assert row["held"] == 0
    assert row["above_30_rad_s"] == 0.0
    assert row["stance_percent"] == 100.0
    assert 0.0 < row["cpu_ms_median"] <= row["cpu_ms_p99"]
    assert json.loads(json.dumps(row, allow_nan=False)) == row  # no nan: that is no JSON


def test_bad_files_get_a_sentence_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "broken.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    jobs = find_jobs([str(tmp_path / "broken.bvh"), "nothing.bvh", "stand"], "unitree_g1", tmp_path / "out")
    (tmp_path / "out").mkdir()
    heard: list[str] = []
    rows = run_jobs(jobs, 1, lambda row: heard.append(row["clip"]))
    assert heard == ["broken", "nothing", "stand"]
    assert rows[0]["error"] == "broken.bvh: it has no MOTION section"
    assert rows[1]["error"].startswith("no built-in motion and no file 'nothing.bvh'")
    assert "error" not in rows[2]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["stand.npz"]


def test_several_processes_give_the_rows_in_order(tmp_path: Path) -> None:
    jobs = find_jobs(["stand", "nothing.bvh", "wave"], "unitree_g1", tmp_path)
    rows = run_jobs(jobs, 2, lambda row: None)  # whole clips: these are other processes
    assert [row["clip"] for row in rows] == ["stand", "nothing", "wave"]
    assert ["error" in row for row in rows] == [False, True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stand.npz", "wave.npz"]


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, **arrays: Any) -> None:
        file.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "wave.npz"
    out.write_bytes(b"the good one from yesterday")
    monkeypatch.setattr(np, "savez_compressed", full)
    row = run_job(Job("wave", "unitree_g1", out))
    assert row["error"] == "[Errno 28] No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["wave.npz"]
    assert out.read_bytes() == b"the good one from yesterday"


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: Any, **arrays: Any) -> None:
        file.write(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_motion(tmp_path / "m.npz", G1, fps=60.0, qpos=random_motion(), source="m")
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_of_ours_costs_one_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistake(*_: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(retarget_files, "quality", mistake)
    row = run_job(Job("stand", "unitree_g1", tmp_path / "stand.npz"))
    assert row["error"] == "this program failed: ZeroDivisionError: division by zero"
    assert list(tmp_path.iterdir()) == []


def test_a_robot_without_a_table_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "robot.xml"
    monkeypatch.setattr(
        "teleopd.service.retarget.retargeter.table_path", lambda robot: nowhere.parent / "retarget.toml"
    )
    assert H1.name == "unitree_h1"
    row = run_job(Job("stand", "unitree_h1", tmp_path / "stand.npz"))
    assert "unitree_h1" in row["error"]
    assert "retarget" in row["error"]


def test_folders_stand_for_the_motions_in_them(tmp_path: Path) -> None:
    for name in ("b.bvh", "a.BVH", "notes.txt"):
        (tmp_path / name).write_text("")
    jobs = find_jobs([str(tmp_path), "wave", "wave"], "unitree_g1", Path("out"), solver="mink", unit_m=0.01)
    assert [job.motion for job in jobs] == [str(tmp_path / "a.BVH"), str(tmp_path / "b.bvh"), "wave"]
    assert jobs[1] == Job(str(tmp_path / "b.bvh"), "unitree_g1", Path("out/b.npz"), "mink", 0.01)


def test_what_cannot_be_a_list_of_motions_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NoFiles) as refused:
        find_jobs([str(empty)], "unitree_g1", tmp_path)
    assert str(refused.value) == f"{empty} holds no motion file; looked for *.bvh"
    with pytest.raises(NoFiles) as refused:
        find_jobs(["one/walk.bvh", "two/walk.bvh"], "unitree_g1", Path("out"))
    assert str(refused.value) == (
        "one/walk.bvh and two/walk.bvh would both be written to out/walk.npz: retarget them one by one"
    )
