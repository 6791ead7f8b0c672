"""Every way in which somebody's policy can be wrong, each refused at load in one sentence with both values.

What a card says is compared here with what the ONNX metadata say of history and IMU site, and the list of cases that
must be refused is held against one fresh, good policy. More variants stand beside the code that refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import RobotModel
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.errors import (
    BadCard,
    DataAbsent,
    MetadataConflict,
    NeedsOdometry,
    NonFiniteOutput,
    NotOnnx,
    PolicyError,
    Unsupported,
    WrongArmature,
    WrongRate,
    WrongRobot,
    WrongWidth,
)
from teleopd.service.policy.kinematics import armature_of
from teleopd.service.policy.layout_checks import check_layout, history_lengths
from teleopd.service.policy.library import resolve
from teleopd.service.policy.onnx_file import read_onnx
from teleopd.service.policy.runtime import PolicyRuntime

HISTORY = """[[observation]]
kind = "history"
of = ["now"]
length = 4
order = "oldest_first"
fill = "zeros"
[action]"""
GOOD = {
    "joint_names": "b,c,a", "joint_stiffness": "2.000,3.000,1.000", "joint_damping": "0.500,0.500,0.500",
    "default_joint_pos": "0.200,0.300,0.100", "action_scale": "0.500",
}  # fmt: skip


@pytest.fixture
def load(
    tiny: Callable[..., tuple[str, Path]], tripod: RobotModel, with_metadata: Callable[..., bytes]
) -> Callable[..., PolicyRuntime]:
    """Load the tripod's policy with a changed card, other weights, or metadata in the ONNX."""

    def make(
        *replacements: tuple[str, str], metadata: dict[str, str] | None = None, link: str = "sim", **onnx: object
    ) -> PolicyRuntime:
        text, path = tiny(*replacements, **onnx)
        if metadata is not None:
            before = read_onnx(path).sha256
            path.write_bytes(with_metadata(path.read_bytes(), metadata))
            text = text.replace(before, read_onnx(path).sha256)
        return PolicyRuntime(parse_card(text, "tiny.toml"), path, tripod, link=link)

    return make


