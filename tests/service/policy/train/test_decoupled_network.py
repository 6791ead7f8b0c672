"""The network of H1 and H1-2 as it leaves training: exported, corrected, or absent."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch

from teleopd.service.policy.train.decoupled.cli import main
from teleopd.service.policy.train.decoupled.export import card_of, checked_onnx, network_of, standing_observation
from teleopd.service.policy.train.decoupled.student import LegStudent
from teleopd.service.policy.train.decoupled.walker import VY


def test_an_exported_network_answers_as_the_trained_one(walker):
    student = LegStudent(walker.width, len(walker.legs), (16, 8))
    student.normalise_to(np.random.default_rng(0).standard_normal((50, walker.width + 1)).astype(np.float32))
    with torch.no_grad():
        student.linears()[-1].bias[-1] = 0.3
    content, golden, stands = checked_onnx(student), standing_observation(walker), np.zeros(1, dtype=np.float32)
    got, wanted = network_of(content)(golden, stands), student.act(golden, stands)
    assert got[0] == pytest.approx(wanted[0], abs=1e-5)
    assert got[1] == wanted[1]
    card = card_of(walker, "0" * 64, wanted[0][0])
    vector = np.zeros(walker.width)
    for segment in card.golden[0].segments:
        vector[segment.at : segment.at + len(segment.values)] = segment.values
    assert vector == pytest.approx(golden[0])


def test_a_command_that_is_obtained_in_part_can_count_for_more(walker):
    torch.manual_seed(0)
    plain, amplified = (LegStudent(walker.width, len(walker.legs)) for _ in range(2))
    rng = np.random.default_rng(0)
    samples = rng.normal(0.3, 0.5, (64, walker.width + 1)).astype(np.float32)
    plain.normalise_to(samples)
    amplified.load_state_dict(plain.state_dict())
    amplified.amplify(VY, 1.25)
    seen, steps = samples[:, :-1], np.zeros(64, dtype=np.float32)
    more = seen.copy()
    more[:, VY] *= 1.25
    assert np.abs(plain.act(more, steps)[0] - plain.act(seen, steps)[0]).max() > 1e-3
    assert np.allclose(amplified.act(seen, steps)[0], plain.act(more, steps)[0], atol=1e-5)
    assert np.allclose(network_of(checked_onnx(amplified))(seen, steps)[0], plain.act(more, steps)[0], atol=1e-4)
    for wrong in (0.0, -1.0, 2.1, float("nan")):
        with pytest.raises(ValueError, match=r"give a factor from 0\.5 to 2"):
            amplified.amplify(VY, wrong)


def test_absent_data_is_one_sentence(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "x"), "--data", str(tmp_path)]) == 2
    assert "motion.pt is absent; give the folder of public data with --data" in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "x"), "--data", str(tmp_path), "--evaluate"]) == 2
    assert "checkpoint.pt" in capsys.readouterr().err
