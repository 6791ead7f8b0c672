"""Which runs qualify a policy. The full list is what a record for hardware needs; the quick one is for a first look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from teleopd.drivers.motion_file.library import motion_names
from teleopd.service.evaluation.clips import LEAD_IN_S, LEAD_OUT_S
from teleopd.service.evaluation.disturbances import PUSH_S, Disturbance, disturbances
from teleopd.service.evaluation.trial import Trial
from teleopd.service.policy.library import ResolvedPolicy

Profile = Literal["full", "quick"]
Kind = Literal["nominal", "dropout", "twin", "push", "hard push", "latency", "noise", "gains", "armature", "fall"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WALK, LONG_WALK = "walk", "walk_and_turn"
WALKING_S = (3.4, 6.0), (3.6, 9.2)
"""Times after engaging in which the robot follows steps of these motions, with `AFTER_S` left to the end [s]."""
AFTER_S = 5.0
"""How long a robot is watched after it lost its source or its policy process."""
LATEST_ENGAGE_S = 1.9
"""From the beginning of the stream; it is cut so that `AFTER_S` remain even then."""
FOREVER = 100_000
"""Policy ticks."""
PUSH_AT_S = 4.2
"""Mid-step."""
NOMINAL_S = 30.0
"""At most so much of each clip is played."""
SHOVE_M_S, HARD_SHOVE_M_S = 0.6, 0.9
"""Pushes, as the speed they would give the whole robot."""
FALL_M_S = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
"""From where shoves begin to fell a walking robot to where it is off its feet within two tenths of a second. Set before
anything was measured with it: every run that falls counts, from all sides, whatever its lead."""
FALL_ERRORS = ("latency=80", "friction=0.05", "torso=30", "gains=0.5")
"""More than a policy has to survive: the trip's lead is measured on what falls."""


@dataclass(frozen=True, slots=True)
class Run(Trial):
    """One run of the battery."""

    kind: Kind = "nominal"
    at_s: float = 0.0
    """When the source ('dropout') or the policy process ('twin') is lost, after engaging [s]."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    seeds: int
    losses: int
    sides: int
    perturbed: Sequence[str]
    falls: Sequence[float]


_LATENCIES = tuple(f"latency={ms}" for ms in (0, 10, 20, 30, 40))
SIZES: dict[Profile, _Sizes] = {
    "full": _Sizes(
        2, 25, 8,
        (*_LATENCIES, "noise=1", "noise=2", "gains=0.7", "gains=1.3", "armature=0", "armature=2"), FALL_M_S,
    ),
    "quick": _Sizes(1, 5, 4, ("latency=0", "latency=40", "noise=1", "gains=0.7", "armature=2"), FALL_M_S[1::4]),
}  # fmt: skip


def battery(
    profile: Profile, policy: ResolvedPolicy, robot: str, mass_kg: float, clips: Sequence[str] = (), seed: int = 0
) -> list[Run]:
    """All runs, in the order of the report.

    Args:
        mass_kg: of the robot; pushes are made from it.
        clips: more nominal clips, beside the built-in motions.
        seed: of the first run of each kind; runs that differ in their seed only count up from it.
    """
    sizes, label = SIZES[profile], policy.card.name

    def run(kind: Kind, clip: str, what: Disturbance, number: int = seed, **more: float) -> Run:
        seconds = more.pop("seconds", NOMINAL_S)
        return Run(robot, label, policy, clip, what, number, seconds, kind, **more)

    (calm,) = disturbances(["none"])
    runs = [
        run("nominal", clip, calm, seed + i) for clip in dict.fromkeys((*motion_names, *clips))
        for i in range(sizes.seeds)
    ]  # fmt: skip
    for i, (clip, at_s) in enumerate(instants(sizes.losses)):
        seconds = at_s + AFTER_S + 0.2 + LATEST_ENGAGE_S - LEAD_IN_S - LEAD_OUT_S
        # The source falls silent after whole ticks; the twin takes over wherever the process stops.
        silent = Disturbance(f"dropout@{at_s:.2f}s", dropouts=(round(at_s * policy.card.rate_hz), FOREVER))
        runs.append(run("dropout", clip, silent, seed + i % 5, seconds=seconds, at_s=at_s))
        gone = Disturbance(f"policy lost@{at_s:.2f}s")
        runs.append(run("twin", clip, gone, seed + i % 5, seconds=seconds, at_s=at_s))
    for kind, speed in (("push", SHOVE_M_S), ("hard push", HARD_SHOVE_M_S)):
        runs += [run(kind, WALK, what) for what in shoves(mass_kg, speed, sizes.sides)]  # type: ignore[arg-type]
    for what in disturbances(sizes.perturbed):
        kind = what.name.partition("=")[0]
        runs.append(run(kind, WALK, what))  # type: ignore[arg-type]
    for i, speed in enumerate(sizes.falls):
        runs += [run("fall", WALK, what, seed + i) for what in shoves(mass_kg, speed, sizes.sides)]
    runs += [run("fall", WALK, what) for what in disturbances(FALL_ERRORS)]
    return sorted(runs, key=lambda one: KINDS.index(one.kind))


def instants(count: int) -> list[tuple[str, float]]:
    """Built-in motion and time after engaging [s] of `count` losses, spread over the phases of walking."""
    half = (count + 1) // 2
    first = [(WALK, float(t)) for t in np.linspace(*WALKING_S[0], half)]
    second = [(LONG_WALK, float(t)) for t in np.linspace(*WALKING_S[1], count - half)]
    return first + second


def shoves(mass_kg: float, speed_m_s: float, sides: int, from_deg: float = 0.0) -> list[Disturbance]:
    """Pushes from all around that would bring the robot's whole mass to that speed: F = m v / t."""
    newton = mass_kg * speed_m_s / PUSH_S
    angles = [from_deg + i * 360.0 / sides for i in range(sides)]
    return [
        Disturbance(f"push {speed_m_s:g} m/s@{deg:g}", push_n=newton, push_deg=deg, push_at_s=PUSH_AT_S)
        for deg in angles
    ]  # fmt: skip
