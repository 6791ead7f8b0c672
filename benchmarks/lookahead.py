"""Tracking error against the operator's present motion, for a reference predicted ahead or followed late, in lock step.

No policy whose weights are public here reads coming frames. So the reference itself is moved in time before the guard:
extrapolated by what a policy lags (`service/policy/lookahead.py`), or delayed as lookahead 'delay' delays it; 0 is
'hold', the present frame. Everything else is the service's own. Ticks count from 2.5 s after engaging.

    python benchmarks/lookahead.py --policy default --policy twist2 \\
        --clips ../shared/data/policies/twist2/example_motions --seconds 8 --physics-hz 500
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from teleopd.launch import registry
from teleopd.robots.model import Reference, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.evaluation.clips import clip_name, find_clips, open_clip
from teleopd.service.evaluation.trial import SETTLE_S, _stream
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.library import ResolvedPolicy, absent_sentence, resolve
from teleopd.service.policy.lookahead import Buffer, DelayLine, extrapolate
from teleopd.service.telemetry.tracking import KeyBodyError

AHEAD_MS = (100.0, 60.0, 40.0, 20.0, 0.0, -20.0, -40.0, -60.0, -100.0)
"""Positive: extrapolated; negative: delayed."""
BLEND_TICKS = 125
"""After engaging the reference is blended in for up to 2 s: not judged."""


@dataclass(frozen=True, slots=True)
class Row:
    """One policy, one clip, one shift of the reference."""

    policy: str
    clip: str
    way: str
    ahead_ms: float
    upright: bool
    key_body_median_mm: float
    key_body_p95_mm: float
    joint_rmse_rad: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", action="append", help="name or ONNX file, repeatable; default: the robot's own")
    parser.add_argument("--robot", default="unitree_g1")
    parser.add_argument("--clips", nargs="+", default=["walk"], help="folders, files or names of built-in motions")
    parser.add_argument("--ahead", nargs="+", type=float, default=list(AHEAD_MS), help="[ms]; negative: delayed")
    parser.add_argument("--seconds", type=float, help="longest part of a clip [s]")
    parser.add_argument("--physics-hz", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="one JSON line a row")
    options = parser.parse_args()
    model: RobotModel = registry.load("robot", options.robot)
    rows: list[Row] = []
    try:
        for name in options.policy or [None]:
            policy = resolve(name, model)
            if policy is None:
                print(absent_sentence(model), file=sys.stderr)
                return 1
            for clip in find_clips(options.clips):
                for ahead_ms in options.ahead:
                    rows.append(measure(model, policy, clip, ahead_ms, options.seconds, options.physics_hz))
                    if options.json:
                        print(json.dumps({field: getattr(rows[-1], field) for field in Row.__slots__}), flush=True)
    except (PolicyError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if not options.json:
        show(rows)
    return 0


def measure(
    model: RobotModel, policy: ResolvedPolicy, clip: str, ahead_ms: float, seconds: float | None, physics_hz: int
) -> Row:
    """One run; errors are against the operator's newest pose, whatever the policy was shown."""
    session = Lockstep(model, policy, physics_hz=physics_hz)
    session.arm()
    stream, _ = _stream(model, open_clip(clip, model, seconds), session.now_ns)
    shown = shifted(stream, model, ahead_ms)
    session.run(shown, SETTLE_S)
    wanted, robot = [], []
    if session.engage(shown):
        while not stream.ended and session.fell_at_s is None:
            state, present = session.state, stream(session.now_ns)
            if session.mode is Mode.ACTIVE and state is not None and present is not None:
                q = np.clip(present.q, model.limits.q_lower, model.limits.q_upper)
                wanted.append((q, present.root_quat_w))
                robot.append((state.q, state.quat_w))
            session.step(shown(session.now_ns))
    ours, theirs = columns(wanted[BLEND_TICKS:], model.n), columns(robot[BLEND_TICKS:], model.n)
    errors = 1e3 * KeyBodyError(model).errors(*ours, *theirs).mean(axis=1) if len(ours[0]) else np.full(1, np.nan)
    return Row(
        policy.card.name, clip_name(clip), "hold" if ahead_ms == 0 else "extrapolate" if ahead_ms > 0 else "delay",
        ahead_ms, session.fell_at_s is None, round(float(np.median(errors)), 1),
        round(float(np.percentile(errors, 95)), 1),
        round(float(np.sqrt(np.mean((ours[0] - theirs[0]) ** 2))), 4),
    )  # fmt: skip


def columns(rows: Sequence[tuple[np.ndarray, np.ndarray]], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions (k, n) and orientations (k, 4)."""
    if not rows:
        return np.empty((0, n)), np.empty((0, 4))
    return np.array([q for q, _ in rows]), np.array([quat for _, quat in rows])


def shifted(
    stream: Callable[[int], Reference | None], model: RobotModel, ahead_ms: float
) -> Callable[[int], Reference | None]:
    """The stream with its content that much ahead of, or behind, its stamps."""
    line, into = DelayLine(model.n, 64), Buffer(model.n)

    def shown(now_ns: int) -> Reference | None:
        newest = stream(now_ns)
        if newest is None or ahead_ms == 0:
            return newest
        if ahead_ms > 0:
            extrapolate(newest, ahead_ms / 1e3, model.limits.q_lower, model.limits.q_upper, into)
        else:
            line.push(newest)
            line.read(now_ns + round(ahead_ms * 1e6), into)
        return Reference(*into.on(newest)[:9], *(part.copy() for part in into.on(newest)[9:]))

    return shown


def show(rows: list[Row]) -> None:
    """Medians over the clips."""
    table = Table("policy", "reference", "clips", "upright", "key-body median mm", "p95 mm", "joint RMSE rad")
    for policy in dict.fromkeys(row.policy for row in rows):
        for ahead in dict.fromkeys(row.ahead_ms for row in rows):
            found = [row for row in rows if (row.policy, row.ahead_ms) == (policy, ahead)]
            figures = [np.median([getattr(row, name) for row in found])
                       for name in ("key_body_median_mm", "key_body_p95_mm", "joint_rmse_rad")]  # fmt: skip
            table.add_row(
                policy, f"{found[0].way} {abs(ahead):.0f} ms", str(len(found)), str(sum(row.upright for row in found)),
                f"{figures[0]:.1f}", f"{figures[1]:.1f}", f"{figures[2]:.3f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
