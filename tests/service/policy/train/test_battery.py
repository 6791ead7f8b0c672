"""The perturbation battery: what is in it, how a stream drops out, how outcomes are counted."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.service.policy.train.battery import battery, battery_markdown, battery_summary, interrupted
from teleopd.service.policy.train.channels import Clip, stand
from teleopd.service.policy.train.suite import Outcome, Trial


@pytest.fixture(scope="module")
def clips():
    """Two still example clips, one of them the walking one, and a clip that is no example."""
    still = np.tile(stand(), (700, 1))
    return [Clip("0807_yanjie_walk_001", still), Clip("0807_other", still[:80]), Clip("own", still)]


def test_every_perturbation_is_there_from_every_start(clips):
    trials = battery(clips, starts=3)
    groups = {}
    for trial in trials:
        groups.setdefault(trial.group, []).append(trial)
    pushes = [f"push {n} N, {how}" for how in ("standing", "walking") for n in (100, 150, 200)]
    robots = ["gains x0.7", "gains x0.85", "gains x1.15", "gains x1.3", "armature x0", "armature x2", "torso +5 kg",
              "friction 0.35", "latency 40 ms", "dropouts 25/25"]  # fmt: skip
    assert list(groups) == pushes + robots
    assert [len(members) for members in groups.values()] == [24] * 6 + [2 * 3] * 10
    assert {trial.shaken for trial in trials} == {0, 1, 2}
    assert dict(groups["latency 40 ms"][0].changes) == {"delay": 8}
    assert np.all(dict(groups["gains x0.7"][0].changes)["kp"] == 0.7)


def test_pushes_come_from_eight_sides_after_it_stands_or_walks(clips):
    pushed = [t for t in battery(clips, starts=1) if t.group.startswith("push 150")]
    np.testing.assert_allclose([np.linalg.norm(t.push_w) for t in pushed], 150.0)
    angles = np.rad2deg([np.arctan2(t.push_w[1], t.push_w[0]) for t in pushed[:8]]) % 360
    np.testing.assert_allclose(np.sort(angles), np.arange(0, 360, 45), atol=1e-9)
    assert [t.push_at_s for t in pushed] == [2.0] * 8 + [4.0] * 8


def test_another_seed_has_other_starts(clips):
    one, two = battery(clips, 2, seed=0), battery(clips, 2, seed=1)
    assert not {t.shaken for t in one} & {t.shaken for t in two}


def test_a_dropout_holds_the_last_frame_for_half_of_the_time():
    track = np.arange(10.0)[:, None] * np.ones(35)
    np.testing.assert_array_equal(interrupted(track, 3)[:, 0], [0, 1, 2, 2, 2, 2, 6, 7, 8, 8])


def test_survivals_are_counted_by_group_and_in_total():
    def outcome(group, fell, error):
        trial = Trial(group, "x", np.zeros((1, 35)), 0)
        return Outcome(trial, fell, error, 0.0, 0.0, (0.0, 0.0, 0.0))

    found = battery_summary([outcome("a", None, 10.0), outcome("a", 2.5, 30.0), outcome("b", None, 20.0)])
    assert found == {
        "a": {"upright": 1, "of": 2, "key_body_mm": 20.0}, "b": {"upright": 1, "of": 1, "key_body_mm": 20.0},
        "total": {"upright": 2, "of": 3, "key_body_mm": 20.0},
    }  # fmt: skip
    assert battery_markdown({"student": found, "teacher": found}).splitlines()[-1] == (
        "| total | 2/3, 20.0 mm | 2/3, 20.0 mm |"
    )
