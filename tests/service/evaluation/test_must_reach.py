"""What TWIST2 reaches on its own example clips through its card and the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.clips import find_clips
from teleopd.service.evaluation.disturbances import disturbances
from teleopd.service.evaluation.run import run_all, summaries
from teleopd.service.evaluation.trial import Trial
from teleopd.service.policy.library import resolve


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twist2_follows_its_example_clips(shared_data: Path):
    """Six of six upright, key-body error up to 42 mm and final heading error up to 5 deg in the median."""
    folder = shared_data / "policies" / "twist2"
    policy = resolve(str(folder / "twist2_1017_20k.onnx"), MODEL)
    assert policy is not None
    nominal = disturbances(["none"])[0]
    clips = find_clips([str(folder / "example_motions")])
    rows = run_all([Trial("unitree_g1", "twist2", policy, clip, nominal) for clip in clips], 2)
    (told,) = summaries(rows)
    assert (told["survived"], told["runs"]) == (6, 6)
    assert told["tracking"]["key_body_error_mm"]["median"] <= 42.0
    assert told["tracking"]["yaw_drift_deg"] <= 5.0
