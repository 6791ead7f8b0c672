"""Velocity mode on the virtual robot: what is obtained for what is commanded, and the table that makes them agree.

    python benchmarks/gait.py                                measure with the robot's table (or --plain: without it)
    python benchmarks/gait.py --calibrate --write            fit the policy's rows anew and write them into gait.toml

Lock step, 1 kHz physics, no perturbation: stand, engage, walk; the mean over the last whole cycles counts, in the
robot's own heading. Fitting repeats each speed and adds what is missing to what is said.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from teleopd.launch import registry
from teleopd.robots.model import Array, RobotModel
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.gait_table import FILE, Corrector, GaitTable, Row, Said, gait_table
from teleopd.service.policy.library import resolve
from teleopd.service.velocity_stage import Drive, VelocityStage, VelocityStream

SETTLE_S, SECONDS = 3.0, 5.0
"""Walked before and while it is measured."""
SPEEDS = (-0.6, -0.4, -0.2, 0.2, 0.4, 0.6)
TURNS = (-0.8, -0.4, 0.4, 0.8)
AXES = ("forward", "left", "turn")
ROUNDS = 4
CLOSE = 0.025
"""Near enough [m/s]."""
GAIN = 0.8
"""Of what is missing, so much is added in a round."""
FURTHEST = 0.7
"""What is said stays this close to what is commanded [m/s]."""
DIAGONALS = ((0.4, 0.0, 0.4), (0.3, 0.3, 0.0), (-0.3, -0.3, 0.0), (0.0, 0.3, -0.4))


class Walk(NamedTuple):
    """One command and what came of it."""

    forward: float
    left: float
    turn: float
    got_forward: float
    got_left: float
    got_turn: float
    fell_at_s: float | None


Command = tuple[float, float, float]
"""Forward, left [m/s], turn [rad/s]."""


class Walker:
    """The virtual robot on its feet and engaged, taking commands."""

    def __init__(self, model: RobotModel, policy: str, table: GaitTable) -> None:
        resolved = resolve(policy or None, model)
        if resolved is None:
            raise RuntimeError(f"no policy '{policy}' for {model.name}")
        drive: Drive = "direct" if resolved.card.role == "velocity" else "gait"
        self._lock, self._cycle_s = Lockstep(model, resolved), table.shape.cycle_s
        self.stage = VelocityStage(model, 1, policy=resolved.card.name, drive=drive, table=table)
        self._command: Command = (0.0, 0.0, 0.0)
        self._references = VelocityStream(self.stage, lambda _now_ns: self._command)
        self._lock.arm(self._references)
        if not self._lock.engage(self._references):
            raise RuntimeError("the robot could not be engaged")
        self._references.held = True
        self._lock.run(self._references, 1.5)

    def walk(self, command: Command) -> Walk:
        """Walk, settle, and measure over whole cycles; speeds are NaN when it falls."""
        self._command = command
        self._lock.run(self._references, SETTLE_S)
        first = len(self._lock.ticks) - 1
        self._lock.run(self._references, max(1, round(SECONDS / self._cycle_s)) * self._cycle_s)
        fell = self._lock.fell_at_s
        got = (float("nan"),) * 3 if fell is not None else _obtained(self._lock.ticks[first:])
        return Walk(*command, *got, fell)


def _obtained(ticks: Array) -> tuple[float, float, float]:
    """Mean velocity in the robot's heading of each moment."""
    w, x, y, z = ticks["quat_w"].T
    yaw = np.unwrap(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    way, middle = np.diff(ticks["root_pos_w"][:, :2], axis=0), 0.5 * (yaw[1:] + yaw[:-1])
    forward = way[:, 0] * np.cos(middle) + way[:, 1] * np.sin(middle)
    left = -way[:, 0] * np.sin(middle) + way[:, 1] * np.cos(middle)
    seconds = len(way) * 0.02
    return float(forward.sum() / seconds), float(left.sum() / seconds), float((yaw[-1] - yaw[0]) / seconds)


def fit(model: RobotModel, policy: str, table: GaitTable, axis: int, speed: float) -> tuple[Row, Walk]:
    """The row of one speed: repeated from what the table says now until the robot obtains it, the closest kept."""
    command = (speed * (axis == 0), speed * (axis == 1), speed * (axis == 2))
    goal = np.array(command[:2])
    said, best = np.array(table.corrector(policy)(*command)), None
    for _ in range(ROUNDS):
        walker = Walker(model, policy, table)
        row: Row = (speed, float(said[0]), float(said[1]))
        only: dict[str, tuple[Row, ...]] = {name: (row,) if i == axis else () for i, name in enumerate(AXES)}
        walker.stage.correct = Corrector(Said(measured="", **only))
        got = walker.walk(command)
        if got.fell_at_s is not None:
            said = goal + 0.5 * (said - goal)
            continue
        missing = goal - (got.got_forward, got.got_left)
        off = float(np.hypot(*missing))
        if best is None or off < best[0]:
            best = (off, row, got)
        if off < CLOSE:
            break
        said = goal + np.clip(said + GAIN * missing - goal, -FURTHEST, FURTHEST)
    if best is None:
        return row, got
    return best[1], best[2]


def _fit_job(job: tuple[int, float], robot: str, policy: str) -> tuple[int, Row, Walk]:
    model = registry.load("robot", robot)
    row, got = fit(model, policy, _table(model), *job)
    return job[0], row, got


def _walk_job(command: Command, robot: str, policy: str, plain: bool) -> Walk:
    model = registry.load("robot", robot)
    table = _table(model)
    return Walker(model, policy, replace(table, said={}) if plain else table).walk(command)


def _table(model: RobotModel) -> GaitTable:
    table = gait_table(model)
    if table is None:
        raise SystemExit(f"{model.name} has no {FILE}")
    return table


def write(path: Path, policy: str, said: Said) -> None:
    """Replace the policy's section of the file, or append it."""
    lines = [f"[policy.{policy}]", f'measured = "{said.measured}"']
    for axis in AXES:
        rows = ", ".join(f"[{at:g}, {x:.3f}, {y:.3f}]" for at, x, y in getattr(said, axis))
        lines.append(f"{axis} = [{rows}]")
    text = re.sub(rf"\n*\[policy\.{re.escape(policy)}\]\n(?:(?!\[).*\n?)*", "\n", path.read_text())
    path.write_text(text.rstrip() + "\n\n" + "\n".join(lines) + "\n")


def calibrate(robot: str, policy: str, axes: tuple[str, ...], jobs: int) -> tuple[Said, list[Walk]]:
    """Fit every speed of the axes asked for; the others keep their rows."""
    points = [(i, v) for i, axis in enumerate(AXES) if axis in axes for v in (TURNS if axis == "turn" else SPEEDS)]
    before = _table(registry.load("robot", robot)).said.get(policy)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        found = list(_shown(pool.imap(partial(_fit_job, robot=robot, policy=policy), points), len(points)))
    rows = {axis: tuple(row for at, row, _ in found if at == i) or getattr(before, axis, ()) for i, axis in
            enumerate(AXES)}  # fmt: skip
    how = f"benchmarks/gait.py --calibrate: lock step, up to {ROUNDS} rounds a speed, {SECONDS:g} s each"
    return Said(measured=how, **rows), [got for *_, got in found]


def measure(robot: str, policy: str, plain: bool, jobs: int) -> list[Walk]:
    """Every speed of every axis, and some of two at once."""
    commands = [*((v, 0.0, 0.0) for v in SPEEDS), *((0.0, v, 0.0) for v in SPEEDS), *((0.0, 0.0, v) for v in TURNS),
                *DIAGONALS]  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        job = partial(_walk_job, robot=robot, policy=policy, plain=plain)
        return list(_shown(pool.imap(job, commands), len(commands)))


def _shown(results: Iterable, count: int):  # type: ignore[no-untyped-def, type-arg]
    for i, result in enumerate(results, 1):
        print(f"\r{i}/{count}", end="", file=sys.stderr, flush=True)
        yield result
    print(file=sys.stderr)


def show(walks: list[Walk]) -> None:
    """A table for docs/policies.md."""
    print("| commanded (forward, left m/s, turn rad/s) | obtained |\n|---|---|")
    for w in walks:
        got = f"{w.got_forward:+.2f}, {w.got_left:+.2f}, {w.got_turn:+.2f}"
        print(f"| {w.forward:+.2f}, {w.left:+.2f}, {w.turn:+.2f} | {got if w.fell_at_s is None else 'falls'} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--policy", default="default", help="name of a card")
    parser.add_argument("--calibrate", action="store_true", help="fit the rows of the policy")
    parser.add_argument("--axis", action="append", choices=AXES, help="fit only this one; may be repeated")
    parser.add_argument("--write", action="store_true", help="write the fitted rows into the robot's gait.toml")
    parser.add_argument("--plain", action="store_true", help="measure without the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", action="store_true", help="one JSON line a command")
    options = parser.parse_args()
    model = registry.load("robot", options.robot)
    if options.calibrate:
        said, walks = calibrate(options.robot, options.policy, tuple(options.axis or AXES), options.jobs)
        if options.write:
            write(model.mjcf.with_name(FILE), options.policy, said)
    else:
        walks = measure(options.robot, options.policy, options.plain, options.jobs)
    if options.json:
        for w in walks:
            print(json.dumps(w._asdict()))
    else:
        show(walks)
    return int(any(w.fell_at_s is not None for w in walks))


if __name__ == "__main__":
    sys.exit(main())
