"""Motions of a robot: what is read, what is refused, and what the service gets of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.robot_motion import MotionStream, NotAMotion, RobotMotion, read_robot_motion

FPS = 50.0


def qpos(frames: int = 100) -> np.ndarray:
    """Walks ahead at 0.5 m/s, facing left, while one joint moves at 0.4 rad/s."""
    out = np.zeros((frames, 7 + MODEL.n))
    out[:, 0], out[:, 2] = 0.5 * np.arange(frames) / FPS, 0.79
    out[:, [3, 6]] = np.sqrt(0.5)
    out[:, 7:] = MODEL.q_stand
    out[:, 7 + 12] += 0.4 * np.arange(frames) / FPS
    return out


def pickled(path: Path, frames: np.ndarray, **changes: object) -> Path:
    content = {
        "fps": FPS, "root_pos": frames[:, :3], "root_rot": frames[:, [4, 5, 6, 3]], "dof_pos": frames[:, 7:],
    } | changes  # fmt: skip
    path.write_bytes(pickle.dumps(content))
    return path


def test_a_pickle_becomes_root_and_joints_in_wxyz(tmp_path: Path):
    motion = read_robot_motion(pickled(tmp_path / "a.pkl", qpos()), MODEL)
    np.testing.assert_array_equal(motion.qpos, qpos())
    assert (motion.name, motion.fps, motion.left_out, motion.duration_s) == ("a", FPS, 0, 99 / FPS)
    assert len(motion.first(1.0).qpos) == 51


def test_an_npz_is_put_into_motor_order_by_name(tmp_path: Path):
    names, frames = list(reversed(MODEL.joint_names)), qpos()
    turned = np.hstack((frames[:, :7], frames[:, 7:][:, ::-1]))
    np.savez(tmp_path / "a.npz", fps=FPS, qpos=turned, joint_names=np.array(names))
    np.testing.assert_array_equal(read_robot_motion(tmp_path / "a.npz", MODEL).qpos, frames)


def test_corrupt_leading_frames_are_cut_off(tmp_path: Path):
    frames = qpos()
    frames[:3, 2] = 1.8  # back to 0.79 m within one frame: 50 m/s
    motion = read_robot_motion(pickled(tmp_path / "a.pkl", frames), MODEL)
    assert motion.left_out == 3
    np.testing.assert_array_equal(motion.qpos, qpos()[3:])


def test_a_damaged_archive_is_refused_in_a_sentence_wherever_it_is_damaged(tmp_path: Path):
    frames = qpos()
    frames[:, 7:] += np.random.default_rng(0).normal(0.0, 0.05, (len(frames), MODEL.n))
    np.savez_compressed(tmp_path / "a.npz", fps=FPS, qpos=frames, joint_names=np.array(MODEL.joint_names))
    raw = (tmp_path / "a.npz").read_bytes()
    why = set()
    for at in range(0, len(raw), max(1, len(raw) // 150)):
        (tmp_path / "b.npz").write_bytes(raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :])
        try:
            read_robot_motion(tmp_path / "b.npz", MODEL)
        except NotAMotion as error:
            why.add(str(error).partition(":")[0])
    assert {"b.npz has no fps, qpos and joint_names", "b.npz is no readable npz file"} <= why


def bad(frames: np.ndarray, column: int, value: float) -> np.ndarray:
    frames[10, column] = value
    return frames


REFUSED = [
    ({"fps": 0.0}, "a.pkl has 0 frames a second; 1 to 1000 are possible"),
    ({"fps": float("nan")}, "a.pkl has nan frames a second; 1 to 1000 are possible"),
    ({"root_pos": bad(qpos(), 0, np.nan)[:, :3]}, "a.pkl has 1 values that are no numbers"),
    ({"root_rot": np.zeros((100, 4))}, "a.pkl has a root orientation of length 0, must be 1"),
    ({"dof_pos": np.zeros((100, 23))}, "a.pkl moves 23 joints, the unitree_g1 has 29"),
    ({"root_pos": np.zeros((99, 3))},
     "a.pkl has root positions, orientations and joints of 99, 100 and 100 frames"),
    ({"root_pos": None}, "a.pkl has root_pos of shape [], wanted a row for each frame"),
    ({"dof_pos": np.zeros(100)}, "a.pkl has dof_pos of shape [100], wanted a row for each frame"),
    ({"fps": 10**400}, "a.pkl has no fps, root_pos, root_rot and dof_pos: int too large to convert to float"),
    ({"root_rot": None}, "a.pkl has no fps, root_pos, root_rot and dof_pos: "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=[row[1][:40] for row in REFUSED])
def test_a_broken_pickle_is_one_sentence(tmp_path: Path, change: dict[str, object], sentence: str):
    with pytest.raises(NotAMotion) as caught:
        read_robot_motion(pickled(tmp_path / "a.pkl", qpos(), **change), MODEL)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.pkl", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"not a motion", b"\x80\x04K"])
def test_rubbish_is_one_sentence(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotAMotion, match=f"^{name} "):
        read_robot_motion(tmp_path / name, MODEL)


def test_a_pickle_may_not_run_code(tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(NotAMotion, match=r"^a.pkl: the pickle wants to load pathlib"):
        read_robot_motion(tmp_path / "a.pkl", MODEL)


def test_an_npz_of_another_robot_names_a_joint(tmp_path: Path):
    np.savez(tmp_path / "a.npz", fps=FPS, qpos=np.zeros((9, 9)), joint_names=np.array(["tail", "wing"]))
    with pytest.raises(NotAMotion, match="^a.npz moves tail, which is not the 29 joints of unitree_g1$"):
        read_robot_motion(tmp_path / "a.npz", MODEL)


def test_leads_stand_at_the_place_and_heading_of_the_ends():
    frames = qpos()
    led = RobotMotion("a", FPS, frames).with_leads(MODEL, 4.0, 1.0)
    assert len(led.qpos) == 200 + 100 + 50
    for row, place in ((led.qpos[0], 0.0), (led.qpos[124], 0.0), (led.qpos[-1], frames[-1, 0])):
        np.testing.assert_allclose(row[:3], (place, 0.0, MODEL.stand_height_m))
        np.testing.assert_allclose(row[3:7], (np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)))
        np.testing.assert_allclose(row[7:], MODEL.q_stand)
    np.testing.assert_array_equal(led.qpos[200:300], frames)
    assert np.abs(np.diff(led.qpos[:200], axis=0)).max() < 0.01, "no jump on the way in"


def test_the_stream_gives_the_newest_frame_with_its_velocities():
    stream = MotionStream(MODEL, RobotMotion("a", FPS, qpos()), start_ns=10**9)
    assert stream(10**9 - 1) is None
    for tick in range(50):
        found = stream(10**9 + tick * 20_000_000)
    assert found is not None
    assert (found.seq, found.t_ns, found.valid, found.nominal_hz) == (50, 10**9 + 49 * 20_000_000, True, FPS)
    np.testing.assert_allclose(found.root_pos_w, (0.5 * 49 / FPS, 0.0, 0.79))
    np.testing.assert_allclose(found.root_lin_vel_w, (0.5, 0.0, 0.0), atol=1e-9)
    assert found.dq[12] == pytest.approx(0.4)
    stream.lost = lambda frame: frame < 60
    assert stream(10**9 + 59 * 20_000_000) is found, "lost frames repeat nothing new"
    assert not stream.ended
    stream(10**10)
    assert stream.ended


def test_joints_stay_inside_the_robots_range():
    frames = qpos()
    frames[:, 7] = 99.0
    found = MotionStream(MODEL, RobotMotion("a", FPS, frames), start_ns=1)(1)
    assert found is not None and found.q[0] == MODEL.limits.q_upper[0]
