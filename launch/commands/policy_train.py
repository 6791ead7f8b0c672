"""`teleop policy train`, `eval` and `export`: a policy of one's own, by `service/policy/train`."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from teleopd.drivers.home import expanded
from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.service.evaluation.robot_motion import NotAMotion
from teleopd.service.policy.library import absent_sentence, resolve

MODULE, SUITE = "teleopd.service.policy.train.cli", "teleopd.service.policy.train.suite_of_file"
"""Imported by name when they are asked for: training code is no part of the running service."""


@dataclass(frozen=True, slots=True)
class Train:
    """Distil a tracker for the G1 from the TWIST2 teacher on the CPU, or fine-tune the one in the folder by
    reinforcement. Goes on from checkpoints; equal seeds repeat a run of equal iterations. Needs the extra `train`."""

    out: Path
    """Folder of checkpoint, progress and evaluation."""
    finetune: bool = False
    """Reinforcement fine-tuning (PPO) of the folder's distilled student."""
    widen: Path | None = None
    """Distil on from that other folder's network, on the harder robots and references of fine-tuning."""
    minutes: float | None = None
    """Training time [min]: 30 when not given, 75 in fine-tuning; with --resume a new total."""
    iterations: int = 0
    """Length in iterations instead, 0: by time; repeatable exactly."""
    resume: bool = False
    """Go on from the folder's checkpoint, with its settings."""
    seed: int = 0
    """Of everything random."""
    threads: int = 2
    """CPU threads."""
    robots: int | None = None
    """Robots stepped together: 128 when not given, 160 in fine-tuning."""
    buffer: int = 3_000_000
    """Samples kept, 1.1 kB each."""
    keep_buffer: bool = False
    """Store the samples in checkpoints too."""
    data: Path | None = None
    """Folder of public data with the teacher; by default the one beside a checkout."""

    def run(self) -> int:
        """Train; the exit status is the trainer's.

        Raises:
            CommandError: a number out of its range; torch is not installed.
        """
        for what, value in (("--minutes", self.minutes), ("--robots", self.robots), ("--threads", self.threads)):
            if value is not None and not 0 < value < float("inf"):
                raise CommandError(f"{what} is {value:g}; give a positive number")
        for what, number, least in (("--iterations", self.iterations, 0), ("--seed", self.seed, 0),
                                    ("--buffer", self.buffer, 1)):  # fmt: skip
            if number < least:
                raise CommandError(f"{what} is {number}; give {least} or more")
        arguments = ["--out", str(self.out), "--seed", str(self.seed), "--threads", str(self.threads)]
        arguments += ["--iterations", str(self.iterations), "--buffer", str(self.buffer)]
        flags = {"--finetune": self.finetune, "--resume": self.resume, "--keep-buffer": self.keep_buffer}
        arguments += [flag for flag, is_set in flags.items() if is_set]
        values = {"--widen": self.widen, "--minutes": self.minutes, "--robots": self.robots, "--data": self.data}
        for flag, given in values.items():
            arguments += [] if given is None else [flag, str(given)]
        return trainer(arguments)


@dataclass(frozen=True, slots=True)
class Export:
    """Write default.onnx, default.toml and the model card of a training folder. Needs the extra `train`."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Training folder, as given to train with --out."""
    to: Path
    """Folder for the files."""
    widened_from: Path | None = None
    """The folder this one was widened from, where a blend of both was found best."""

    def run(self) -> int:
        """Write; the exit status is the trainer's."""
        before = [] if self.widened_from is None else ["--widen", str(self.widened_from)]
        return trainer(["--out", str(self.folder), "--export", str(self.to), *before])


@dataclass(frozen=True, slots=True)
class EvalPolicy:
    """Judge a policy by the suite that training uses, in its light physics: clips, pushes, squat, gaits, held-out
    clips. For the whole pipeline use teleop eval. Needs the folder of public data."""

    policy: Annotated[str, tyro.conf.Positional] = "default"
    """A training folder (judged beside its teacher; needs the extra `train`), or a policy that sees what the trained
    ones or TWIST2 see: NAME or FILE."""
    battery: bool = False
    """The perturbation battery instead: pushes from eight sides, gains, armature, payload, friction, latency,
    dropouts."""
    widened_from: Path | None = None
    """The folder that a training folder was widened from: its network is judged too."""
    blend: float | None = None
    """Also the weights so far between these two networks, 0 to 1."""
    threads: int = 2
    """CPU threads."""
    data: Path | None = None
    """Folder of public data; by default the one beside a checkout."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Run and print; 0."""
        if self.threads < 1:
            raise CommandError(f"--threads is {self.threads}; give a positive number")
        if expanded(self.policy, CommandError).is_dir() and not self.battery:
            values = {"--widen": self.widened_from, "--blend": self.blend, "--data": self.data}
            more = [word for flag, value in values.items() if value is not None for word in (flag, str(value))]
            return trainer(["--out", self.policy, "--evaluate", "--threads", str(self.threads), *more])
        suite: Any = importlib.import_module(SUITE)
        model = registry.load("robot", "unitree_g1")
        resolved = resolve(self.policy or None, model)
        if resolved is None:
            raise CommandError(absent_sentence(model))
        parts = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*parts, console=Console(stderr=True)) as bar:
            task = bar.add_task(resolved.card.name, total=1.0)
            try:
                found, table = suite.judge_file(
                    resolved, self.data, self.threads, self.battery,
                    lambda done, all_: bar.update(task, completed=done / all_),
                )  # fmt: skip
            except (suite.NotInTheSuite, NotAMotion, FileNotFoundError) as error:
                raise CommandError(str(error)) from None
        print(json.dumps({"policy": resolved.card.name, **found}) if self.json else table)
        return 0


def trainer(arguments: Sequence[str]) -> int:
    """The training module's own command line, imported only now: it needs torch.

    Raises:
        CommandError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise CommandError("training needs torch: pip install 'teleopd[train]'")
    module: Any = importlib.import_module(MODULE)
    return int(module.main(list(arguments)))
