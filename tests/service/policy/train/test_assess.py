"""Which student is shipped, and what the model card says of it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.assess import card_figures, choose


def found(*, battery=(300, 310), gaits=(20, 22), suite=(100, 100), clips_mm=(31.4, 31.8), tuned=True):
    """Figures of the distilled and the fine-tuned network."""
    actors = ("distilled", "fine-tuned") if tuned else ("distilled",)
    return {
        "suite": {a: {"clips": {"upright": suite[i], "of": 109, "key_body_mm": clips_mm[i]}}
                  for i, a in enumerate(actors)},
        "battery": {a: {"total": {"upright": battery[i], "of": 324, "key_body_mm": 29.0}}
                    for i, a in enumerate(actors)},
        "own_gaits": {a: {"on_speed": gaits[i], "of": 24, "gaits": {}} for i, a in enumerate(actors)},
    }  # fmt: skip


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
        "Fine-tuned 310 of 324 battery trials upright, 22 own gaits on speed, clips at 31.8 mm; "
        "distilled 300 of 324, 20, 31.4 mm."
    )
    training = {"samples": 3_020_000, "updates": 5730, "elapsed_s": 1800.0}
    tuning = {"samples": 2_500_000, "updates": 900, "elapsed_s": 4200.0, "skipped": 0}
    text = card_figures(
        {**figures, "shipped": choice.name, "why": choice.why, "training": training, "fine_tuning": tuning}
    )
    assert text.startswith(f"**Shipped: the fine-tuned network.** {choice.why}\n")
    assert "| total | 300/324, 29.0 mm | 310/324, 29.0 mm |" in text
    assert "| within 25% | 20/24 | 22/24 |" in text
    assert text.endswith("Fine-tuning: 2.5 million samples, 900 updates, 70 minutes, 0 updates left out.\n")
