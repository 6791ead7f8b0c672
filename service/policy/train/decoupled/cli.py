"""`python -m teleopd.service.policy.train.decoupled`: train, judge and export the default policies of H1 and H1-2."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.train.dagger import Report, read_checkpoint
from teleopd.service.policy.train.decoupled.distil import LegDistillation, LegSettings, leg_student_of
from teleopd.service.policy.train.decoupled.export import write_policy
from teleopd.service.policy.train.decoupled.suite import Actor, Suite, acting, markdown, summary, trials
from teleopd.service.policy.train.decoupled.walker import VY, WALKERS, Walker
from teleopd.service.policy.train.decoupled.world import Float32, World
from teleopd.service.policy.train.experts.both import BothExperts
from teleopd.service.policy.train.export import ExportFailed

PROGRESS, EVALUATION = "progress.jsonl", "evaluation.json"
LICENCE = "policies/unitree_rl_gym/LICENSE"
PRINT_S = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 with one sentence on what is wrong."""
    args = _arguments(argv)
    walker = WALKERS[args.robot]()
    try:
        if args.export is not None:
            export(args.out, walker, args.data, args.export, args.sideways)
        elif args.evaluate:
            evaluate(args.out, walker, args.data, args.threads, args.sideways)
        else:
            train(args, walker)
    except (FileNotFoundError, ValueError, PolicyError, ExportFailed) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def train(args: argparse.Namespace, walker: Walker) -> None:
    """Train into `args.out` until the run's end, from another folder's network where one is given.

    Raises:
        FileNotFoundError: the teacher or that network is absent.
    """
    teacher = _present(args.data, walker.teacher)
    settings = LegSettings(
        seed=args.seed, minutes=args.minutes, iterations=args.iterations, threads=args.threads, robots=args.robots,
        push_chance=args.push_chance,
    )  # fmt: skip
    robot = walker.model
    run = LegDistillation(
        settings, walker, robot.kp_ready, robot.kd_ready, lambda world: BothExperts(world, teacher)
    )  # fmt: skip
    if args.start is not None:
        leg_student_of(args.start, walker)
        run.start_from(args.start)
    args.out.mkdir(parents=True, exist_ok=True)
    printed = 0.0
    with (args.out / PROGRESS).open("a", encoding="utf-8") as log:

        def report(r: Report) -> None:
            nonlocal printed
            log.write(json.dumps({k: None if v != v else v for k, v in r._asdict().items()}) + "\n")
            if time.monotonic() - printed > PRINT_S:
                printed = time.monotonic()
                print(
                    f"{100 * r.share_done:5.1f} %  {r.samples / 1e6:.2f} M samples  {r.samples / r.elapsed_s:.0f}/s  "
                    f"loss {r.loss:.4f}  {r.falls_per_minute:.1f} falls/min", flush=True,
                )  # fmt: skip

        run.run(args.out, report)
    run.close()


def evaluate(folder: Path, walker: Walker, data: Path, threads: int, sideways: float = 1.0) -> dict[str, Any]:
    """The suite for the folder's network and, where the teacher is there, for the experts; writes `evaluation.json`."""
    student = leg_student_of(folder, walker)
    student.amplify(VY, sideways)
    state = read_checkpoint(folder)
    found: dict[str, Any] = {key: state[key] for key in ("iteration", "samples", "updates", "elapsed_s")}
    actors: dict[str, Callable[[World], Actor]] = {"student": acting(student.act)}
    if (data / walker.teacher).is_file():
        actors["experts"] = lambda world: _experts(world, data / walker.teacher)
    torch.set_num_threads(1)
    suite, todo = Suite(walker, walker.model.kp_ready, walker.model.kd_ready, threads), trials(walker)
    found["suite"] = {}
    for name, actor in actors.items():
        found["suite"][name] = summary(suite.run(todo, actor))
        (folder / EVALUATION).write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(markdown(found["suite"]), flush=True)
    return found


def _experts(world: World, teacher: Path) -> Actor:
    experts = BothExperts(world, teacher)
    experts.reset(np.ones(world.count, dtype=np.bool_))

    def act(_seen: Float32) -> Float32:
        action = experts()
        world.steps[:] = experts.steps
        return action

    return act


def export(folder: Path, walker: Walker, data: Path, to: Path, sideways: float = 1.0) -> None:
    """Write `default.onnx`, `.toml` and `.md` into `to`, with the figures of the last evaluation.

    Raises:
        FileNotFoundError: there is no network, or the teacher's licence is absent.
    """
    figures, path = "Not evaluated yet: run with `--evaluate` first.", folder / EVALUATION
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        figures = markdown(found["suite"])
        figures += f"\n\n{walk_markdown(found['suite']['student'])}\n\n"
        figures += (
            f"Trained on {found['samples'] / 1e6:.1f} million samples, {found['updates']} updates, "
            f"{found['elapsed_s'] / 60:.0f} minutes on two busy CPU cores."
        )
    notice = _present(data, LICENCE).read_text(encoding="utf-8").strip()
    student = leg_student_of(folder, walker)
    student.amplify(VY, sideways)
    if sideways != 1.0:
        figures += f" It takes a command sideways for {sideways:g} times what it says, to obtain it on a turn too."
    for written in write_policy(student, walker, to, figures, notice):
        print(f"{written}: {written.stat().st_size} bytes")


def walk_markdown(figures: dict[str, Any]) -> str:
    """Commanded and obtained velocities, the mean over the runs of each command."""
    by_command: dict[tuple[float, ...], list[list[float]]] = {}
    for row in figures["walk"]["commands"]:
        by_command.setdefault(tuple(row["commanded"]), []).append(row["obtained"])
    lines = ["| commanded: forward, left m/s, turn rad/s | obtained |", "|---|---|"]
    for command, runs in by_command.items():
        mean = np.mean(runs, axis=0)
        lines.append(f"| {_triple(command)} | {_triple(mean)} |")
    return "\n".join(lines)


def _triple(values: Any) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)


def _present(data: Path, name: str) -> Path:
    path = data / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is absent; give the folder of public data with --data")
    return path


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m teleopd.service.policy.train.decoupled", description=__doc__)
    parser.add_argument("--robot", choices=sorted(WALKERS), default="unitree_h1")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, progress and evaluation")
    parser.add_argument("--minutes", type=float, default=25.0, help="training time [min]")
    parser.add_argument("--iterations", type=int, default=0, help="length in iterations instead: repeatable exactly")
    parser.add_argument("--start", type=Path, metavar="FROM", help="begin with that folder's network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--robots", type=int, default=128, help="stepped together")
    parser.add_argument("--push-chance", type=float, default=0.004, help="pushes a tick and robot")
    beside = Path(__file__).resolve().parents[5] / "shared" / "data"
    factor = "with --evaluate and --export: the network takes the command sideways for so many times what it says"
    parser.add_argument("--sideways", type=float, default=1.0, metavar="FACTOR", help=factor)
    parser.add_argument("--data", type=Path, default=beside, help="folder of public data with the teacher")
    parser.add_argument("--evaluate", action="store_true", help="run the suite on the folder's checkpoint")
    parser.add_argument("--export", type=Path, metavar="TO", help="write default.onnx, .toml and .md into a folder")
    return parser.parse_args(argv)
