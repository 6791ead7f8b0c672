"""The ONNX file against the network, through onnxruntime and through the running service."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.library import resolve
from teleopd.service.policy.onnx_file import read_onnx
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.policy.train.export import (
    ExportFailed,
    card_text,
    checked_onnx,
    run_onnx,
    to_onnx,
    write_policy,
)
from teleopd.service.policy.train.features import COLUMNS
from teleopd.service.policy.train.onnx_writer import Node, model
from teleopd.service.policy.train.student import Student


@pytest.fixture(scope="module")
def student():
    """A network with random weights, mean and deviation."""
    torch.manual_seed(0)
    made = Student((32, 24))
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(100, 537)) * rng.uniform(0.01, 2, 537) + rng.normal(size=537)
    made.normalise_to(inputs.astype(np.float32))
    with torch.no_grad():
        made.linears()[-1].weight *= 30.0
    return made


def test_the_file_answers_as_the_network_does(student):
    rng = np.random.default_rng(1)
    observation = (3.0 * rng.normal(size=(500, 600))).astype(np.float32)
    with torch.inference_mode():
        wanted = student(torch.from_numpy(observation[:, COLUMNS])).numpy()
    got = run_onnx(checked_onnx(student), observation)
    assert np.abs(got - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_the_file_is_the_formula(student):
    """action = (q_ref - default) / 0.5 + W2 silu(W1 silu(W0 x + b0) + b1) + b2 in plain numpy, double precision."""
    observation = np.random.default_rng(2).normal(size=(50, 600))
    x = np.clip((observation[:, COLUMNS] - student.mean.double().numpy()) / student.std.double().numpy(), -8, 8)
    for i, layer in enumerate(student.linears()):
        if i:
            x = x / (1.0 + np.exp(-x))
        x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
    wanted = x + (observation[:, 6:35] - MODEL.q_stand) / 0.5
    np.testing.assert_allclose(run_onnx(to_onnx(student), observation.astype(np.float32)), wanted, atol=1e-4)


def test_what_is_written_loads_and_runs_in_the_service(student, tmp_path):
    paths = write_policy(student, tmp_path, "| a | table |")
    assert [path.name for path in paths] == ["default.onnx", "default.toml", "default.md"]
    assert "| a | table |" in paths[2].read_text()
    policy = resolve(str(paths[1]), MODEL)
    assert policy is not None
    assert policy.card.model.sha256 == hashlib.sha256(paths[0].read_bytes()).hexdigest()
    runtime = PolicyRuntime(policy.card, policy.onnx_path, MODEL, link="sim")  # checks the golden output
    assert runtime.warm_up_ms < 20.0
    assert len(policy.card.golden[0].output) == 29


def test_the_shipped_network_fits_in_four_megabytes():
    content = checked_onnx(Student())
    assert 2_300_000 < len(content) < 4_000_000


def test_a_network_that_is_not_finite_is_not_shipped():
    broken = Student((8,))
    with torch.no_grad():
        broken.linears()[0].bias[2] = float("nan")
    with pytest.raises(ExportFailed, match="differs from the trained one by nan, allowed 1e-05"):
        checked_onnx(broken)


def test_the_writer_writes_what_the_service_reads(tmp_path):
    path = tmp_path / "twice.onnx"
    path.write_bytes(model([Node("Add", ("in", "in"), "out")], {}, ("in", 3), ("out", 3), "test"))
    assert read_onnx(path).opset == 13


def test_constants_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="constant 'c' is float64; written are float32 and int64"):
        model([Node("Add", ("in", "c"), "out")], {"c": np.zeros(3)}, ("in", 3), ("out", 3), "test")


def test_a_card_without_a_golden_output_is_still_a_card(card):
    assert card.golden == () and card.name == "default" and card.robot == "unitree_g1"
    assert "@" not in card_text("0" * 64, np.zeros(29, np.float32)).replace("@ d5", "")
