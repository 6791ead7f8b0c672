"""A three-joint robot, a card for it, and ONNX files written byte by byte, so that no test needs another package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import JointLimits, LowState, Reference, RobotModel
from teleopd.robots.unitree_g1.model import MODEL

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
G1_JOINTS = tuple(
    f"{name}_joint"
    for name in (
        *(f"{side}_{joint}" for side in ("left", "right") for joint in _LEG),
        "waist_yaw", "waist_roll", "waist_pitch",
        *(f"{side}_{joint}" for side in ("left", "right") for joint in _ARM),
    )
)  # fmt: skip

TINY_CARD = """
schema = 1
name = "tiny"
title = "a test policy"
robot = "tripod"
licence = "none"
attribution = "us"
homepage = "here"
rate_hz = 50.0
imu = "pelvis"
odometry = false
lookahead_steps = 0
default_pose = {"a" = 0.1, "b" = 0.2, "c" = 0.3}
[model]
file = "tiny.onnx"
sha256 = "SHA256"
opset = 13
input = "obs"
output = "actions"
input_width = 9
output_width = 3
[joints]
state = ["a", "b", "c"]
reference = ["c", "a", "b"]
action = ["b", "c", "a"]
[[observation]]
kind = "reference_q"
group = "now"
[[observation]]
kind = "q"
group = "now"
[[observation]]
kind = "last_action"
group = "now"
[action]
scale = 0.5
offset = "default_pose"
clip = 10.0
feedback = "raw"
[gains.sim]
kp = {"a" = 1.0, "b" = 2.0, "c" = 3.0}
kd = 0.5
source = "thin air"
reason = "why not"
[gains.real]
kp = 40.0
kd = {"a" = 4.0, "[bc]" = 5.0}
source = "thin air"
reason = "why not"
"""


def _model(name: str, joints: tuple[str, ...], mjcf: Path) -> RobotModel:
    n = len(joints)
    limits = JointLimits(np.full(n, -3.0), np.full(n, 3.0), np.full(n, 20.0), np.full(n, 50.0))
    return RobotModel(
        name=name, title=name, joint_names=joints, limits_by_mode_machine={5: limits}, default_mode_machine=5,
        kp_ready=np.full(n, 50.0), kd_ready=np.full(n, 2.0), kd_damp=np.full(n, 8.0), q_stand=np.zeros(n),
        stand_height_m=0.79, mjcf=mjcf, root_body="pelvis", imu_sites={"pelvis": "imu"}, key_sites=(), sole_sites=(),
        wire="hg", wire_slot=tuple(range(n)), provenance={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def g1() -> RobotModel:
    """The G1 as the policy sees it: its joint order; the shipped cards lie beside its MJCF."""
    return _model("unitree_g1", G1_JOINTS, MODEL.mjcf)


@pytest.fixture(scope="session")
def fused() -> Callable[..., bytes]:
    """An ONNX that adds up `input @ weights` of several inputs; `passed` maps an output to the input it copies."""

    def make(
        inputs: dict[str, np.ndarray], width: int, *, output: str = "actions", passed: dict[str, str] | None = None,
        bias: np.ndarray | None = None, shapes: dict[str, tuple[int, ...]] | None = None, opset: int = 13,
    ) -> bytes:  # fmt: skip
        """`inputs`: name -> weights (size, width); `shapes` of inputs that are not [1, size]."""
        shapes, nodes, weights = shapes or {}, [], {"bias": np.zeros(width) if bias is None else bias}
        last = "bias"
        for i, (name, matrix) in enumerate(inputs.items()):
            weights |= {f"w{i}": matrix, f"s{i}": np.array([1, len(matrix)], np.int64)}
            nodes += [_node("Reshape", (name, f"s{i}"), f"r{i}"), _node("MatMul", (f"r{i}", f"w{i}"), f"m{i}")]
            nodes.append(_node("Add", (last, f"m{i}"), f"a{i}"))
            last = f"a{i}"
        nodes.append(_node("Identity", (last,), output))
        nodes += [_node("Identity", (source,), target) for target, source in (passed or {}).items()]
        graph = b"".join(_field(1, node) for node in nodes) + _field(2, "g")
        graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
        sizes = {name: shapes.get(name, (1, len(matrix))) for name, matrix in inputs.items()}
        graph += b"".join(_field(11, _value_info(name, *sizes[name])) for name in inputs)
        graph += _field(12, _value_info(output, 1, width))
        graph += b"".join(_field(12, _value_info(to, *sizes[source])) for to, source in (passed or {}).items())
        return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, opset))

    return make


@pytest.fixture(scope="session")
def with_metadata() -> Callable[[bytes, dict[str, str]], bytes]:
    """An ONNX file with `metadata_props` appended."""
    return lambda content, pairs: content + b"".join(_field(14, _field(1, k) + _field(2, v)) for k, v in pairs.items())


@pytest.fixture
def tripod(tmp_path: Path) -> RobotModel:
    """A robot with the joints a, b, c and an empty folder for cards."""
    (tmp_path / "robot" / "policies").mkdir(parents=True)
    return _model("tripod", ("a", "b", "c"), tmp_path / "robot" / "robot.xml")


@pytest.fixture(scope="session")
def make_reference() -> Callable[..., Reference]:
    """A reference of n joints at rest, with some fields replaced."""

    def make(n: int, **fields: object) -> Reference:
        still = Reference(
            seq=1, source_id=1, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=False, resets=0,
            nominal_hz=50.0, root_pos_w=np.array([0.0, 0.0, 0.8]), root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]),
            root_lin_vel_w=np.zeros(3), root_ang_vel_w=np.zeros(3), q=np.zeros(n), dq=np.zeros(n),
        )  # fmt: skip
        return still._replace(**fields)

    return make


@pytest.fixture(scope="session")
def make_state() -> Callable[..., LowState]:
    """A state of n joints at rest, with some fields replaced."""

    def make(n: int, **fields: object) -> LowState:
        still = LowState(
            t_ns=0, tick=0, mode_machine=5, q=np.zeros(n), dq=np.zeros(n), tau=np.zeros(n),
            quat_w=np.array([1.0, 0.0, 0.0, 0.0]), gyro_b=np.zeros(3), accel_b=np.array([0.0, 0.0, 9.81]),
            temperature_c=np.full(n, 30.0), motor_fault=np.zeros(n, np.uint32), remote=np.zeros(40, np.uint8),
            has_odometry=False, root_pos_w=np.zeros(3), root_lin_vel_w=np.zeros(3),
        )  # fmt: skip
        return still._replace(**fields)

    return make


@pytest.fixture(scope="session")
def write_onnx() -> Callable[..., str]:
    """Write `output = input @ weights + bias` as an ONNX file and return its sha256."""

    def write(
        path: Path, weights: np.ndarray, bias: np.ndarray, *, names: tuple[str, str] = ("obs", "actions"),
        opset: int = 13, extra_input: str | None = None,
    ) -> str:  # fmt: skip
        path.write_bytes(_onnx(weights, bias, names, opset, extra_input))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return write


@pytest.fixture
def tiny(tmp_path: Path, write_onnx: Callable[..., str]) -> Callable[..., tuple[str, Path]]:
    """Text of the tripod's card, with replacements, and the ONNX that belongs to it."""

    def make(
        *replacements: tuple[str, str], weights: np.ndarray | None = None, bias: np.ndarray | None = None,
        **onnx: object,
    ) -> tuple[str, Path]:  # fmt: skip
        path = tmp_path / "tiny.onnx"
        matrix = np.zeros((9, 3)) if weights is None else weights
        sha256 = write_onnx(path, matrix, np.zeros(matrix.shape[1]) if bias is None else bias, **onnx)
        text = TINY_CARD.replace("SHA256", sha256)
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        return text, path

    return make


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | bytes | str) -> bytes:
    """One protobuf field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _tensor(name: str, array: np.ndarray) -> bytes:
    """TensorProto: dims 1, data_type 2 (1 = float, 7 = int64), name 8, raw_data 9."""
    dims = b"".join(_field(1, size) for size in array.shape)
    kind, raw = (7, array.tobytes()) if array.dtype == np.int64 else (1, array.astype("<f4").tobytes())
    return dims + _field(2, kind) + _field(8, name) + _field(9, raw)


def _value_info(name: str, *sizes: int) -> bytes:
    """ValueInfoProto of a float tensor; one size alone is [batch, size]."""
    shape = b"".join(_field(1, _field(1, size)) for size in sizes)
    if len(sizes) == 1:
        shape = _field(1, _field(2, "batch")) + shape
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _node(op: str, inputs: tuple[str, ...], output: str) -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, op)


def _onnx(
    weights: np.ndarray, bias: np.ndarray, names: tuple[str, str], opset: int, extra_input: str | None
) -> bytes:  # fmt: skip
    """ModelProto: ir_version 1, graph 7 (node 1, name 2, initializer 5, input 11, output 12), opset_import 8."""
    source, target = names
    graph = _field(1, _node("MatMul", (source, "w"), "m")) + _field(1, _node("Add", ("m", "bias"), target))
    graph += _field(2, "g") + _field(5, _tensor("w", weights)) + _field(5, _tensor("bias", bias))
    graph += _field(11, _value_info(source, weights.shape[0]))
    if extra_input:
        graph += _field(11, _value_info(extra_input, 1))
    graph += _field(12, _value_info(target, weights.shape[1]))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, opset))
