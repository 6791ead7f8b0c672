"""On-policy distillation of both experts into one student: the student acts, the experts say what they would have done.

The schedule is the G1's (dagger.py); what differs is that labels have a memory (who of the experts acts) and that a
robot starts standing and is led through standing, squatting, marching and walking by its track.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teleopd.robots.model import Array
from teleopd.service.policy.train.dagger import Report, read_checkpoint, write_checkpoint
from teleopd.service.policy.train.decoupled.bodies import Randomised
from teleopd.service.policy.train.decoupled.student import HIDDEN, LegStudent
from teleopd.service.policy.train.decoupled.tracks import TRACK_TICKS, track
from teleopd.service.policy.train.decoupled.walker import CLOCK_S, DT_S, HEIGHT, RATE_HZ, WALKS, Walker
from teleopd.service.policy.train.decoupled.world import World
from teleopd.service.policy.train.experts.both import BothExperts
from teleopd.service.policy.train.replay import Replay
from teleopd.service.policy.train.student import follow

ACTION_NOISE = (0.0, 0.0, 0.0, 0.1, 0.3)
"""Standard deviations of noise on actions; each robot draws one at a start."""
HIGHEST_START_M = 0.03
"""A robot starts in the middle of a track only where it is asked to be this near its full height."""
LABEL_CLIP = 6.0
"""Labels of a robot that is already falling are held within this."""


@dataclass(frozen=True, slots=True)
class LegSettings:
    """One run. Equal settings and seed repeat a run that is measured in iterations."""

    seed: int = 0
    hidden: tuple[int, ...] = HIDDEN
    robots: int = 128
    ticks: int = 24
    threads: int = 2
    iterations: int = 0
    """Length of the run; 0: `minutes` decide."""
    minutes: float = 25.0
    leg: int = 50
    """Iterations between checkpoints."""
    buffer: int = 1_500_000
    batch: int = 2048
    reuse: float = 8.0
    normalise_after: int = 40_000
    learning_rate: float = 1e-3
    final_rate: float = 0.03
    weight_decay: float = 1e-5
    ema: float = 0.998
    beta_begin: float = 1.0
    beta_end: float = 0.08
    """Share of expert-driven ticks after the first `beta_over` of the run. A student that cannot stand yet steps all
    the time: how to stand is only seen while an expert drives."""
    beta_over: float = 0.6
    standing_weight: float = 2.0
    """Of the loss where it is asked to stand: a small error there is a step, in walking it is nothing."""
    step_weight: float = 0.3
    """Of the loss on whether to step."""
    start_weight: float = 3.0
    stop_weight: float = 15.0
    """Of the ticks at which it begins or ends to step: one of a hundred, and all that the memory is for."""
    knee: float = 0.3
    """Error from which the loss grows linearly."""
    redraw: float = 0.03
    """Chance a tick that the driver of a robot is drawn again."""
    push_chance: float = 0.004
    """Chance a tick that a robot is pushed."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LegSettings:
        """The inverse of `as_dict`."""
        return cls(**{**values, "hidden": tuple(values["hidden"])})


