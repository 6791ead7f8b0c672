"""Every number of a fine-tuning run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from teleopd.service.policy.train.student import HIDDEN


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """One run. Equal settings and seed repeat a run that is measured in iterations."""

    seed: int = 0
    hidden: tuple[int, ...] = HIDDEN
    critic: tuple[int, ...] = (384, 256, 128)
    robots: int = 160
    ticks: int = 24
    """Per iteration."""
    threads: int = 2
    """Of the physics; the networks use one, since a second one would wait more than work on a busy machine."""
    iterations: int = 0
    """Length of the run; 0: `minutes` decide."""
    minutes: float = 75.0
    leg: int = 50
    """Iterations between checkpoints; each leg starts all robots anew from its own seed."""
    legs_per_check: int = 2
    """Legs between looks at the cheap battery, which decide what is shipped."""
    critic_only: int = 25
    """Iterations at the start in which only the critic learns."""
    epochs: int = 4
    minibatch: int = 960
    gamma: float = 0.97
    lam: float = 0.9
    clip: float = 0.2
    kl_target: float = 0.005
    rate: float = 1e-5
    """Of the actor at the start; it follows the KL divergence between `rate_low` and `rate_high`."""
    rate_low: float = 5e-7
    rate_high: float = 2e-4
    critic_rate: float = 5e-4
    std: float = 0.2
    """Of the actions' noise at the start, in raw units (an action of 1 is 0.5 rad)."""
    std_low: float = 0.05
    std_high: float = 0.25
    clip_norm: float = 1.0
    value_weight: float = 1.0
    teacher_start: float = 8.0
    """Weight of the distillation loss at the start; it falls to `teacher_end` along a half cosine."""
    teacher_end: float = 4.0
    ema: float = 0.998
    standing_starts: float = 0.4
    shoved: float = 0.5
    """Share of robots that are pushed."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PpoSettings:
        """The inverse of `as_dict`."""
        return cls(**{**values, "hidden": tuple(values["hidden"]), "critic": tuple(values["critic"])})
