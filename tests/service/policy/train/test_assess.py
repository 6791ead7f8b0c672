"""Which student is shipped, and what the model card says of it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.assess import card_figures, choose
from teleopd.service.policy.train.student import Student, between


def figures_of(actors, battery, gaits, suite, clips_mm):
    return {
        "suite": {a: {"clips": {"upright": suite[i], "of": 109, "key_body_mm": clips_mm[i]}}
                  for i, a in enumerate(actors)},
        "battery": {a: {"total": {"upright": battery[i], "of": 324, "key_body_mm": 29.0}}
                    for i, a in enumerate(actors)},
        "own_gaits": {a: {"on_speed": gaits[i], "of": 24, "gaits": {}} for i, a in enumerate(actors)},
    }  # fmt: skip


def found(*, battery=(300, 310), gaits=(20, 22), suite=(100, 100), clips_mm=(31.4, 31.8), tuned=True):
    """Figures of the distilled and the fine-tuned network."""
    actors = ("distilled", "fine-tuned") if tuned else ("distilled",)
    return figures_of(actors, battery, gaits, suite, clips_mm)


@pytest.mark.parametrize("figures, shipped", [
    ({}, "fine-tuned"),
    ({"battery": (300, 299), "gaits": (20, 20)}, "distilled"),
    ({"battery": (300, 300), "gaits": (20, 20)}, "distilled"),
    ({"suite": (100, 99)}, "distilled"),
    ({"clips_mm": (31.4, 31.9)}, "fine-tuned"),
    ({"clips_mm": (31.4, 32.0)}, "distilled"),
    ({"tuned": False}, "distilled"),
])  # fmt: skip
def test_the_better_one_is_shipped(figures, shipped):
    assert choose(found(**figures)).name == shipped


def test_the_card_says_which_and_why():
    figures = found()
    choice = choose(figures)
    assert choice.why == (
        "Distilled 300 of 324 battery trials upright, 20 own gaits on speed, clips at 31.4 mm; "
        "fine-tuned 310 of 324 battery trials upright, 22 own gaits on speed, clips at 31.8 mm."
    )
    training = {
        "distilled": {"samples": 3_020_000, "updates": 5730, "elapsed_s": 1800.0},
        "fine-tuned": {"samples": 2_500_000, "updates": 900, "elapsed_s": 4200.0},
    }
    text = card_figures({**figures, "shipped": choice.name, "why": choice.why, "training": training})
    assert text.startswith(f"**Shipped: the fine-tuned network.** {choice.why}\n")
    assert "| total | 300/324, 29.0 mm | 310/324, 29.0 mm |" in text
    assert "| within 25% | 20/24 | 22/24 |" in text
    assert text.endswith("Fine-tuned: 2.5 million samples, 900 updates, 70 minutes.\n")


def test_each_stage_is_compared_with_the_best_before_it():
    actors = ("distilled", "widened", "fine-tuned", "teacher")
    figures = figures_of(actors, (300, 310, 305, 303), (20,) * 4, (100,) * 4, (31.4, 31.4, 31.4, 29.5))
    choice = choose(figures)
    assert choice.name == "widened" and choice.why.endswith(
        "teacher 303 of 324 battery trials upright, 20 own gaits on speed, clips at 29.5 mm."
    )
    figures["battery"]["fine-tuned"]["total"]["upright"] = 311
    assert choose(figures).name == "fine-tuned"
    figures["suite"]["widened"]["clips"]["upright"] = 99
    assert choose(figures).name == "fine-tuned", "compared with the distilled one then"


def test_a_blend_lies_between_the_two_networks_and_the_card_says_where():
    import torch

    torch.manual_seed(0)
    one, other = Student((8, 4)), Student((8, 4))
    made = between(one, other, 0.25)
    for name, value in made.state_dict().items():
        torch.testing.assert_close(value, 0.75 * one.state_dict()[name] + 0.25 * other.state_dict()[name])
    actors = ("distilled", "widened", "blended", "teacher")
    figures = figures_of(actors, (300, 299, 306, 303), (20,) * 4, (100,) * 4, (31.4, 31.4, 31.4, 29.5))
    choice = choose(figures)
    assert choice.name == "blended"
    training = {"distilled": {"samples": 3_000_000, "updates": 5730, "elapsed_s": 1800.0}}
    text = card_figures({**figures, "shipped": choice.name, "why": choice.why, "training": training, "blend": 0.4})
    assert text.endswith("Blended: every weight 40% of the way from the distilled to the widened network's.\n")