class LegDistillation:
    """One run in one folder."""

    def __init__(
        self, settings: LegSettings, walker: Walker, kp: Array, kd: Array, experts: Callable[[World], BothExperts],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`kp`, `kd`: gains in motor order; `experts` makes the labels of a world."""
        self.settings, self._walker, self._clock = settings, walker, clock
        torch.manual_seed(settings.seed)
        size = walker.width, len(walker.legs)
        self.student, self.average = LegStudent(*size, settings.hidden), LegStudent(*size, settings.hidden)
        self.average.load_state_dict(self.student.state_dict())
        self._optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.replay = Replay(settings.buffer, size[0] + 1, size[1] + 1)
        self.iteration = self.samples = self.updates = 0
        self.elapsed_s = self._due = 0.0
        self._normalised = False
        self._rng = np.random.default_rng(settings.seed)
        self._world = World(walker, settings.robots, kp, kd, settings.threads)
        self._experts = experts(self._world)
        self._noise = np.zeros((settings.robots, 1), dtype=np.float32)
        self._taught = np.ones(settings.robots, dtype=np.bool_)

    @property
    def share_done(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.settings.iterations:
            return min(self.iteration / self.settings.iterations, 1.0)
        return min(self.elapsed_s / (60.0 * self.settings.minutes), 1.0)

    def run(self, folder: Path, on_report: Callable[[Report], None]) -> None:
        """Train to the end, with checkpoints on the way."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)  # a second one spins beside the physics
        for i in range(self._world.count):
            self._start(i)
        while self.share_done < 1.0:
            before, falls = self._clock(), self._collect()
            loss = self._learn()
            self.iteration += 1
            self.elapsed_s += self._clock() - before
            minutes = self.settings.robots * self.settings.ticks * DT_S / 60.0
            on_report(Report(
                self.iteration, self.samples, self.updates, loss, falls / minutes, self.share_done, self.elapsed_s
            ))  # fmt: skip
            if self.iteration % self.settings.leg == 0 or self.share_done >= 1.0:
                self.save(folder)

    def _start(self, i: int) -> None:
        rng, world = self._rng, self._world
        shaken = rng.normal(0.0, 0.02, len(self._walker.legs)) if rng.random() < 0.5 else 0.0
        made = track(rng, self._walker)
        at = int(rng.integers(0, TRACK_TICKS - 200)) if rng.random() < 0.5 else 0
        if made.command[at, HEIGHT] < self._walker.model.stand_height_m - HIGHEST_START_M:
            at = 0  # it starts upright: no squat to fall into
        clock = int(rng.integers(0, round(CLOCK_S * RATE_HZ)))
        world.start(i, made, Randomised.drawn(rng), at=at, clock=clock, joint_noise=shaken)
        self._experts.reset(np.arange(world.count) == i)
        self._noise[i] = rng.choice(ACTION_NOISE)

    def _collect(self) -> int:
        """`ticks` ticks of every robot into the buffer; returns the falls."""
        rng, world, falls, s = self._rng, self._world, 0, self.settings
        beta = s.beta_begin + (s.beta_end - s.beta_begin) * min(self.share_done / s.beta_over, 1.0)
        for _ in range(s.ticks):
            seen, before = world.observe(rng), world.steps.copy()
            wanted = np.clip(self._experts(), -LABEL_CLIP, LABEL_CLIP)
            steps = self._experts.steps
            self.replay.add(np.hstack((seen, before[:, None])), np.hstack((wanted, steps[:, None])))
            self.samples += world.count
            redrawn = rng.random(world.count) < s.redraw
            self._taught = np.where(redrawn, rng.random(world.count) < beta, self._taught)
            own, own_steps = self.average.act(seen, before) if self._normalised else (wanted, steps)
            action = np.where(self._taught[:, None], wanted, own)
            world.steps[:] = np.where(self._taught, steps, own_steps)
            world.push_at_random(rng, s.push_chance)
            world.act(action + rng.standard_normal(action.shape, dtype=np.float32) * self._noise)
            fallen = world.fallen()
            falls += int(fallen.sum())
            for i in np.flatnonzero(fallen | world.ended()):
                self._start(int(i))
        return falls

    def _learn(self) -> float:
        """Updates for the iteration's samples; the mean loss."""
        s = self.settings
        if self.replay.count < s.normalise_after:
            return math.nan
        if not self._normalised:
            for network in (self.student, self.average):
                network.normalise_to(self.replay.all_seen())
            self._normalised = True
        self._due += s.robots * s.ticks * s.reuse / s.batch
        losses = []
        while self._due >= 1.0:
            self._due -= 1.0
            losses.append(self._update())
        return float(np.mean(losses)) if losses else math.nan

    def _update(self) -> float:
        s = self.settings
        cosine = s.final_rate + (1.0 - s.final_rate) * 0.5 * (1.0 + math.cos(math.pi * self.share_done))
        for group in self._optimizer.param_groups:
            group["lr"] = s.learning_rate * cosine
        seen, wanted = self.replay.batch(self._rng, s.batch)
        weight = torch.from_numpy(np.where(seen[:, WALKS] > 0.5, 1.0, s.standing_weight).astype(np.float32))
        answer, label = self.student(torch.from_numpy(seen)), torch.from_numpy(wanted)
        error = torch.nn.functional.smooth_l1_loss(answer[:, :-1], label[:, :-1], reduction="none", beta=s.knee)
        before, after = seen[:, -1] > 0.5, wanted[:, -1] > 0.5
        rare = np.where(before & ~after, s.stop_weight, np.where(~before & after, s.start_weight, 1.0))
        unsure = torch.nn.functional.binary_cross_entropy_with_logits(
            answer[:, -1], label[:, -1], weight=torch.from_numpy(rare.astype(np.float32))
        )
        loss = (error.mean(dim=1) * weight).mean() + s.step_weight * unsure
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self._optimizer.step()
        self.updates += 1
        follow(self.average, self.student, min(s.ema, (1.0 + self.updates) / (10.0 + self.updates)))
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the checkpoint."""
        state: dict[str, Any] = {
            "settings": self.settings.as_dict(), "robot": self._walker.model.name,
            "student": self.student.state_dict(), "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(), "iteration": self.iteration, "samples": self.samples,
            "updates": self.updates, "elapsed_s": self.elapsed_s,
        }  # fmt: skip
        write_checkpoint(folder, state)

    def start_from(self, folder: Path) -> None:
        """Begin with a folder's network instead of a random one; its inputs' normalisation stays.

        Raises:
            FileNotFoundError: there is none.
        """
        state = read_checkpoint(folder)
        self.student.load_state_dict(state["average"])
        self.average.load_state_dict(state["average"])
        self._normalised = True

    def close(self) -> None:
        """End the physics threads."""
        self._world.close()


def leg_student_of(folder: Path, walker: Walker) -> LegStudent:
    """The network of a checkpoint that is shipped: the running average.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is another robot's.
    """
    state = read_checkpoint(folder)
    if state.get("robot") != walker.model.name:
        raise ValueError(f"{folder} holds a network for {state.get('robot', 'unitree_g1')}, not {walker.model.name}")
    student = LegStudent(walker.width, len(walker.legs), LegSettings.from_dict(state["settings"]).hidden)
    student.load_state_dict(state["average"])
    return student
