"""On-policy distillation (DAgger, Ross et al. 2011): the student acts, the teacher says what it would have done.

The schedule, losses and mixture are policy.md 11.1's.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from teleopd.robots.model import Array
from teleopd.service.policy.card import Card
from teleopd.service.policy.train.bodies import Randomised
from teleopd.service.policy.train.channels import DT_S, Float32, N
from teleopd.service.policy.train.features import COLUMNS
from teleopd.service.policy.train.known_gains import gains_of, same_torque
from teleopd.service.policy.train.replay import Replay
from teleopd.service.policy.train.settings import Settings
from teleopd.service.policy.train.student import Student, follow
from teleopd.service.policy.train.world import World

CHECKPOINT = "checkpoint.pt"
ACTION_NOISE = (0.0, 0.0, 0.0, 0.1, 0.25)
"""Standard deviations of noise on actions; each robot draws one at a start."""
LAST_START_TICKS = 100
"""No robot starts a track closer to its end."""
LOSS_WEIGHTS = np.ones(N, dtype=np.float32)
LOSS_WEIGHTS[15:] = np.tile((0.6, 0.6, 0.6, 0.6, 0.15, 0.15, 0.15), 2)
"""Legs and waist count fully, shoulders and elbows 0.6, wrists 0.15."""


class Report(NamedTuple):
    """One iteration."""

    iteration: int
    samples: int
    updates: int
    loss: float
    """Mean over the iteration's updates; NaN before the first."""
    falls_per_minute: float
    """Of one robot."""
    share_done: float
    elapsed_s: float
    """Training time, earlier sessions included."""


class Tracks(Protocol):
    """What makes references."""

    def track(self, rng: np.random.Generator) -> Array:
        """One track, (ticks, 35)."""
        ...


