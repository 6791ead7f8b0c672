"""Reinforcement fine-tuning of the distilled student: PPO (Schulman et al. 2017) with the tracking reward.

The actor is the student itself, so what is exported keeps its shape. Beside the reward it is held to the teacher's
answers wherever the teacher is at home (the distillation loss), so that what it could it still can. The critic sees
the robot's true state and what is wrong with it. The running average of the weights is what is judged and shipped.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from teleopd.service.policy.card import Card
from teleopd.service.policy.train.channels import DT_S, Float32, N
from teleopd.service.policy.train.dagger import LAST_START_TICKS, LOSS_WEIGHTS
from teleopd.service.policy.train.features import ACTION_CLIP, COLUMNS, proprioception
from teleopd.service.policy.train.harder import UNTAUGHT_TICKS, HardReferences, Shoves, drawn_hard, teachable
from teleopd.service.policy.train.ppo_settings import PpoSettings
from teleopd.service.policy.train.rewards import FALL, Rewards
from teleopd.service.policy.train.rollout import PRIVILEGED, Batch, Rollout, privileged
from teleopd.service.policy.train.student import INPUT_CLIP, STD_FLOOR, Student, follow
from teleopd.service.policy.train.world import Seen, World

CHECKPOINT = "finetuned.pt"
STOP_AT_KL = 4.0
"""Times the target: an iteration that went so far ends there."""
LOG_2PI = math.log(2.0 * math.pi)


class Score(NamedTuple):
    """How good a network is, better ones sort higher."""

    points: int
    """Trials of the cheap battery survived, and gaits at the commanded speed."""
    minus_key_body_mm: float


class PpoReport(NamedTuple):
    """One iteration."""

    iteration: int
    samples: int
    reward: float
    """Mean of a tick, falls included."""
    falls_per_minute: float
    """Of one robot."""
    kl: float
    std: float
    rate: float
    teacher_loss: float
    value_loss: float
    skipped: int
    """Updates left out since the start because a number was none."""
    share_done: float
    elapsed_s: float
    terms: dict[str, float]


class Critic(nn.Module):
    """Value of a state from what the student sees (normalised as the student does) and the privileged numbers."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, hidden: tuple[int, ...], student: Student) -> None:
        super().__init__()
        widths = [len(COLUMNS) + PRIVILEGED, *hidden, 1]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(before, after), nn.ELU()]
        self.body = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", student.mean.clone())
        self.register_buffer("std", student.std.clamp(min=STD_FLOOR))

    def forward(self, used: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        """Values (k,)."""
        inputs = ((used - self.mean) / self.std).clamp(-INPUT_CLIP, INPUT_CLIP)
        out: torch.Tensor = self.body(torch.cat((inputs, extra), dim=1))[:, 0]
        return out


class FineTuning:
    """One run in one folder, from a distilled student."""

    def __init__(
        self, settings: PpoSettings, card: Card, references: HardReferences, teacher: Callable[[Float32], Float32],
        student: Student, judge: Callable[[Student], Score] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`judge` scores a network now and then; the best one is kept. Without it the last one is."""
        self.settings = settings
        self._card, self._references, self._teacher = card, references, teacher
        self._judge, self._clock = judge, clock
        torch.manual_seed(settings.seed)
        self.actor, self.average, self.best = (Student(settings.hidden) for _ in range(3))
        for network in (self.actor, self.average, self.best):
            network.load_state_dict(student.state_dict())
        self.critic = Critic(settings.critic, student)
        self.log_std = nn.Parameter(torch.full((N,), math.log(settings.std)))
        self._actor_steps = torch.optim.Adam([*self.actor.parameters(), self.log_std], lr=settings.rate)
        self._critic_steps = torch.optim.Adam(self.critic.parameters(), lr=settings.critic_rate)
        self._weights = torch.from_numpy(LOSS_WEIGHTS)
        self.iteration = self.samples = self.updates = self.skipped = 0
        self.elapsed_s = 0.0
        self.rate = settings.rate
        self.score: Score | None = None
        """Of `best`."""
        self.scores: list[list[float]] = []
        """Iteration, points and key-body error [mm] of every look."""
        self._world: World | None = None

    @property
    def share_done(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.settings.iterations:
            return min(self.iteration / self.settings.iterations, 1.0)
        return min(self.elapsed_s / (60.0 * self.settings.minutes), 1.0)

    def run(self, folder: Path, on_report: Callable[[PpoReport], None], legs: int | None = None) -> None:
        """Train to the end, or for some `legs`, with a checkpoint after each."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        if self.iteration == 0:
            self._look()
        done = 0
        while self.share_done < 1.0 and (legs is None or done < legs):
            self._leg(on_report)
            done += 1
            if self.share_done >= 1.0 or self.iteration % (self.settings.leg * self.settings.legs_per_check) == 0:
                self._look()
            self.save(folder)

    def _look(self) -> None:
        """Keep the running average if it is the best so far."""
        if self._judge is None:
            self.best.load_state_dict(self.average.state_dict())
            return
        before = self._clock()
        score = self._judge(self.average)
        self.scores.append([float(self.iteration), float(score.points), -score.minus_key_body_mm])
        if self.score is None or score > self.score:
            self.score = score
            self.best.load_state_dict(self.average.state_dict())
        self.elapsed_s += self._clock() - before

    def look_again(self) -> None:
        """Score the best network anew: after a resumption the judge may be another one."""
        if self._judge is not None:
            self.score = self._judge(self.best)

    def _leg(self, on_report: Callable[[PpoReport], None]) -> None:
        s = self.settings
        leg = self.iteration // s.leg
        self._rng = np.random.default_rng((s.seed, leg, 1))
        torch.manual_seed(s.seed * 100_003 + leg)
        world = self._world = self._world or World(s.robots, self._card, s.threads, measure=True)
        self._rewards, self._shoves = Rewards(s.robots), Shoves(s.robots)
        self._taught: list[npt.NDArray[np.bool_]] = [np.zeros(1, dtype=np.bool_)] * s.robots
        for i in range(s.robots):
            self._start(world, i)
        seen = world.see(self._rng)
        for _ in range(s.leg):
            before = self._clock()
            rollout = Rollout(s.ticks, s.robots)
            seen, falls, reward, terms = self._collect(world, rollout, seen)
            kl, teacher_loss, value_loss = self._learn(rollout.batch(self._values(world, seen), s.gamma, s.lam))
            self.iteration += 1
            self.elapsed_s += self._clock() - before
            on_report(PpoReport(
                self.iteration, self.samples, reward, falls / (s.robots * s.ticks * DT_S / 60.0), kl,
                float(self.log_std.detach().exp().mean()), self.rate, teacher_loss, value_loss, self.skipped,
                self.share_done, self.elapsed_s, terms,
            ))  # fmt: skip
            if self.share_done >= 1.0:
                break

    def _start(self, world: World, i: int) -> None:
        """Robot `i` starts anew: other errors, another track, standing or in the middle of it."""
        rng = self._rng
        drawn, errors = self._references.draw(rng), drawn_hard(rng, world.nbody)
        shaken = rng.normal(0.0, 0.03, N) if rng.random() < 0.5 else 0.0
        angle, speed = rng.uniform(0, 2 * np.pi), 0.15 * float(rng.random() < 0.5)
        standing = rng.random() < self.settings.standing_starts or len(drawn.track) <= LAST_START_TICKS
        at = 0 if standing else int(rng.integers(0, len(drawn.track) - LAST_START_TICKS))
        world.start(
            i, drawn.track, errors, at=at, joint_noise=shaken, as_track=not standing,
            velocity=speed * np.array([np.cos(angle), np.sin(angle)]),
        )  # fmt: skip
        self._taught[i] = drawn.taught & teachable(errors)
        self._shoves.reset(world, i, bool(rng.random() < self.settings.shoved))
        self._rewards.reset(i)

    def _collect(self, world: World, out: Rollout, seen: Seen) -> tuple[Seen, int, float, dict[str, float]]:
        """Fill `out`; returns what is seen next, the falls, the mean reward and its terms."""
        rng, falls = self._rng, 0
        sums: dict[str, float] = {}
        std = self.log_std.detach().exp().numpy()
        for t in range(self.settings.ticks):
            out.used[t] = seen.student[:, COLUMNS]
            out.privileged[t] = self._privileged(world)
            self._ask(world, seen, out, t)
            mean = self.actor.act(out.used[t])
            action = np.clip(mean + std * rng.standard_normal(mean.shape, dtype=np.float32), -ACTION_CLIP, ACTION_CLIP)
            out.mean[t], out.action[t] = mean, action
            out.log_prob[t] = (-0.5 * ((action - mean) / std) ** 2 - np.log(std) - 0.5 * LOG_2PI).sum(axis=1)
            out.value[t] = self._value_of(out.used[t], out.privileged[t])
            reference = world.reference()
            self._shoves.apply(world, rng)
            world.act(action)
            scored = self._rewards.score(world, reference, action)
            fallen, ended = world.fallen(), world.ended()
            # A track that ends is no failure: what would have followed is worth about what this tick was.
            follows = self.settings.gamma * out.value[t] * (ended & ~fallen)
            out.reward[t] = np.where(fallen, FALL, scored.total + follows)
            out.ended[t] = fallen | ended
            falls += int(fallen.sum())
            sums["reward"] = sums.get("reward", 0.0) + float(np.where(fallen, FALL, scored.total).mean())
            for name, value in scored.terms.items():
                sums[name] = sums.get(name, 0.0) + value
            for i in np.flatnonzero(out.ended[t]):
                self._start(world, int(i))
            seen = world.see(rng)
            self.samples += world.count
        means = {name: round(value / self.settings.ticks, 4) for name, value in sums.items()}
        return seen, falls, means.pop("reward"), means

    def _ask(self, world: World, seen: Seen, out: Rollout, t: int) -> None:
        """The teacher's answers, where it is at home."""
        home = np.array([taught[min(at, len(taught) - 1)] for taught, at in zip(self._taught, world.at, strict=True)])
        asked = home & (self._shoves.since >= UNTAUGHT_TICKS)
        out.taught[t] = asked
        if asked.any():
            out.label[t, asked] = self._teacher(np.ascontiguousarray(seen.teacher[asked]))

    def _privileged(self, world: World) -> Float32:
        clean = proprioception(world.qpos, world.qvel, world.last_action)
        return privileged(world, self._rewards, clean, self._shoves.force_w)

    def _values(self, world: World, seen: Seen) -> Float32:
        return self._value_of(np.ascontiguousarray(seen.student[:, COLUMNS]), self._privileged(world))

    @torch.inference_mode()
    def _value_of(self, used: Float32, extra: Float32) -> Float32:
        return np.nan_to_num(self.critic(torch.from_numpy(used), torch.from_numpy(extra)).numpy())

    def _learn(self, batch: Batch) -> tuple[float, float, float]:
        """Updates of an iteration; mean KL divergence, distillation loss and value loss."""
        s = self.settings
        whole = [torch.from_numpy(np.ascontiguousarray(values)) for values in batch]
        old_std = self.log_std.detach().exp().clone()
        found: list[tuple[float, float, float]] = []
        for _ in range(s.epochs):
            if found and found[-1][0] > STOP_AT_KL * s.kl_target:
                break
            order = torch.randperm(len(batch.used))
            for at in range(0, len(order), s.minibatch):
                part = order[at : at + s.minibatch]
                if len(part) >= s.minibatch // 2:
                    found.append(self._update(Batch(*(values[part] for values in whole)), old_std))
        if not found:
            return math.nan, math.nan, math.nan
        kl, teacher_loss, value_loss = np.mean(np.array(found), axis=0)
        return float(kl), float(teacher_loss), float(value_loss)

    def _update(self, b: Any, old_std: torch.Tensor) -> tuple[float, float, float]:
        s = self.settings
        value_loss = torch.nn.functional.smooth_l1_loss(self.critic(b.used, b.privileged), b.value)
        self._step(self._critic_steps, s.value_weight * value_loss, list(self.critic.parameters()))
        if self.iteration < s.critic_only:
            return 0.0, math.nan, float(value_loss.detach())
        std, mean = self.log_std.exp(), self.actor(b.used)
        log_prob = (-0.5 * ((b.action - mean) / std) ** 2 - self.log_std - 0.5 * LOG_2PI).sum(dim=1)
        with torch.no_grad():
            kl = (
                torch.log(std / old_std) + (old_std**2 + (b.mean - mean) ** 2) / (2.0 * std**2) - 0.5
            ).sum(dim=1).mean()  # fmt: skip
            self._follow_kl(float(kl))
        ratio = (log_prob - b.log_prob).clamp(-20.0, 20.0).exp()
        clipped = ratio.clamp(1.0 - s.clip, 1.0 + s.clip)
        surrogate = -torch.minimum(ratio * b.advantage, clipped * b.advantage).mean()
        error = torch.nn.functional.smooth_l1_loss(mean, b.label, reduction="none", beta=1.0) * self._weights
        teacher_loss = (error.mean(dim=1) * b.taught).sum() / b.taught.sum().clamp(min=1.0)
        loss = surrogate + self._teacher_weight() * teacher_loss
        if self._step(self._actor_steps, loss, [*self.actor.parameters(), self.log_std]):
            with torch.no_grad():
                self.log_std.clamp_(math.log(s.std_low), math.log(s.std_high))
            follow(self.average, self.actor, min(s.ema, (1.0 + self.updates) / (10.0 + self.updates)))
            self.updates += 1
        return float(kl), float(teacher_loss.detach()), float(value_loss.detach())

    def _step(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor, parameters: list[nn.Parameter]) -> bool:
        """One step, unless the loss or its gradient is no number: then none, and it is counted."""
        optimizer.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(loss)):
            self.skipped += 1
            return False
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
        if not bool(torch.isfinite(norm)):
            self.skipped += 1
            return False
        optimizer.step()
        return True

    def _follow_kl(self, kl: float) -> None:
        """Smaller steps where the last ones went too far, larger ones where they did not go."""
        s = self.settings
        if kl > 2.0 * s.kl_target:
            self.rate = max(self.rate / 1.5, s.rate_low)
        elif 0.0 < kl < 0.5 * s.kl_target:
            self.rate = min(self.rate * 1.1, s.rate_high)
        for group in self._actor_steps.param_groups:
            group["lr"] = self.rate * (1.0 - 0.8 * self.share_done)

    def _teacher_weight(self) -> float:
        s = self.settings
        return s.teacher_end + (s.teacher_start - s.teacher_end) * 0.5 * (1.0 + math.cos(math.pi * self.share_done))

    def save(self, folder: Path) -> None:
        """Write the checkpoint; one that is half written never replaces a whole one."""
        state: dict[str, Any] = {
            "settings": self.settings.as_dict(), "actor": self.actor.state_dict(),
            "average": self.average.state_dict(), "best": self.best.state_dict(), "critic": self.critic.state_dict(),
            "log_std": self.log_std.detach().clone(), "actor_steps": self._actor_steps.state_dict(),
            "critic_steps": self._critic_steps.state_dict(), "iteration": self.iteration, "samples": self.samples,
            "updates": self.updates, "skipped": self.skipped, "elapsed_s": self.elapsed_s, "rate": self.rate,
            "score": None if self.score is None else list(self.score), "scores": self.scores,
        }  # fmt: skip
        part = folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        os.replace(part, folder / CHECKPOINT)

    def restore(self, folder: Path) -> None:
        """Go on from the folder's checkpoint.

        Raises:
            FileNotFoundError: there is none.
        """
        state = read_finetuned(folder)
        for name in ("actor", "average", "best", "critic"):
            getattr(self, name).load_state_dict(state[name])
        with torch.no_grad():
            self.log_std.copy_(state["log_std"])
        self._actor_steps.load_state_dict(state["actor_steps"])
        self._critic_steps.load_state_dict(state["critic_steps"])
        self.iteration, self.samples, self.updates = state["iteration"], state["samples"], state["updates"]
        self.skipped, self.elapsed_s, self.rate = state["skipped"], state["elapsed_s"], state["rate"]
        score = state["score"]
        self.score = None if score is None else Score(int(score[0]), float(score[1]))
        self.scores = state["scores"]

    def close(self) -> None:
        """End the physics threads."""
        if self._world is not None:
            self._world.close()


def read_finetuned(folder: Path) -> dict[str, Any]:
    """A folder's fine-tuning checkpoint as plain tensors and numbers.

    Raises:
        FileNotFoundError: there is none.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {CHECKPOINT}; fine-tune there first, or name another folder")
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def finetuned_student(folder: Path) -> Student:
    """The best network of a folder's fine-tuning."""
    state = read_finetuned(folder)
    student = Student(PpoSettings.from_dict(state["settings"]).hidden)
    student.load_state_dict(state["best"])
    return student
