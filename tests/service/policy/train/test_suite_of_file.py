"""The training's suite for policies that exist as files: who can be shown, and that no torch is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.policy.train import suite_of_file as module
from teleopd.service.policy.train.channels import stand
from teleopd.service.policy.train.suite import Trial


def found(name: str) -> ResolvedPolicy:
    policy = resolve(name, MODEL)
    assert policy is not None
    return policy


@pytest.mark.parametrize("perturbed", [False, True])
@pytest.mark.parametrize("name", ["default", "twist2"])
def test_ours_and_twist2_are_shown_what_they_see(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, perturbed: bool
):
    """A second of standing stands in for the suite and the battery."""
    short = [Trial("clips", "standing", np.tile(stand(), (50, 1)), 10)]
    monkeypatch.setattr(module, "trials", lambda _clips, _held_out: short)
    monkeypatch.setattr(module, "battery", lambda _clips: short)
    monkeypatch.setattr(module, "held_out_clips", lambda _folder: [])
    ticks: list[tuple[int, int]] = []
    figures, table = module.judge_file(
        found(name), shared_data, 1, perturbed, lambda done, all_: ticks.append((done, all_))
    )
    assert (figures["clips"]["upright"], figures["clips"]["of"]) == (1, 1)
    assert 0.0 < figures["clips"]["key_body_mm"] < 30.0
    assert f"| clips | 1/1, {figures['clips']['key_body_mm']} mm |" in table and name in table
    assert ticks[-1] == (50, 50)


def test_another_policy_is_refused_with_what_it_sees(shared_data: Path):
    with pytest.raises(module.NotInTheSuite, match="takes 154 values on unitree_g1; the training suite shows 600"):
        module.actor_of(found("beyondmimic_jump"), 1)


def test_without_the_clips_it_says_which_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="name the folder with --data"):
        module.judge_file(found("default"), tmp_path, 1, False)


def test_no_torch_is_needed():
    code = "import sys; sys.modules['torch'] = None; import teleopd.service.policy.train.suite_of_file"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
