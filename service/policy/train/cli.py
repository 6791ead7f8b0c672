"""`python -m teleopd.service.policy.train`: train, resume, evaluate and export the embedded policy."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from teleopd.service.policy.train.channels import Clip, Float32
from teleopd.service.policy.train.dagger import Distillation, Report, read_checkpoint, student_of
from teleopd.service.policy.train.export import ExportFailed, training_card, write_policy
from teleopd.service.policy.train.features import COLUMNS
from teleopd.service.policy.train.figures import markdown, summary
from teleopd.service.policy.train.motions import NotAMotion, training_clips
from teleopd.service.policy.train.references import ReferenceGenerator
from teleopd.service.policy.train.settings import Settings
from teleopd.service.policy.train.suite import held_out_clips, run, trials
from teleopd.service.policy.train.teacher import Teacher
from teleopd.service.policy.train.world import Seen

PROGRESS = "progress.jsonl"
CLIPS = "clips.npz"
EVALUATION = "evaluation.json"
TEACHER = "policies/twist2/twist2_1017_20k.onnx"
PRINT_S = 20.0
"""Between lines where the output is no terminal."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one sentence on what is wrong."""
    args = _arguments(argv)
    try:
        if args.evaluate or args.export is not None:
            if args.evaluate:
                evaluate(args.out, args.data, args.threads)
            if args.export is not None:
                export(args.out, args.export)
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
        seed=args.seed, minutes=minutes, iterations=args.iterations, threads=args.threads, robots=args.robots,
        keep_buffer=args.keep_buffer, buffer=args.buffer,
    )  # fmt: skip
    if args.resume:
        settings = Settings.from_dict(read_checkpoint(args.out)["settings"])
        if args.minutes is not None:
            settings = replace(settings, minutes=args.minutes)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(_teacher_file(args.data), settings.threads)
    distillation = Distillation(settings, training_card(), ReferenceGenerator(clips_for(args.out, args.data)), teacher)
    if args.resume:
        distillation.restore(args.out)
    with (args.out / PROGRESS).open("a", encoding="utf-8") as log, _bar() as bar:
        distillation.run(args.out, _reporter(log.write, bar))
    distillation.close()


def evaluate(folder: Path, data: Path, threads: int) -> dict[str, Any]:
    """Run the battery for student and teacher, write `evaluation.json` and print the table."""
    student = student_of(folder)
    teacher = Teacher(_teacher_file(data), threads)

    def act(seen: Seen) -> Float32:
        return student.act(np.ascontiguousarray(seen.student[:, COLUMNS]))

    battery = trials(clips_for(folder, data), held_out_clips(data))
    actors: dict[str, Callable[[Seen], Float32]] = {"student": act, "teacher": lambda seen: teacher(seen.teacher)}
    found: dict[str, Any] = {}
    for name, actor in actors.items():
        with _bar() as bar:
            task = bar.add_task(f"{name}: {len(battery)} trials", total=1.0)
            outcomes = run(battery, actor, training_card(), threads, partial(_advance, bar, task))
        found[name] = summary(outcomes)
    state = read_checkpoint(folder)
    found["training"] = {key: state[key] for key in ("iteration", "samples", "updates", "elapsed_s")}
    (folder / EVALUATION).write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(markdown({name: found[name] for name in actors}))
    return found


def export(folder: Path, to: Path) -> None:
    """Write `default.onnx`, `.toml` and `.md` into `to`; the model card shows the last evaluation."""
    figures = "Not evaluated yet: run the training module with `--evaluate` first.\n"
    path = folder / EVALUATION
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        training = found.pop("training")
        figures = markdown(found) + (
            f"\n\nTraining: {training['samples'] / 1e6:.1f} million samples, {training['updates']} updates, "
            f"{training['elapsed_s'] / 60:.0f} minutes.\n"
        )
    for written in write_policy(student_of(folder), to, figures):
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


def _advance(bar: Progress, task: TaskID, done: int, all_: int) -> None:
    bar.update(task, completed=done / all_)


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


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m teleopd.service.policy.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, progress and evaluation")
    parser.add_argument(
        "--minutes", type=float, help="training time [min], 30 if not given; with --resume a new total"
    )
    parser.add_argument("--iterations", type=int, default=0, help="length in iterations instead: repeatable exactly")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, with its settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--robots", type=int, default=128, help="stepped together")
    parser.add_argument("--buffer", type=int, default=3_000_000, help="samples kept, 1.1 kB each")
    parser.add_argument("--keep-buffer", action="store_true", help="store the samples in checkpoints")
    parser.add_argument("--data", type=Path, default=_data_beside(), help="folder of public data with the teacher")
    parser.add_argument("--evaluate", action="store_true", help="run the battery on the folder's checkpoint")
    parser.add_argument("--export", type=Path, metavar="TO", help="write default.onnx, .toml and .md into a folder")
    return parser.parse_args(argv)


def _data_beside() -> Path:
    """The data folder beside a checkout."""
    return Path(__file__).resolve().parents[4] / "shared" / "data"
