"""The perturbation battery of the fine-tuned policy: what student and teacher survive, by the same code.

Pushes standing and walking, and every example clip on robots that are not the one trained on; each from several
disturbed starts, so that a count means something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.bodies import SUBSTEPS
from teleopd.service.policy.train.channels import RATE_HZ, Clip, N, stand
from teleopd.service.policy.train.references import GAITS, closed_cycle, gait
from teleopd.service.policy.train.suite import COMPASS, Outcome, Trial, play

STARTS = 3
"""Disturbed starts of each trial."""
PUSHES_N = (100.0, 150.0, 200.0)
EXAMPLES = "0807_"
WALK = GAITS[0]
"""Clip 1's forward cycle, at half amplitude: 0.48 m/s."""
WALK_AMPLITUDE = 0.5
WALK_PUSHED_AT_S = 4.0
DROPOUT_TICKS = 25
"""Held, of every 50: half a second in every second shows the last frame."""
ROBOTS: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = (
    *((f"gains x{k}", (("kp", np.full(N, k)),)) for k in (0.7, 0.85, 1.15, 1.3)),
    *((f"armature x{k:.0f}", (("armature", k),)) for k in (0.0, 2.0)),
    ("torso +5 kg", (("torso_kg", 5.0),)),
    ("friction 0.35", (("friction", 0.35),)),
    ("latency 40 ms", (("delay", 2 * SUBSTEPS),)),
)
"""Group -> what differs from the nominal robot."""
DROPOUTS = "dropouts 25/25"


def battery(clips: Sequence[Clip], starts: int = STARTS, seed: int = 0) -> list[Trial]:
    """Every trial; `clips` hold the example clips. The starts of equal `seed` are equal."""
    examples = [clip for clip in clips if clip.name.startswith(EXAMPLES)]
    shaken = [seed * 1000 + start for start in range(starts)]
    return [
        *(trial for newtons in PUSHES_N for trial in pushed(newtons, None, shaken)),
        *(trial for newtons in PUSHES_N for trial in pushed(newtons, walking(clips), shaken)),
        *(play(group, c, changes=changes, shaken=s) for group, changes in ROBOTS for c in examples for s in shaken),
        *(play(DROPOUTS, _interrupted(clip), shaken=s) for clip in examples for s in shaken),
    ]


def pushed(newtons: float, walk: Array | None, shaken: Sequence[int]) -> Iterator[Trial]:
    """Eight directions from ahead (0 deg, towards the front) leftwards, standing or along the track `walk`."""
    track = np.tile(stand(), (round(7 * RATE_HZ), 1)) if walk is None else walk
    group = f"push {newtons:.0f} N, {'standing' if walk is None else 'walking'}"
    at_s = 2.0 if walk is None else WALK_PUSHED_AT_S
    for i in range(COMPASS):
        angle = 2 * np.pi * i / COMPASS
        force = (newtons * float(np.cos(angle)), newtons * float(np.sin(angle)), 0.0)
        for start in shaken:
            yield Trial(group, f"{np.rad2deg(angle):.0f} deg", track, 100, push_w=force, push_at_s=at_s, shaken=start)


def walking(clips: Sequence[Clip]) -> Array:
    """Nine seconds that go from standing over into the forward gait, (450, 35)."""
    channels = next(clip.channels for clip in clips if clip.name == WALK.clip)
    track = gait(closed_cycle(channels, WALK.first, WALK.ticks), round(9 * RATE_HZ), WALK_AMPLITUDE, 1.0, 0.0)
    ease = np.clip((np.arange(len(track)) - 25) / 75.0, 0.0, 1.0)[:, None]
    return np.asarray(stand() + ease * (track - stand()))


def interrupted(track: Array, ticks: int = DROPOUT_TICKS) -> Array:
    """A track of which every other `ticks` ticks show the last frame before."""
    at = np.arange(len(track))
    shown = np.where(at // ticks % 2 == 1, at // ticks * ticks - 1, at)
    return np.asarray(track[shown])


def _interrupted(clip: Clip) -> Clip:
    return Clip(clip.name, interrupted(clip.channels))


def battery_summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Plain values: per group and in total how many stayed up, of how many, and the median key-body error [mm]."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.trial.group, []).append(outcome)
    groups["total"] = list(outcomes)
    return {
        name: {
            "upright": sum(o.fell_at_s is None for o in members),
            "of": len(members),
            "key_body_mm": round(float(np.median([o.key_body_mm for o in members])), 1),
        }
        for name, members in groups.items()
    }


def battery_markdown(by_actor: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of several actors side by side."""
    actors = list(by_actor)
    lines = [
        "| battery (upright of all, median key-body error) | " + " | ".join(actors) + " |",
        "|---" * (len(actors) + 1) + "|",
    ]
    for group in by_actor[actors[0]]:
        cells = [by_actor[actor][group] for actor in actors]
        shown = (f"{c['upright']}/{c['of']}, {c['key_body_mm']} mm" for c in cells)
        lines.append(f"| {group} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
