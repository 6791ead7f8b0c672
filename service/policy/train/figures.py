"""The battery's outcomes as numbers and as the tables of the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teleopd.service.policy.train.suite import Outcome, commanded


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Plain values for JSON: per group survivals and median key-body error, then what is judged differently."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.trial.group, []).append(outcome)
    found: dict[str, Any] = {
        name: {
            "upright": sum(o.fell_at_s is None for o in members),
            "of": len(members),
            "key_body_mm": round(float(np.median([o.key_body_mm for o in members])), 1),
            "fell": [f"{o.trial.name} at {o.fell_at_s:.1f} s" for o in members if o.fell_at_s is not None],
        }
        for name, members in groups.items()
    }
    for outcome in groups.get("stand 60 s", []):
        found["stand 60 s"]["drift_mm"] = round(1e3 * outcome.drift_m)
    for outcome in groups.get("squat", []):
        found["squat"]["height_m"] = round(outcome.height_m, 3)
    if "gait" in groups:
        found["gait"]["commands"] = [
            {
                "name": o.trial.name,
                "commanded": [round(v, 2) for v in commanded(o.trial)],
                "obtained": [round(v, 2) for v in o.velocity],
            }
            for o in groups["gait"]
        ]
    for name in (group for group in groups if group.startswith("held out")):
        found[name]["clips"] = {o.trial.name: [o.fell_at_s, round(o.key_body_mm, 1)] for o in groups[name]}
    return found


def markdown(by_actor: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of several actors side by side; the first one's groups and gaits decide the rows."""
    actors = list(by_actor)
    first = by_actor[actors[0]]
    lines = [
        "| trials (upright of all, median key-body error) | " + " | ".join(actors) + " |",
        "|---" * (len(actors) + 1) + "|",
    ]
    for group in first:
        cells = []
        for actor in actors:
            of = by_actor[actor][group]
            extra = f", drift {of['drift_mm']} mm" if "drift_mm" in of else ""
            extra += f", pelvis at {of['height_m']} m" if "height_m" in of else ""
            cells.append(f"{of['upright']}/{of['of']}, {of['key_body_mm']} mm{extra}")
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    if "gait" in first:
        lines += ["", "| gait, commanded (forward, left m/s, turn rad/s) | " + " | ".join(actors) + " |"]
        lines.append("|---" * (len(actors) + 1) + "|")
        for i, command in enumerate(first["gait"]["commands"]):
            cells = [_triple(by_actor[actor]["gait"]["commands"][i]["obtained"]) for actor in actors]
            lines.append(f"| {command['name']}: {_triple(command['commanded'])} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _triple(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)
