"""What may be learned from: licences, corrupt frames, pickles that are no motions."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train import suite
from teleopd.service.policy.train.channels import VX, Z
from teleopd.service.policy.train.motions import LICENSED, NotAMotion, own_walks, resampled, retargeted, twist2_clip


def test_nothing_is_both_trained_on_and_held_out():
    assert set(LICENSED).isdisjoint(suite.HELD_OUT)
    for name in LICENSED:
        assert name.startswith(("cmu_", "xsens_gmr_boxing"))


def test_corrupt_leading_frames_are_left_out(shared_data):
    """Clip 004 begins at 1.83 m and 95 m/s; without those frames it is a walk between 0.76 and 0.85 m."""
    clip = twist2_clip(shared_data / "policies/twist2/example_motions/0807_yanjie_walk_004.pkl")
    assert len(clip.channels) == pytest.approx((380 - 2) / 29.762 * 50, abs=2)
    assert 0.75 < clip.channels[:, Z].min() and clip.channels[:, Z].max() < 0.85
    assert np.abs(clip.channels[:, VX]).max() < 2.0


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"fps": Path}))
    with pytest.raises(NotAMotion, match="the pickle wants to load pathlib.*; motions hold numpy arrays"):
        twist2_clip(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"fps": 30.0}, "has no fps, root_pos, root_rot and dof_pos: 'root_pos'"),
        (
            {"fps": 30.0, "root_pos": np.zeros((9, 3)), "root_rot": np.zeros((9, 4)), "dof_pos": np.zeros((9, 23))},
            "moves 23 joints, the unitree_g1 has 29",
        ),
    ],
)
def test_another_pickle_is_refused(tmp_path, content, sentence):
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(NotAMotion, match=sentence):
        twist2_clip(path)


def test_resampling_keeps_a_line_a_line():
    qpos = np.zeros((31, 36))
    qpos[:, 3], qpos[:, 0], qpos[:, 7] = 1.0, np.arange(31) / 30.0, 0.1 * np.arange(31)
    out = resampled(qpos, 30.0)
    assert len(out) == 51
    np.testing.assert_allclose(out[:, 0], np.arange(51) / 50.0, atol=1e-12)
    np.testing.assert_allclose(out[:, 7], 3.0 * np.arange(51) / 50.0, atol=1e-12)


def test_our_own_walks_go_where_their_names_say():
    walks = {clip.name: clip for clip in own_walks()}
    assert len(walks) == 14
    back = retargeted(walks["stride -0.30 m, 0.65 s"]).channels
    assert back[100:250, VX].mean() == pytest.approx(-0.3 / 0.65, rel=0.35)  # smaller legs: the step is scaled down
    assert back[100:250, VX].mean() < -0.25
    assert 0.65 < back[:, Z].min() and back[:, Z].max() < 0.80
