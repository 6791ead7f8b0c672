"""Our gaits at commanded velocities as trials: training's templates, and the walk of the service's velocity mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.gait import Gait, GaitLimits, GaitShape
from teleopd.service.policy.gait_table import gait_table
from teleopd.service.policy.train.channels import DT_S, RATE_HZ, channels_of, quaternion
from teleopd.service.policy.train.stepping import walk
from teleopd.service.policy.train.suite import Outcome, Trial

TEMPLATES, VELOCITY_MODE = "templates", "velocity mode"
SPEEDS_M_S = (0.2, 0.4, 0.6)
WAYS: tuple[tuple[str, tuple[float, float]], ...] = (
    ("forward", (1.0, 0.0)), ("back", (-1.0, 0.0)), ("left", (0.0, 1.0)), ("right", (0.0, -1.0)),
)  # fmt: skip
WITHIN = 0.25
"""Of the commanded speed."""
GAIT_S, GAIT_FROM_S = 10.0, 3.0


def gaits() -> Iterator[Trial]:
    """A second of standing, a second's ramp, then a constant command; judged after 3 s."""
    t = np.arange(round(GAIT_S * RATE_HZ)) / RATE_HZ
    level = np.clip(t - 1.0, 0.0, 1.0)
    for group, made in ((TEMPLATES, walk), (VELOCITY_MODE, walked)):
        for name, (x, y) in WAYS:
            for speed in SPEEDS_M_S:
                commands = np.stack((x * speed * level, y * speed * level, 0.0 * level), axis=1)
                yield Trial(group, f"{name} {speed} m/s", made(commands), round(GAIT_FROM_S * RATE_HZ))


def walked(commands: Array, shape: GaitShape | None = None) -> Array:
    """A track of the service's own walk for velocity commands (ticks, 3), uncorrected; (ticks, 35)."""
    table = gait_table(MODEL)
    assert table is not None
    limits = GaitLimits((0.8, 0.8, 1.2), table.limits.change)
    gait = Gait(MODEL, shape or table.shape, limits)
    qpos = np.zeros((len(commands), 7 + MODEL.n))
    x = y = yaw = 0.0
    for i, command in enumerate(commands):
        pose = gait.step(float(command[0]), float(command[1]), float(command[2]), DT_S)
        c, s = np.cos(yaw), np.sin(yaw)
        forward, left, turn = pose.velocity
        qpos[i, :3] = x - s * pose.sway_m, y + c * pose.sway_m, pose.height_m
        qpos[i, 3:7] = quaternion(np.zeros(()), np.asarray(pose.pitch_rad), np.asarray(yaw))
        qpos[i, 7:] = pose.q
        x, y, yaw = x + (c * forward - s * left) * DT_S, y + (s * forward + c * left) * DT_S, yaw + turn * DT_S
    return channels_of(qpos)


def told(trial: Trial) -> tuple[float, float]:
    """Velocity forward and left that a trial of `gaits` commands [m/s]."""
    way, speed, _ = trial.name.split()
    x, y = dict(WAYS)[way]
    return x * float(speed), y * float(speed)


def on_speed(outcome: Outcome) -> bool:
    """It stayed up and went as fast as told, within `WITHIN`, along the commanded direction."""
    x, y = told(outcome.trial)
    speed = float(np.hypot(x, y))
    along = (outcome.velocity[0] * x + outcome.velocity[1] * y) / speed
    return outcome.fell_at_s is None and abs(along - speed) <= WITHIN * speed


def gait_summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Plain values: how many gaits went as told, and each one's velocity."""
    return {
        "on_speed": sum(on_speed(o) for o in outcomes),
        "of": len(outcomes),
        "gaits": {
            f"{o.trial.group}, {o.trial.name}": {
                "commanded": [round(v, 2) for v in told(o.trial)],
                "obtained": [round(v, 2) for v in o.velocity],
                "fell_at_s": o.fell_at_s,
            }
            for o in outcomes
        },
    }


def gait_markdown(by_actor: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of several actors side by side."""
    actors = list(by_actor)
    lines = ["| own gait (forward, left m/s, turn rad/s) | " + " | ".join(actors) + " |"]
    lines.append("|---" * (len(actors) + 1) + "|")
    for name in by_actor[actors[0]]["gaits"]:
        found = [by_actor[actor]["gaits"][name] for actor in actors]
        cells = [
            ", ".join(f"{v:+.2f}" for v in g["obtained"]) + (" fell" if g["fell_at_s"] is not None else "")
            for g in found
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ends = (f"{by_actor[a]['on_speed']}/{by_actor[a]['of']}" for a in actors)
    lines.append(f"| within {WITHIN:.0%} | " + " | ".join(ends) + " |")
    return "\n".join(lines)
