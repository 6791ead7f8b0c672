"""Which runs a policy is put through."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.clips import LEAD_IN_S, LEAD_OUT_S
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.qualification.battery import (
    AFTER_S,
    LATEST_ENGAGE_S,
    Run,
    battery,
    instants,
    shoves,
)


@pytest.fixture(scope="module")
def default() -> ResolvedPolicy:
    found = resolve("default", MODEL)
    assert found is not None
    return found


def test_the_full_profile_asks_for_what_the_record_promises(default: ResolvedPolicy):
    runs = battery("full", default, "unitree_g1", 33.0)
    assert Counter(run.kind for run in runs) == {
        "nominal": 2 * len(motion_names), "dropout": 25, "twin": 25, "push": 8, "hard push": 8, "latency": 5,
        "noise": 2, "gains": 2, "armature": 2, "fall": 6 * 8 + 4,
    }  # fmt: skip
    assert {run.clip for run in runs if run.kind == "nominal"} == set(motion_names)
    latencies = sorted(run.disturbance.robot.actuator_delay_ms for run in runs if run.kind == "latency")
    assert latencies == [(0.0, 0.0), (10.0, 10.0), (20.0, 20.0), (30.0, 30.0), (40.0, 40.0)]
    quick = battery("quick", default, "unitree_g1", 33.0)
    assert {run.kind for run in quick} == {run.kind for run in runs}
    assert len(quick) < len(runs) / 2
    keys = [(run.clip, run.disturbance.name, run.seed) for run in runs]
    assert len(set(keys)) == len(keys), "runs that are kept are told apart by these"


def test_more_clips_are_run_once_each_and_seeds_count_up(default: ResolvedPolicy):
    runs = battery("full", default, "unitree_g1", 33.0, ["/a/dance.bvh", "walk"], seed=7)
    nominal = [(run.clip, run.seed) for run in runs if run.kind == "nominal"]
    assert nominal[-2:] == [("/a/dance.bvh", 7), ("/a/dance.bvh", 8)]
    assert nominal.count(("walk", 7)) == 1
    assert min(run.seed for run in runs) == 7


@pytest.mark.parametrize("count", [1, 5, 25])
def test_what_is_lost_is_lost_while_walking_and_watched_for_five_seconds(default: ResolvedPolicy, count: int):
    found = instants(count)
    assert len(found) == len(set(found)) == count
    for clip, at_s in found:
        motion = load_motion(clip)
        assert at_s > LEAD_IN_S - 1.2 + 0.4, "past the lead-in, whenever it was engaged"
        ends_s = LEAD_IN_S + motion.frames / motion.fps + LEAD_OUT_S - LATEST_ENGAGE_S
        assert at_s + AFTER_S <= ends_s


def test_a_shove_gives_the_whole_robot_its_speed():
    """F t = m v over 0.2 s."""
    found = shoves(40.0, 0.6, 4, 10.0)
    assert [what.push_deg for what in found] == [10.0, 100.0, 190.0, 280.0]
    assert [what.push_n for what in found] == pytest.approx([120.0] * 4)
    assert found[0].name == "push 0.6 m/s@10"


def test_a_run_travels_to_another_process(default: ResolvedPolicy, tmp_path: Path):
    runs = battery("quick", default, "unitree_g1", 33.0)
    again: list[Run] = pickle.loads(pickle.dumps(runs))
    assert [(run.kind, run.disturbance, run.at_s) for run in again] == [
        (run.kind, run.disturbance, run.at_s) for run in runs
    ]  # fmt: skip
    dropout = next(run for run in again if run.kind == "dropout")
    assert dropout.disturbance.dropouts is not None
    assert np.isclose(dropout.disturbance.dropouts[0] * 0.02, dropout.at_s, atol=0.011)


@pytest.mark.parametrize(
    "profile, speeds, sides", [("full", (1.5, 2.0, 2.5, 3.0, 3.5, 4.0), 8), ("quick", (2.0, 4.0), 4)]
)
def test_the_falls_are_every_speed_from_every_side_and_none_is_picked(
    default: ResolvedPolicy, profile: Literal["full", "quick"], speeds: tuple[float, ...], sides: int
):
    falls = [run.disturbance for run in battery(profile, default, "unitree_g1", 33.0) if run.kind == "fall"]
    pushes = {(what.push_n, what.push_deg) for what in falls if what.push_n}
    assert {round(newton * 0.2 / 33.0, 6) for newton, _ in pushes} == set(speeds)
    assert len(pushes) == len(speeds) * sides
    assert {deg for _, deg in pushes} == {i * 360.0 / sides for i in range(sides)}
    assert len(falls) == len(pushes) + 4
