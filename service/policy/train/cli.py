"""`python -m teleopd.service.policy.train`: train, resume, evaluate and export the embedded policy."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from teleopd.service.evaluation.robot_motion import NotAMotion
from teleopd.service.policy.train.assess import BLENDED, DISTILLED, FINE_TUNED, SHIPPED, WIDENED, assess, card_figures
from teleopd.service.policy.train.assess import TEACHER as TEACHER_ACTOR
from teleopd.service.policy.train.channels import Clip, Float32
from teleopd.service.policy.train.dagger import Distillation, Report, read_checkpoint, student_of
from teleopd.service.policy.train.export import ExportFailed, training_card, write_policy
from teleopd.service.policy.train.harder import HardReferences, drawn_hard
from teleopd.service.policy.train.judge import Judge, acting
from teleopd.service.policy.train.motions import training_clips
from teleopd.service.policy.train.ppo import CHECKPOINT as FINETUNED
from teleopd.service.policy.train.ppo import FineTuning, PpoReport, finetuned_student, read_finetuned
from teleopd.service.policy.train.ppo_settings import PpoSettings
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.settings import Settings
from teleopd.service.policy.train.student import between
from teleopd.service.policy.train.suite import held_out_clips
from teleopd.service.policy.train.teacher import Teacher
from teleopd.service.policy.train.world import Seen

PROGRESS = "progress.jsonl"
FINETUNING_PROGRESS = "finetuning.jsonl"
CLIPS = "clips.npz"
EVALUATION = "evaluation.json"
TEACHER = "policies/twist2/twist2_1017_20k.onnx"
WIDENING: dict[str, Any] = {
    "widened": True, "known_gains": True, "known_delay": True, "learning_rate": 4e-4, "beta_over": 1e-6, "leg": 50,
}  # fmt: skip
"""Settings of a distillation that goes on from a trained network on the robots and references of fine-tuning."""
PRINT_S = 20.0
"""Between lines where the output is no terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one sentence on what is wrong."""
    args = _arguments(argv)
    try:
        if args.evaluate or args.export is not None:
            if args.evaluate:
                evaluate(args.out, args.data, args.threads, args.widen, args.blend)
            if args.export is not None:
                export(args.out, args.export, args.widen)
        elif args.finetune:
            finetune(args)
        else:
            train(args)
    except (FileNotFoundError, NotAMotion, ExportFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def train(args: argparse.Namespace) -> None:
    """Train into `args.out` until the run's end.

    Raises:
        FileNotFoundError: the teacher, or with `--resume` the checkpoint, is absent.
    """
    minutes = Settings().minutes if args.minutes is None else args.minutes
    settings = Settings(
        seed=args.seed, minutes=minutes, iterations=args.iterations, threads=args.threads,
        robots=args.robots or Settings().robots, keep_buffer=args.keep_buffer, buffer=args.buffer,
    )  # fmt: skip
    if args.resume:
        settings = Settings.from_dict(read_checkpoint(args.out)["settings"])
        if args.minutes is not None:
            settings = replace(settings, minutes=args.minutes)
    start = None if args.widen is None or args.resume else student_of(args.widen)
    if start is not None:
        settings = replace(settings, **WIDENING)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(_teacher_file(args.data), settings.threads)
    clips = clips_for(args.out, args.data)
    base = ReferenceGenerator(clips)
    distillation = (
        Distillation(settings, training_card(), HardReferences(base, clips), teacher, errors=drawn_hard)
        if settings.widened
        else Distillation(settings, training_card(), base, teacher)
    )
    if args.resume:
        distillation.restore(args.out)
    elif start is not None:
        distillation.start_from(start)
    with (args.out / PROGRESS).open("a", encoding="utf-8") as log, _bar() as bar:
        distillation.run(args.out, _reporter(log.write, bar))
    distillation.close()


def finetune(args: argparse.Namespace) -> None:
    """Fine-tune the folder's distilled student until the run's end.

    Raises:
        FileNotFoundError: the teacher, the distilled student, or with `--resume` the fine-tuning's checkpoint, is
            absent.
    """
    settings = PpoSettings(seed=args.seed, iterations=args.iterations, threads=args.threads)
    settings = replace(settings, **{k: v for k in ("minutes", "robots") if (v := getattr(args, k)) is not None})
    if args.resume:
        settings = PpoSettings.from_dict(read_finetuned(args.out)["settings"])
        if args.minutes is not None:
            settings = replace(settings, minutes=args.minutes)
    student = student_of(args.out)
    clips, teacher = clips_for(args.out, args.data), Teacher(_teacher_file(args.data), threads=1)
    references = HardReferences(ReferenceGenerator(clips), clips)
    judge = Judge(clips, training_card(), settings.threads)
    tuning = FineTuning(settings, training_card(), references, teacher, student, judge)
    if args.resume:
        tuning.restore(args.out)
        if tuning.scores:
            judge.allowed_mm = tuning.scores[0][2]
        tuning.look_again()
    with (args.out / FINETUNING_PROGRESS).open("a", encoding="utf-8") as log, _bar() as bar:
        tuning.run(args.out, _finetuning_reporter(log.write, bar, tuning))
    tuning.close()
    print("looks (iteration, points, key-body mm):", *tuning.scores)


def evaluate(
    folder: Path, data: Path, threads: int, before: Path | None = None, blend: float | None = None
) -> dict[str, Any]:
    """Judge the networks of the folder, and of the one it was widened from, what lies between them, and the teacher.

    Writes `evaluation.json` and prints the tables.
    """
    actors: dict[str, Callable[[Seen], Float32]] = {}
    found: dict[str, Any] = {"training": {}}
    keys = ("iteration", "samples", "updates", "elapsed_s")
    for stage, place in ((DISTILLED, before or folder), (WIDENED, folder if before else None)):
        if place is not None:
            state = read_checkpoint(place)
            found["training"][stage] = {key: state[key] for key in keys}
            actors[stage] = acting(student_of(place))
    if before is not None and blend is not None:
        found["blend"] = blend
        actors[BLENDED] = acting(between(student_of(before), student_of(folder), blend))
    if (folder / FINETUNED).is_file():
        tuned = read_finetuned(folder)
        actors[FINE_TUNED] = acting(finetuned_student(folder))
        found["training"][FINE_TUNED] = {key: tuned[key] for key in keys}
    teacher = Teacher(_teacher_file(data), threads)
    actors[TEACHER_ACTOR] = lambda seen: teacher(seen.teacher)
    torch.set_num_threads(1)
    with _bar() as bar:
        task = bar.add_task("", total=1.0)

        def told(what: str, done: int, of: int) -> None:
            bar.update(task, completed=done / of, description=what)

        clips, held_out = clips_for(folder, data), held_out_clips(data)
        found.update(assess(actors, clips, held_out, training_card(), threads, told))
    (folder / EVALUATION).write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(card_figures(found))
    return found


def export(folder: Path, to: Path, before: Path | None = None) -> None:
    """Write `default.onnx`, `.toml` and `.md` into `to`: the network that the last evaluation found better.

    Without an evaluation the folder's distilled or widened one.

    Raises:
        ExportFailed: the evaluation is an older version's, or found the network of another folder better.
    """
    figures, student = "Not evaluated yet: run the training module with `--evaluate` first.\n", student_of(folder)
    path = folder / EVALUATION
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if SHIPPED not in found:
            raise ExportFailed(f"{path} is of an older version; run the training module with `--evaluate` again")
        figures = card_figures(found)
        if found[SHIPPED] == FINE_TUNED:
            student = finetuned_student(folder)
        elif found[SHIPPED] == BLENDED:
            if before is None:
                raise ExportFailed(f"{path} found a blended network best; name the folder it began in with --widen")
            student = between(student_of(before), student, found["blend"])
        elif found[SHIPPED] == DISTILLED and WIDENED in found["training"]:
            raise ExportFailed(f"{path}: the network that {folder} was widened from is better; export that folder")
    for written in write_policy(student, to, figures):
        print(f"{written}: {written.stat().st_size} bytes")


def clips_for(folder: Path, data: Path) -> list[Clip]:
    """The training clips, kept in `folder` after the first time, so that a resumed run has the same."""
    path = folder / CLIPS
    if not path.is_file():
        clips = training_clips(data)
        arrays: dict[str, Any] = {clip.name: clip.channels for clip in clips}
        np.savez_compressed(path, **arrays)
        return clips
    with np.load(path) as stored:
        return [Clip(name, stored[name]) for name in stored.files]


def _teacher_file(data: Path) -> Path:
    path = data / TEACHER
    if not path.is_file():
        raise FileNotFoundError(f"the teacher {path} is absent; give the folder of public data with --data")
    return path


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True))


def _reporter(write: Callable[[str], object], bar: Progress) -> Callable[[Report], None]:
    """Shows and logs an iteration."""
    task = bar.add_task("training", total=1.0)
    printed = -math.inf

    def report(r: Report) -> None:
        nonlocal printed
        values = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in r._asdict().items()}
        write(json.dumps(values) + "\n")
        rate = r.samples / max(r.elapsed_s, 1e-9)
        text = (
            f"{100 * r.share_done:5.1f} %  {r.samples / 1e6:.2f} M samples  {rate:.0f}/s  "
            f"loss {r.loss:.4f}  {r.falls_per_minute:.1f} falls/min"
        )
        bar.update(task, completed=r.share_done, description=text)
        if not bar.console.is_terminal and time.monotonic() - printed > PRINT_S:
            printed = time.monotonic()
            print(text, flush=True)

    return report


def _finetuning_reporter(
    write: Callable[[str], object], bar: Progress, tuning: FineTuning
) -> Callable[[PpoReport], None]:
    """Shows and logs an iteration."""
    task = bar.add_task("fine-tuning", total=1.0)
    printed = -math.inf

    def report(r: PpoReport) -> None:
        nonlocal printed
        values = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in r._asdict().items()}
        write(json.dumps(values) + "\n")
        score = "" if tuning.score is None else f"  best {tuning.score.points} points"
        text = (
            f"{100 * r.share_done:5.1f} %  {r.samples / 1e6:.2f} M samples  "
            f"{r.samples / max(r.elapsed_s, 1e-9):.0f}/s  "
            f"reward {r.reward:+.4f}  {r.falls_per_minute:.2f} falls/min  KL {r.kl:.4f}  std {r.std:.3f}  "
            f"teacher {r.teacher_loss:.4f}{score}"
        )
        bar.update(task, completed=r.share_done, description=text)
        if not bar.console.is_terminal and time.monotonic() - printed > PRINT_S:
            printed = time.monotonic()
            print(text, flush=True)

    return report


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m teleopd.service.policy.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, progress and evaluation")
    parser.add_argument(
        "--minutes", type=float,
        help="training time [min], 30 if not given, 75 with --finetune; with --resume a new total",
    )
    parser.add_argument(
        "--finetune", action="store_true", help="reinforcement fine-tuning (PPO) of the folder's distilled student"
    )
    parser.add_argument(
        "--widen", type=Path, metavar="FROM",
        help="distil on from that folder's network, on the harder robots and references of fine-tuning; "
        "with --evaluate: compare with it",
    )  # fmt: skip
    parser.add_argument(
        "--blend", type=float, metavar="SHARE",
        help="with --evaluate and --widen: judge the weights so far between the two networks too, 0 to 1",
    )  # fmt: skip
    parser.add_argument("--iterations", type=int, default=0, help="length in iterations instead: repeatable exactly")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, with its settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--robots", type=int, help="stepped together: 128 if not given, 160 in fine-tuning")
    parser.add_argument("--buffer", type=int, default=3_000_000, help="samples kept, 1.1 kB each")
    parser.add_argument("--keep-buffer", action="store_true", help="store the samples in checkpoints")
    parser.add_argument("--data", type=Path, default=_data_beside(), help="folder of public data with the teacher")
    parser.add_argument("--evaluate", action="store_true", help="run the battery on the folder's checkpoint")
    parser.add_argument("--export", type=Path, metavar="TO", help="write default.onnx, .toml and .md into a folder")
    return parser.parse_args(argv)


def _data_beside() -> Path:
    """The data folder beside a checkout."""
    return Path(__file__).resolve().parents[4] / "shared" / "data"
