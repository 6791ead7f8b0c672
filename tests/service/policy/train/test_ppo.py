"""A tiny fine-tuning: it resumes bit for bit, keeps the best, and lets no number that is none into a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

import torch

from teleopd.service.policy.train.channels import Clip
from teleopd.service.policy.train.features import DEFAULT
from teleopd.service.policy.train.harder import HardReferences
from teleopd.service.policy.train.ppo import FineTuning, Score, finetuned_student, read_finetuned
from teleopd.service.policy.train.ppo_settings import PpoSettings
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.student import Student

TINY = PpoSettings(
    seed=3, hidden=(16, 8), critic=(16,), robots=4, ticks=6, threads=1, iterations=6, leg=2, legs_per_check=1,
    critic_only=1, epochs=2, minibatch=12,
)  # fmt: skip


def teacher(observation):
    """Follows the reference joints: the action whose target is the reference."""
    return ((observation[:, 6:35] - DEFAULT) / 0.5).astype(np.float32)


@pytest.fixture
def distilled():
    torch.manual_seed(1)
    student = Student((16, 8))
    student.normalise_to(np.random.default_rng(0).normal(size=(50, 537)).astype(np.float32))
    return student


@pytest.fixture
def run(card, swaying, distilled):
    made, clips = [], [swaying, Clip("0807_sway", swaying.channels)]
    references = HardReferences(ReferenceGenerator(clips), clips, mode_tracks=0)

    def start(settings=TINY, judge=None, teacher=teacher):
        made.append(FineTuning(settings, card, references, teacher, distilled, judge, clock=lambda: 0.0))
        return made[-1]

    yield start
    for tuning in made:
        tuning.close()


def test_a_resumed_run_is_the_run_that_never_stopped(run, tmp_path):
    whole, reports = run(), []
    whole.run(tmp_path / "whole", reports.append)
    assert [r.iteration for r in reports] == list(range(1, 7)) and reports[-1].share_done == 1.0
    assert reports[-1].samples == 6 * 24 and reports[0].kl == 0.0 and whole.updates > 0
    assert np.isnan(reports[0].teacher_loss) and reports[-1].teacher_loss >= 0.0

    run().run(tmp_path / "parts", reports.append, legs=1)
    resumed = run(PpoSettings.from_dict(read_finetuned(tmp_path / "parts")["settings"]))
    resumed.restore(tmp_path / "parts")
    assert resumed.iteration == 2
    resumed.run(tmp_path / "parts", reports.append)
    for name in ("actor", "average", "best", "critic"):
        other = getattr(resumed, name).state_dict()
        for key, value in getattr(whole, name).state_dict().items():
            assert torch.equal(value, other[key]), (name, key)
    assert torch.equal(whole.log_std, resumed.log_std)
    assert (whole.updates, whole.samples, whole.rate) == (resumed.updates, resumed.samples, resumed.rate)
    assert whole.updates > 10 and whole.skipped == 0


def test_while_the_critic_warms_up_the_actor_rests(run, distilled, tmp_path):
    tuning = run(PpoSettings.from_dict({**TINY.as_dict(), "critic_only": 6}))
    before = {key: value.clone() for key, value in tuning.critic.state_dict().items()}
    tuning.run(tmp_path, lambda _report: None)
    for key, value in distilled.state_dict().items():
        assert torch.equal(value, tuning.actor.state_dict()[key])
    assert not torch.equal(before["body.0.weight"], tuning.critic.state_dict()["body.0.weight"])


def test_the_best_network_is_kept_and_a_worse_one_does_not_replace_it(run, tmp_path):
    scores = iter((Score(3, -30.0), Score(5, -31.0), Score(4, -20.0), Score(5, -32.0)))
    kept = []

    def judge(student):
        kept.append({key: value.clone() for key, value in student.state_dict().items()})
        return next(scores)

    tuning = run(judge=judge)
    tuning.run(tmp_path, lambda _report: None)
    assert tuning.scores == [[0.0, 3.0, 30.0], [2.0, 5.0, 31.0], [4.0, 4.0, 20.0], [6.0, 5.0, 32.0]]
    assert tuning.score == Score(5, -31.0)
    best = finetuned_student(tmp_path).state_dict()
    assert all(torch.equal(value, best[key]) for key, value in kept[1].items())
    assert not torch.equal(kept[1]["body.0.weight"], kept[3]["body.0.weight"])


def test_no_number_that_is_none_reaches_a_checkpoint(run, tmp_path):
    """A teacher that says infinity: its samples are left out. A critic gone wrong: its updates are, and counted."""
    tuning = run(teacher=lambda observation: np.full((len(observation), 29), np.inf, np.float32))
    tuning.run(tmp_path, lambda _report: None, legs=1)
    with torch.no_grad():
        tuning.critic.body[0].weight[0, 0] = torch.nan
    actor = {key: value.clone() for key, value in tuning.actor.state_dict().items()}
    skipped = tuning.skipped
    tuning.run(tmp_path, lambda _report: None, legs=1)
    assert tuning.skipped > skipped
    state = read_finetuned(tmp_path)
    for name in ("actor", "average", "best"):
        assert all(bool(torch.isfinite(value).all()) for value in state[name].values())
    assert bool(torch.isfinite(state["log_std"]).all()) and actor.keys() == state["actor"].keys()


def test_large_steps_shrink_the_rate_and_small_ones_raise_it(run):
    tuning = run()
    at = tuning.rate
    tuning._follow_kl(3 * TINY.kl_target)
    assert tuning.rate == pytest.approx(at / 1.5)
    tuning._follow_kl(0.2 * TINY.kl_target)
    assert tuning.rate == pytest.approx(at / 1.5 * 1.1)
    for _ in range(50):
        tuning._follow_kl(1.0)
    assert tuning.rate == TINY.rate_low


def test_no_checkpoint_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finetuned.pt; fine-tune there first, or name another folder"):
        read_finetuned(tmp_path)
