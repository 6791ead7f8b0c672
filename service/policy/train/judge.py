"""The cheap battery that fine-tuning looks at to keep its best network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from teleopd.service.policy.card import Card
from teleopd.service.policy.train.battery import EXAMPLES, ROBOTS, pushed
from teleopd.service.policy.train.channels import Clip, Float32
from teleopd.service.policy.train.features import COLUMNS
from teleopd.service.policy.train.own_gaits import TEMPLATES, VELOCITY_MODE, gaits, on_speed
from teleopd.service.policy.train.ppo import Score
from teleopd.service.policy.train.student import Student
from teleopd.service.policy.train.suite import play, run
from teleopd.service.policy.train.world import Seen

CHEAP_ROBOTS = ("gains x0.7", "armature x0", "friction 0.35", "latency 40 ms")
"""Groups of the battery on which networks differ."""
CHEAP_PUSH_N = 200.0
CHEAP_START = 50_000
"""Seed of the disturbed starts: none of the battery's own."""
POINTS_PER_MM = 2
"""Lost for every millimetre of key-body error above the start's."""


def acting(student: Student) -> Callable[[Seen], Float32]:
    """The student as an actor of trials."""
    return lambda seen: student.act(np.ascontiguousarray(seen.student[:, COLUMNS]))


class Judge:
    """Scores a student on a small battery; the first network judged sets the key-body error that costs nothing."""

    def __init__(self, clips: Sequence[Clip], card: Card, threads: int) -> None:
        examples = [clip for clip in clips if clip.name.startswith(EXAMPLES)]
        changes = dict(ROBOTS)
        self._trials = [
            *(play("clips", clip) for clip in examples),
            *pushed(CHEAP_PUSH_N, None, [CHEAP_START]),
            *(play(g, clip, changes=changes[g], shaken=CHEAP_START) for g in CHEAP_ROBOTS for clip in examples),
            *gaits(),
        ]
        self._card, self._threads = card, threads
        self.allowed_mm: float | None = None

    def __call__(self, student: Student) -> Score:
        outcomes = run(self._trials, acting(student), self._card, self._threads)
        errors = [o.key_body_mm for o in outcomes if o.trial.group == "clips"]
        error = float(np.median(errors)) if errors else 0.0
        if self.allowed_mm is None:
            self.allowed_mm = error
        walks = (TEMPLATES, VELOCITY_MODE)
        points = sum(on_speed(o) if o.trial.group in walks else o.fell_at_s is None for o in outcomes)
        return Score(points - round(POINTS_PER_MM * max(error - self.allowed_mm, 0.0)), -round(error, 2))
