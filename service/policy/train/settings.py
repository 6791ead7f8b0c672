"""Every number of a training run, with the measured recipe's values (policy.md 11.1) as defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from teleopd.service.policy.train.student import HIDDEN


@dataclass(frozen=True, slots=True)
class Settings:
    """One run. Equal settings and seed repeat a run that is measured in iterations."""

    seed: int = 0
    hidden: tuple[int, ...] = HIDDEN
    robots: int = 128
    ticks: int = 24
    """Per iteration."""
    threads: int = 2
    iterations: int = 0
    """Length of the run; 0: `minutes` decide."""
    minutes: float = 30.0
    """Length of the run in training time, which checkpoints carry on."""
    leg: int = 100
    """Iterations between checkpoints. Each leg starts all robots anew from its own seed, so that a resumed run and one
    that was never stopped are the same."""
    buffer: int = 3_000_000
    keep_buffer: bool = False
    """Store the samples in checkpoints too (3.4 GB when full); without, a resumed run fills them anew."""
    batch: int = 2048
    reuse: float = 4.0
    """Times each sample is trained on."""
    normalise_after: int = 46_000
    """Samples in the buffer before updates begin; the first ones fix the inputs' mean and deviation."""
    learning_rate: float = 1e-3
    warm_up: int = 200
    """Updates."""
    final_rate: float = 0.03
    """Share of the learning rate left at the end of the cosine."""
    weight_decay: float = 1e-5
    clip_norm: float = 1.0
    ema: float = 0.998
    beta_end: float = 0.03
    """Share of teacher-driven ticks after the first `beta_over` of the run; it starts at 1."""
    beta_over: float = 0.12
    redraw: float = 0.03
    """Chance a tick that the driver of a robot is drawn again."""
    standing_starts: float = 0.5
    widened: bool = False
    """On the robots and references of fine-tuning."""
    known_gains: bool = False
    """Labels of a teacher that knows each robot's gains."""
    known_delay: bool = False
    """Labels of a teacher that sees each robot as it will be when the answer arrives."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`."""
        return cls(**{**values, "hidden": tuple(values["hidden"])})
