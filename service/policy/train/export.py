"""A trained network -> what is shipped: the ONNX file, its card, its model card."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import torch

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.card import Card
from teleopd.service.policy.card_reader import parse_card
from teleopd.service.policy.train.channels import JOINTS, WIDTH, Float32, stand
from teleopd.service.policy.train.features import ACTION_SCALE, CARD_WIDTH, COLUMNS, DEFAULT
from teleopd.service.policy.train.onnx_writer import Node, layers, model
from teleopd.service.policy.train.student import INPUT_CLIP, Student

NAME = "default"
INPUT, OUTPUT = "observation", "action"
TOLERANCE = 1e-5
"""Largest difference between the network and its export, relative to 1 + |action|."""
MAX_BYTES = 4_000_000
TEMPLATE = "default_card.txt"


class HasLinears(Protocol):
    """A network of linear layers."""

    def linears(self) -> list[torch.nn.Linear]:
        """First to last."""
        ...


class ExportFailed(RuntimeError):
    """The file written does not do what the network does; says by how much."""


def to_onnx(student: Student) -> bytes:
    """The network with normalisation and residual inside, on the observation of the card (k, 600)."""
    constants: dict[str, Any] = {
        "columns": COLUMNS, "joints": np.arange(JOINTS.start, JOINTS.stop, dtype=np.int64),
        "mean": student.mean.numpy(), "inverse_std": (1.0 / student.std).numpy(),
        "low": np.float32(-INPUT_CLIP).reshape(()), "high": np.float32(INPUT_CLIP).reshape(()),
        "default": student.default.numpy(), "inverse_scale": np.full(1, 1.0 / ACTION_SCALE, dtype=np.float32),
    }  # fmt: skip
    nodes = [
        Node("Gather", (INPUT, "columns"), "used", {"axis": 1}),
        Node("Sub", ("used", "mean"), "centred"),
        Node("Mul", ("centred", "inverse_std"), "scaled"),
        Node("Clip", ("scaled", "low", "high"), "x0"),
    ]
    nodes += layers(parameters_of(student), constants)
    nodes += [
        Node("Gather", (INPUT, "joints"), "wanted", {"axis": 1}),
        Node("Sub", ("wanted", "default"), "away"),
        Node("Mul", ("away", "inverse_scale"), "residual"),
        Node("Add", ("out", "residual"), OUTPUT),
    ]
    return model(nodes, constants, (INPUT, CARD_WIDTH), (OUTPUT, MODEL.n), "teleopd")


def run_onnx(content: bytes, observation: Float32) -> Float32:
    """What an exported file answers, (k, 29)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    out: Float32 = session.run(None, {INPUT: observation})[0]
    return out


def parameters_of(student: HasLinears) -> list[tuple[Float32, Float32]]:
    """Weight and bias of each linear layer, first to last."""
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in student.linears()]


def check_export(got: Float32, wanted: Float32, size: int, largest: int) -> None:
    """See that a file of `size` bytes answers as the network.

    Raises:
        ExportFailed: it answers differently, not finitely, or is larger than `largest`.
    """
    worst = float(np.max(np.abs(got - wanted) / (1.0 + np.abs(wanted))))
    if not worst <= TOLERANCE:
        raise ExportFailed(f"the exported network differs from the trained one by {worst:.1e}, allowed {TOLERANCE:g}")
    if size > largest:
        raise ExportFailed(f"the exported network has {size} bytes, at most {largest} are shipped")


def checked_onnx(student: Student) -> bytes:
    """`to_onnx`, proven on random observations of the size that occurs.

    Raises:
        ExportFailed: it answers differently, not finitely, or is too large to ship.
    """
    content = to_onnx(student)
    rng = np.random.default_rng(0)
    spread = np.ones(CARD_WIDTH, dtype=np.float32)
    spread[COLUMNS] = student.std.numpy()
    centre = np.zeros(CARD_WIDTH, dtype=np.float32)
    centre[COLUMNS] = student.mean.numpy()
    observation = (centre + 2.0 * spread * rng.standard_normal((256, CARD_WIDTH))).astype(np.float32)
    with torch.inference_mode():
        wanted = student(torch.from_numpy(observation[:, COLUMNS])).numpy()
    got = run_onnx(content, observation)
    check_export(got, wanted, len(content), MAX_BYTES)
    return content


def card_text(sha256: str, golden: Float32 | None = None) -> str:
    """The card of a network with that hash; `golden` is its answer to `standing_observation`, (29,)."""
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    text = text.replace("@SHA256@", sha256)
    head, _, tail = text.partition("# @GOLDEN@\n")
    if golden is None:
        return head
    values = ", ".join(f"{value:.5f}" for value in golden)
    return head + tail.replace("@OUTPUT@", values)


def training_card() -> Card:
    """The card as training uses it: gains and layout, no weights yet."""
    return parse_card(card_text("0" * 64), TEMPLATE)


def standing_observation() -> Float32:
    """The golden input of the card: the stand reference now, everything else zero, (1, 600)."""
    observation = np.zeros((1, CARD_WIDTH), dtype=np.float32)
    observation[0, :WIDTH] = stand()
    observation[0, JOINTS] = DEFAULT
    return observation


def write_policy(student: Student, folder: Path, figures: str) -> list[Path]:
    """`default.onnx`, `default.toml` and `default.md` in `folder`; `figures` are the measured tables (Markdown).

    Raises:
        ExportFailed: the network cannot be shipped.
    """
    content = checked_onnx(student)
    golden = run_onnx(content, standing_observation())[0]
    text = card_text(hashlib.sha256(content).hexdigest(), golden)
    story = resources.files(__package__).joinpath("model_card.txt").read_text(encoding="utf-8")
    return write_files(folder, content, text, story.replace("@FIGURES@", figures))


def write_files(folder: Path, content: bytes, card: str, story: str) -> list[Path]:
    """`default.onnx`, `default.toml` and `default.md` in `folder`, which is made.

    Raises:
        BadCard: the card would not be accepted.
    """
    parse_card(card, f"{NAME}.toml")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{NAME}{suffix}" for suffix in (".onnx", ".toml", ".md")]
    paths[0].write_bytes(content)
    paths[1].write_text(card, encoding="utf-8")
    paths[2].write_text(story, encoding="utf-8")
    return paths