SAME = (("kp = 40.0", 'kp = {"a" = 1.0, "b" = 2.0, "c" = 3.0}'), ('kd = {"a" = 4.0, "[bc]" = 5.0}', "kd = 0.5"))
"""Equal gains in simulation and on the robot, as the metadata have them."""
OVER = "; if the card is right, write over_metadata = true into gains.sim"
CASES: dict[str, tuple[type[PolicyError], str, tuple[tuple[str, str], ...], dict[str, object]]] = {
    "joint order": (
        MetadataConflict, "card 'tiny' says joint 0 of the action is b, the ONNX metadata say a",
        SAME, {"metadata": GOOD | {"joint_names": "a,b,c"}},
    ),
    "gains": (
        MetadataConflict, f"card 'tiny' says sim kp of c 3, the ONNX metadata say 30{OVER}",
        SAME, {"metadata": GOOD | {"joint_stiffness": "2.0,30.0,1.0"}},
    ),
    "rate": (
        WrongRate, "card 'tiny' says 100 Hz, the control loop runs at 50 Hz",
        (("rate_hz = 50.0", "rate_hz = 100.0"),), {},
    ),
    "IMU site the robot lacks": (
        Unsupported, "card 'tiny': wants the torso IMU, the robot state carries the pelvis IMU",
        (('imu = "pelvis"', 'imu = "torso"'),), {},
    ),
    "history against the metadata": (
        MetadataConflict, "card 'tiny' says ticks shown (history): 1, the ONNX metadata say 5",
        SAME, {"metadata": GOOD | {"observation_names": "q,dq", "observation_history_lengths": "5.000,5.000"}},
    ),
    "history against the width": (
        BadCard, "policy card tiny.toml: the observation blocks add up to 45, model.input_width is 9",
        (("[action]", HISTORY),), {},
    ),
    "NaN in the weights": (
        NonFiniteOutput, "policy 'tiny' gives 1 non-finite values of 3 for a finite input",
        (), {"weights": np.array([[0.0, 0.0, np.nan]] + [[0.0] * 3] * 8)},
    ),
    "opset": (WrongWidth, "card 'tiny' says opset 13, the ONNX has 17", (), {"opset": 17}),
    "gain 0": (
        BadCard, "policy card tiny.toml: gains.sim.kd of a is 0, must be above 0", (("kd = 0.5", "kd = 0"),), {}
    ),
    "negative gain": (
        BadCard, "policy card tiny.toml: gains.real.kp of a is -40, must be above 0",
        (("kp = 40.0", "kp = -40.0"),), {},
    ),
    "another robot": (
        WrongRobot, "card 'tiny' is for robot 'unitree_h1', this robot is 'tripod'",
        (('robot = "tripod"', 'robot = "unitree_h1"'),), {},
    ),
    "no odometry": (
        NeedsOdometry,
        "card 'tiny' needs odometry (position and velocity of the root), the link 'dds' has none: "
        "run it in simulation, or with motion capture of the robot",
        (("odometry = false", "odometry = true"),), {"link": "dds"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_at_load_with_both_values(load: Callable[..., PolicyRuntime], case: str):
    error, sentence, replacements, options = CASES[case]
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        load(*replacements, **options)


def test_the_policy_they_are_held_against_is_good(load: Callable[..., PolicyRuntime]):
    same = {"observation_names": "q,dq", "observation_history_lengths": "1.000,1.000", "anchor_body_name": "pelvis"}
    assert load(*SAME, metadata=GOOD | same).card.name == "tiny"


def test_armature(tiny: Callable[..., tuple[str, Path]], tripod: RobotModel):
    joints = "".join(f'<body><joint name="{name}" armature="0"/><geom size=".1"/></body>' for name in "abc")
    tripod.mjcf.write_text(f"<mujoco><worldbody>{joints}</worldbody></mujoco>")
    armature_of.cache_clear()
    text, path = tiny(("default_pose =", "armature = 0.01\ndefault_pose ="))
    with pytest.raises(WrongArmature, match=r"^card 'tiny' says armature 0\.01 kg m\^2 at a, the robot's MJCF has 0: "):
        PolicyRuntime(parse_card(text, "t"), path, tripod, link="sim")


def test_truncated_file(tiny: Callable[..., tuple[str, Path]], tripod: RobotModel):
    text, path = tiny()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(NotOnnx, match=f"^{re.escape(str(path))} is not a usable ONNX model: it ends .* too early"):
        PolicyRuntime(parse_card(text, "t"), path, tripod, link="sim")


def test_missing_data_file(shared_data: Path, tmp_path: Path):
    """The public mjlab policy without the file that holds its weights."""
    source = shared_data / "policies/unitree_rl_mjlab/velocity/v0/exported/policy.onnx"
    (tmp_path / "policy.onnx").write_bytes(source.read_bytes())
    sentence = (
        f"{tmp_path / 'policy.onnx'} keeps its weights in 'policy.onnx.data', which is not beside it: "
        f"put it into {tmp_path}"
    )
    with pytest.raises(DataAbsent, match=f"^{re.escape(sentence)}$"):
        read_onnx(tmp_path / "policy.onnx")


def test_the_anchor_body_of_the_metadata_is_the_cards(
    shared_data: Path, tmp_path: Path, with_metadata: Callable[..., bytes]
):
    """BeyondMimic observes torso_link; a card that says pelvis would show the policy another orientation."""
    onnx = read_onnx(shared_data / "policies/beyondmimic/Jump_wose.onnx")
    found = resolve("beyondmimic_jump", MODEL)
    assert found is not None
    check_layout(found.card, onnx)
    text = found.card_path.read_text().replace('body = "torso_link"', 'body = "pelvis"')
    with pytest.raises(
        MetadataConflict,
        match=r"^card '\w+' says the body observed \(IMU site\) is pelvis, the ONNX metadata say torso_link$",
    ):
        check_layout(parse_card(text, "t"), onnx)
    path = tmp_path / "long.onnx"
    path.write_bytes(with_metadata(onnx.content, {"observation_history_lengths": "1.0,1.0,1.0,1.0,1.0,5.0"}))
    sentence = "card 'beyondmimic_jump' says ticks of 'actions' shown (history): 1, the ONNX metadata say 5"
    with pytest.raises(MetadataConflict, match=f"^{re.escape(sentence)}$"):
        check_layout(found.card, read_onnx(path))


@pytest.mark.parametrize(
    ("metadata", "lengths"),
    [
        ({}, {}),
        ({"observation_names": "a,b", "observation_history_lengths": "1.000, 5.000"}, {"a": 1, "b": 5}),
        ({"observation_names": "a,b", "observation_history_lengths": "[1, 5]"}, {"a": 1, "b": 5}),
        ({"observation_history_lengths": '{"a": 3}'}, {"a": 3}),
        ({"observation_names": "a,b", "observation_history_lengths": "5"}, {}),
        ({"observation_names": "a", "observation_history_lengths": "many"}, {}),
        ({"observation_history_lengths": "{broken"}, {}),
    ],
)
def test_history_lengths_in_every_spelling(
    tiny: Callable[..., tuple[str, Path]], with_metadata: Callable[..., bytes], metadata: dict[str, str],
    lengths: dict[str, int],
):  # fmt: skip
    _, path = tiny()
    path.write_bytes(with_metadata(path.read_bytes(), metadata))
    assert history_lengths(read_onnx(path)) == lengths