class Distillation:
    """One run in one folder. `run` goes on until the end or the next checkpoint's stop."""

    def __init__(
        self, settings: Settings, card: Card, generator: Tracks, teacher: Callable[[Float32], Float32],
        clock: Callable[[], float] = time.monotonic,
        errors: Callable[[np.random.Generator, int], Randomised] = Randomised.drawn,
    ) -> None:  # fmt: skip
        """`teacher` gives raw actions for its own observations, (k, 1432) -> (k, 29); `errors` draws a robot."""
        self.settings = settings
        self._card, self._generator, self._teacher, self._clock = card, generator, teacher, clock
        self._errors = errors
        torch.manual_seed(settings.seed)
        self.student, self.average = Student(settings.hidden), Student(settings.hidden)
        self.average.load_state_dict(self.student.state_dict())
        self._optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._weights = torch.from_numpy(LOSS_WEIGHTS)
        self.replay = Replay(settings.buffer)
        self.iteration = self.samples = self.updates = 0
        self.elapsed_s = 0.0
        self._normalised = False
        self._due = 0.0
        self._world: World | None = None

    @property
    def share_done(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.settings.iterations:
            return min(self.iteration / self.settings.iterations, 1.0)
        return min(self.elapsed_s / (60.0 * self.settings.minutes), 1.0)

    def run(self, folder: Path, on_report: Callable[[Report], None], legs: int | None = None) -> None:
        """Train to the end, or for some `legs`, with a checkpoint after each."""
        folder.mkdir(parents=True, exist_ok=True)
        done = 0
        while self.share_done < 1.0 and (legs is None or done < legs):
            self._leg(on_report)
            self.save(folder)
            done += 1

    def _leg(self, on_report: Callable[[Report], None]) -> None:
        s = self.settings
        leg = self.iteration // s.leg
        self._rng = np.random.default_rng((s.seed, leg))
        world = self._world = self._world or World(s.robots, self._card, s.threads, ahead=s.known_delay)
        self._noise = np.zeros((s.robots, 1), dtype=np.float32)
        self._taught = self._rng.random(s.robots) < self._beta()
        for i in range(s.robots):
            self._start(world, i)
        for _ in range(s.leg):
            before = self._clock()
            falls = self._collect(world)
            loss = self._learn()
            self.iteration += 1
            self.elapsed_s += self._clock() - before
            minutes = s.robots * s.ticks * DT_S / 60.0
            on_report(Report(
                self.iteration, self.samples, self.updates, loss, falls / minutes, self.share_done, self.elapsed_s
            ))  # fmt: skip
            if self.share_done >= 1.0:
                break

    def _start(self, world: World, i: int) -> None:
        """Robot `i` starts anew: other errors, another track, standing or in the middle of it."""
        rng = self._rng
        track = self._generator.track(rng)
        errors = self._errors(rng, world.nbody)
        shaken = rng.normal(0.0, 0.03, N) if rng.random() < 0.5 else 0.0
        standing = rng.random() < self.settings.standing_starts
        at = 0 if standing else int(rng.integers(0, len(track) - LAST_START_TICKS))
        world.start(i, track, errors, at=at, joint_noise=shaken, as_track=not standing)
        self._noise[i] = rng.choice(ACTION_NOISE)

    def _collect(self, world: World) -> int:
        """`ticks` ticks of every robot into the buffer; returns the falls."""
        rng, falls = self._rng, 0
        torch.set_num_threads(1)  # a second one spins: beside the physics, and in updates on a busy machine
        for _ in range(self.settings.ticks):
            seen = world.see(rng)
            used = np.ascontiguousarray(seen.student[:, COLUMNS])
            wanted = self._teacher(seen.teacher)
            if self.settings.known_gains:
                wanted = same_torque(wanted, world.seen_qpos[:, 7:].astype(np.float32), gains_of(world))
            self.replay.add(used, wanted)
            self.samples += world.count
            redrawn = rng.random(world.count) < self.settings.redraw
            self._taught = np.where(redrawn, rng.random(world.count) < self._beta(), self._taught)
            own = self.average.act(used) if self._normalised else wanted
            action = np.where(self._taught[:, None], wanted, own)
            action = action + rng.standard_normal(action.shape, dtype=np.float32) * self._noise
            world.push_at_random(rng)
            world.act(action)
            fallen = world.fallen()
            falls += int(fallen.sum())
            for i in np.flatnonzero(fallen | world.ended()):
                self._start(world, int(i))
        return falls

    def _beta(self) -> float:
        """Share of ticks that the teacher drives."""
        s = self.settings
        return 1.0 - (1.0 - s.beta_end) * min(self.share_done / s.beta_over, 1.0)

    def _learn(self) -> float:
        """Updates for the iteration's samples; the mean loss."""
        s = self.settings
        if self.replay.count < s.normalise_after:  # at the start, and after a resumption without the buffer
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
        warm = min((self.updates + 1) / s.warm_up, 1.0)
        cosine = s.final_rate + (1.0 - s.final_rate) * 0.5 * (1.0 + math.cos(math.pi * self.share_done))
        for group in self._optimizer.param_groups:
            group["lr"] = s.learning_rate * warm * cosine
        seen, wanted = self.replay.batch(self._rng, s.batch)
        error = torch.nn.functional.smooth_l1_loss(
            self.student(torch.from_numpy(seen)), torch.from_numpy(wanted), reduction="none", beta=1.0
        )
        loss = (error * self._weights).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), s.clip_norm)
        self._optimizer.step()
        self.updates += 1
        follow(self.average, self.student, min(s.ema, (1.0 + self.updates) / (10.0 + self.updates)))
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the checkpoint."""
        state: dict[str, Any] = {
            "settings": self.settings.as_dict(), "student": self.student.state_dict(),
            "average": self.average.state_dict(), "optimizer": self._optimizer.state_dict(),
            "iteration": self.iteration, "samples": self.samples, "updates": self.updates,
            "elapsed_s": self.elapsed_s, "normalised": self._normalised, "due": self._due,
        }  # fmt: skip
        if self.settings.keep_buffer:
            state["replay"] = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v
                               for k, v in self.replay.state().items()}  # fmt: skip
        write_checkpoint(folder, state)

    def restore(self, folder: Path) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            FileNotFoundError: there is none.
        """
        state = read_checkpoint(folder)
        self.student.load_state_dict(state["student"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.iteration, self.samples, self.updates = state["iteration"], state["samples"], state["updates"]
        self.elapsed_s, self._normalised, self._due = state["elapsed_s"], state["normalised"], state["due"]
        if "replay" in state:
            self.replay.restore({k: v.numpy() if isinstance(v, torch.Tensor) else v
                                 for k, v in state["replay"].items()})  # fmt: skip

    def start_from(self, student: Student) -> None:
        """Begin with a trained network instead of a random one; its inputs' normalisation stays."""
        self.student.load_state_dict(student.state_dict())
        self.average.load_state_dict(student.state_dict())
        self._normalised = True

    def close(self) -> None:
        """End the physics threads."""
        if self._world is not None:
            self._world.close()


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """A folder's checkpoint; one that is half written never replaces a whole one."""
    part = folder / (CHECKPOINT + ".part")
    torch.save(state, part)
    os.replace(part, folder / CHECKPOINT)


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """A folder's checkpoint as plain tensors and numbers.

    Raises:
        FileNotFoundError: there is none.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {CHECKPOINT}; train there first, or name another folder")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def student_of(folder: Path) -> Student:
    """The network of a checkpoint that is shipped: the running average."""
    state = read_checkpoint(folder)
    student = Student(Settings.from_dict(state["settings"]).hidden)
    student.load_state_dict(state["average"])
    return student


