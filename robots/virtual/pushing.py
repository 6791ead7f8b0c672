"""When which push acts: scripted, random, or asked for by a person; in whole physics steps, so that F t is exact."""

from __future__ import annotations

import math

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.virtual.perturbation import Push, RandomPushes


class Pushes:
    """The sum of all pushes that act in a physics step."""

    def __init__(self, scripted: tuple[Push, ...], random: RandomPushes | None, dt_s: float) -> None:
        self._dt_s = dt_s
        self._scripted = scripted
        self._random = random
        self._acting: list[tuple[int, int, tuple[float, float, float]]] = []
        self._next_random = -1
        self._force: Array = np.zeros(3)

    def reset(self, rng: np.random.Generator) -> None:
        """Start of a run at step 0."""
        self._acting = [
            (round(push.at_s / self._dt_s), round((push.at_s + push.duration_s) / self._dt_s), push.force_w)
            for push in self._scripted
        ]
        self._next_random = self._draw_interval(rng) if self._random else -1

    def add(self, step: int, force_w: tuple[float, float, float], duration_s: float) -> None:
        """Push from `step` on with `force_w` [N] for `duration_s`."""
        self._acting.append((step, step + round(duration_s / self._dt_s), force_w))

    def _draw_interval(self, rng: np.random.Generator) -> int:
        assert self._random is not None
        return max(1, round(rng.uniform(*self._random.interval_s) / self._dt_s))

    def force_w(self, step: int, rng: np.random.Generator) -> Array | None:
        """Force during physics step `step` [N], (3,), or None. Steps must be asked for in order, each once."""
        if step == self._next_random and self._random:
            heading = rng.uniform(0.0, 2.0 * math.pi)
            newton = rng.uniform(*self._random.force_n)
            force = (newton * math.cos(heading), newton * math.sin(heading), 0.0)
            self.add(step, force, rng.uniform(*self._random.duration_s))
            self._next_random = step + self._draw_interval(rng)
        if not self._acting:
            return None
        self._acting = [push for push in self._acting if step < push[1]]
        self._force[:] = 0.0
        acts = False
        for first, _, force in self._acting:
            if step >= first:
                self._force += force
                acts = True
        return self._force if acts else None
