"""A tiny run: it stops, resumes from its checkpoint and ends bit for bit where one that never stopped ends."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch

from teleopd.service.policy.train.dagger import Distillation, read_checkpoint, student_of
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.replay import Replay
from teleopd.service.policy.train.settings import Settings

TINY = Settings(
    seed=3, hidden=(16, 8), robots=4, ticks=6, threads=1, iterations=9, leg=3, buffer=500, keep_buffer=True, batch=32,
    normalise_after=40, warm_up=5,
)  # fmt: skip


def teacher(observation):
    """Follows the reference joints: the action whose target is the reference."""
    leg, left, right = [-0.2, 0, 0, 0.4, -0.2, 0], [0, 0.4, 0, 1.2, 0, 0, 0], [0, -0.4, 0, 1.2, 0, 0, 0]
    default = np.array([*leg, *leg, 0, 0, 0, *left, *right])
    return ((observation[:, 6:35] - default) / 0.5).astype(np.float32)


@pytest.fixture
def run(card, swaying):
    made = []

    def start(settings=TINY):
        made.append(Distillation(settings, card, ReferenceGenerator([swaying]), teacher, clock=lambda: 0.0))
        return made[-1]

    yield start
    for distillation in made:
        distillation.close()


def test_a_resumed_run_is_the_run_that_never_stopped(run, tmp_path):
    whole, reports = run(), []
    whole.run(tmp_path / "whole", reports.append)
    assert [r.iteration for r in reports] == list(range(1, 10))
    assert reports[-1].samples == 9 * 24 and reports[-1].share_done == 1.0
    assert np.isnan(reports[0].loss) and reports[-1].loss > 0.0

    run().run(tmp_path / "parts", reports.append, legs=1)
    resumed = run(Settings.from_dict(read_checkpoint(tmp_path / "parts")["settings"]))
    resumed.restore(tmp_path / "parts")
    assert resumed.iteration == 3
    resumed.run(tmp_path / "parts", reports.append)
    for one, two in ((whole.student, resumed.student), (whole.average, resumed.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[name]), name
    assert (whole.updates, whole.samples) == (resumed.updates, resumed.samples)
    assert whole.updates > 10


def test_another_seed_is_another_run(run, tmp_path):
    weights = []
    for seed in (3, 4):
        distillation = run(Settings.from_dict({**TINY.as_dict(), "seed": seed, "iterations": 3}))
        distillation.run(tmp_path / str(seed), lambda _report: None)
        weights.append(distillation.student.linears()[0].weight)
    assert not torch.equal(*weights)


def test_the_checkpoint_gives_the_running_average(run, tmp_path):
    distillation = run(Settings.from_dict({**TINY.as_dict(), "iterations": 3}))
    distillation.run(tmp_path, lambda _report: None)
    shipped = student_of(tmp_path)
    for name, value in distillation.average.state_dict().items():
        assert torch.equal(value, shipped.state_dict()[name])
    assert not torch.equal(shipped.linears()[0].weight, distillation.student.linears()[0].weight)


def test_no_checkpoint_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no checkpoint.pt; train there first, or name another folder"):
        read_checkpoint(tmp_path)


def test_the_ring_keeps_the_newest_and_leaves_out_what_is_not_finite():
    ring = Replay(6)
    for i in range(5):
        seen, wanted = np.full((2, 537), i, np.float32), np.full((2, 29), i, np.float32)
        wanted[1, 3] = np.nan if i == 4 else i
        ring.add(seen, wanted)
    assert ring.count == 6
    seen, wanted = ring.batch(np.random.default_rng(0), 400)
    assert set(np.unique(seen)) == {1.0, 2.0, 3.0, 4.0}  # 0 was overwritten; of the pair 1, one is left
    np.testing.assert_array_equal(seen[:, 0], wanted[:, 0])
