"""The baseline is the peer's algorithm: its targets, its offsets, its stop rule; and the peer's own door fits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from teleopd.drivers.motion_file.clip import SEGMENT
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.dataset.retarget_clip import pose_of

pytestmark = pytest.mark.checkout
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gmr_style.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gmr_style", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gmr_style"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def style(script: ModuleType) -> Any:
    return script.GmrStyle(G1)


def same_turn(a: Any, b: Any) -> bool:
    return abs(float(np.dot(a, b))) == pytest.approx(1.0, abs=1e-6)


def test_offsets_are_those_of_gmrs_live_xsens_table(style: Any) -> None:
    """Published for segment frames that are identity in the T-pose."""
    half = np.sqrt(0.5)
    published = {
        "pelvis": (1, 0, 0, 0), "torso_link": (1, 0, 0, 0), "left_hip_yaw_link": (1, 0, 0, 0),
        "left_knee_link": (1, 0, 0, 0), "right_ankle_roll_link": (1, 0, 0, 0),
        "left_shoulder_yaw_link": (half, half, 0, 0), "right_shoulder_yaw_link": (half, -half, 0, 0),
        "left_elbow_link": (0.5, 0.5, 0.5, 0.5), "left_wrist_yaw_link": (0.5, 0.5, 0.5, 0.5),
        "right_elbow_link": (0.5, -0.5, 0.5, -0.5), "right_wrist_yaw_link": (0.5, -0.5, 0.5, -0.5),
    }  # fmt: skip
    got = {row.robot: offset.as_quat(scalar_first=True) for row, offset in zip(style.rows, style.offsets, strict=True)}
    assert len(got) == 14
    for body, quat in published.items():
        assert same_turn(got[body], quat), body


def test_targets_are_the_person_scaled_about_origin_and_root(style: Any) -> None:
    pose = pose_of(load_motion("walk"), 500)
    style.update(pose)
    at = {row.robot: i for i, row in enumerate(style.rows)}
    root, foot, hand = (pose.pos_w[SEGMENT[name]] for name in ("Pelvis", "LeftFoot", "RightHand"))
    legs, arms = 0.9 * 1.75 / 1.8, 0.75 * 1.75 / 1.8
    assert style.pos[at["pelvis"]] == pytest.approx(legs * root)
    assert style.pos[at["left_ankle_roll_link"]] == pytest.approx(legs * foot)  # one scale: the world foot, scaled
    assert style.pos[at["right_wrist_yaw_link"]] == pytest.approx(legs * root + arms * (hand - root))
    wrist = Rotation.from_quat(pose.quat_w[SEGMENT["RightHand"]], scalar_first=True)
    wanted = (wrist * Rotation.from_quat([0.5, -0.5, 0.5, -0.5], scalar_first=True)).as_quat(scalar_first=True)
    assert same_turn(style.quat[at["right_wrist_yaw_link"]], wanted)


@pytest.mark.parametrize(
    ("errors", "solves"),
    [
        ([1.0, 0.9, 0.8, 0.7995], 3),  # 0.0005 less is not worth another
        ([1.0, 0.9995], 1),
        ([1.0, 1.2], 1),
        ([2.0 - 0.1 * i for i in range(20)], 11),  # never more than ten after the first
    ],
)
def test_a_stage_stops_when_the_error_no_longer_falls(
    style: Any, monkeypatch: pytest.MonkeyPatch, errors: list[float], solves: int
) -> None:
    seen: list[list[float]] = []

    def error(tasks: Any) -> float:
        seen.append(list(errors))
        return errors[0]

    def solve(tasks: Any) -> float:
        style.solves += 1
        return seen[-1].pop(1)

    monkeypatch.setattr(style, "_error", error)
    monkeypatch.setattr(style, "_solve", solve)
    style.update(pose_of(load_motion("stand"), 0))
    assert style.solves == 2 * solves


def test_it_follows_a_walk_and_starts_anew(style: Any) -> None:
    clip = load_motion("walk")
    first = style.update(pose_of(clip, 0))
    for i in range(2, 200, 2):
        qpos = style.update(pose_of(clip, i))
    feet = [i for i, row in enumerate(style.rows) if row.human.endswith("Foot")]
    model = mujoco.MjModel.from_xml_path(str(G1.mjcf))
    data = mujoco.MjData(model)
    data.qpos[:7] = qpos[:7]
    for name, value in zip(G1.joint_names, qpos[7:], strict=True):
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(model, data)
    for i in feet:
        assert np.linalg.norm(data.xpos[model.body(style.rows[i].robot).id] - style.pos[i]) < 0.03
    style.reset()
    assert style.update(pose_of(clip, 0)) == pytest.approx(first, abs=1e-12)


def test_gmr_itself_is_asked_for_the_same_targets(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with GMR's interface and offsets of its own: what it makes of our frames are the canonical targets."""
    rng = np.random.default_rng(1)

    class GeneralMotionRetargeting:
        def __init__(self, src_human: str, tgt_robot: str, actual_human_height: float) -> None:
            if src_human != "bvh":
                raise KeyError(src_human)  # a GMR of 2025
            print("talkative")
            self.model = mujoco.MjModel.from_xml_path(str(G1.mjcf))
            self.configuration = SimpleNamespace(q=np.zeros(36), update=lambda q: started.append(q))
            self.rot_offsets1: Any = LazyOffsets()
            self.scaled_human_data: dict[str, Any] = {}

        def retarget(self, frames: dict[str, Any]) -> Any:
            for name, (pos, quat) in frames.items():
                turned = Rotation.from_quat(quat, scalar_first=True) * self.rot_offsets1[name]
                self.scaled_human_data[name] = [pos, turned.as_quat(scalar_first=True)]
            return np.arange(36.0)

    class LazyOffsets(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            self[name] = Rotation.random(rng=rng)
            return self[name]

    started: list[Any] = []
    module = ModuleType("general_motion_retargeting")
    module.GeneralMotionRetargeting = GeneralMotionRetargeting  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "general_motion_retargeting", module)
    gmr = script.installed_gmr(G1)
    assert gmr is not None
    gmr.reset()
    assert len(started) == 1
    pose = pose_of(load_motion("walk"), 300)
    assert gmr.update(pose).tolist() == list(range(36))
    style = script.GmrStyle(G1)
    style.update(pose)
    for mine, theirs in zip(style.quat, gmr.quat, strict=True):
        assert same_turn(mine, theirs)
    assert set(gmr._gmr.scaled_human_data) >= {"Hips", "Spine2", "LeftFootMod", "RightHand", "LeftUpLeg"}


def test_without_gmr_there_is_none(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "general_motion_retargeting", None)
    assert script.installed_gmr(G1) is None
