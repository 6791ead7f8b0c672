"""Rows of the battery's runs -> the figures that are judged. A run that could not take place counts as a fall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
UNSOUND = ("not_finite", "whitelist", "refused")
"""Steps of the gate that a sound policy never needs."""
UPRIGHT = {
    "nominal_upright": "nominal", "push_upright": "push", "hard_push_upright": "hard push",
    "latency_upright": "latency", "noise_upright": "noise", "gains_upright": "gains", "armature_upright": "armature",
}  # fmt: skip
"""Figure -> kind of run."""
STOOD = {"dropout_upright": "dropout", "twin_upright": "twin"}


def figures(rows: Sequence[Row]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Figures by the names of the criteria (None: nothing to measure), and what each was measured on."""
    by_kind: dict[str, list[Row]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    found: dict[str, float | None] = {}
    counts: dict[str, str] = {}
    for name, kind in UPRIGHT.items():
        found[name], counts[name] = _share([_upright(row) for row in by_kind.get(kind, ())])
    for name, kind in STOOD.items():
        found[name], counts[name] = _share([_stood(row) for row in by_kind.get(kind, ())])
    nominal, dropouts, twins, falls = (_done(by_kind, kind) for kind in ("nominal", "dropout", "twin", "fall"))
    if nominal:
        found["false_trips"] = float(sum(row["trip"]["tilt"] for row in nominal))
        found["nominal_returns"] = float(sum(_interrupted(row) for row in nominal))
    found |= _gate(nominal, rows)
    found["dropout_drift"] = _worst(row["loss"]["drift_m"] for row in dropouts)
    found["dropout_hold"] = _worst(row["loss"]["hold_ms"] for row in dropouts)
    found["dropout_return"] = _worst(row["loss"]["return_ms"] for row in dropouts)
    found["twin_return"] = _worst(row["loss"]["return_ms"] for row in twins)
    leads = [row["trip"]["lead_s"] for row in falls if row["trip"]["lead_s"] is not None]
    found["tilt_lead"] = float(np.median(leads)) if leads else None
    counts["tilt_lead"] = f"{len(leads)} falls"
    return found, counts


def _gate(nominal: Sequence[Row], rows: Sequence[Row]) -> dict[str, float | None]:
    ticks = sum(row["gate"]["ticks"] for row in nominal)
    if not ticks:
        return {}
    told = [row["gate"] for row in rows if "error" not in row]
    return {
        "gate_unsound": float(sum(gate["steps"][step] for gate in told for step in UNSOUND)),
        "gate_changed": sum(row["gate"]["changed"] for row in nominal) / ticks,
        "gate_gains_scaled": sum(row["gate"]["steps"]["gain_scale"] for row in nominal) / ticks,
        "gate_largest_rad": max(row["gate"]["largest_rad"] for row in nominal),
        **{f"gate_{step}": sum(row["gate"]["steps"][step] for row in nominal) / ticks for step in STEPS},
    }  # fmt: skip


STEPS = ("box", "rate", "torque")
"""Shares of the nominal ticks that are told without being judged."""


def _done(by_kind: dict[str, list[Row]], kind: str) -> list[Row]:
    return [row for row in by_kind.get(kind, ()) if "error" not in row]


def _upright(row: Row) -> bool:
    return "error" not in row and bool(row["engaged"]) and bool(row["upright"])


def _stood(row: Row) -> bool:
    return "error" not in row and bool(row["engaged"]) and bool(row["loss"]["stood"])


def _interrupted(row: Row) -> bool:
    return any(mode in ("RETURN", "DAMPED") for _, mode, _ in row["modes"])


def _share(passed: Sequence[bool]) -> tuple[float | None, str]:
    return (sum(passed) / len(passed) if passed else None), f"{sum(passed)}/{len(passed)}"


def _worst(values: Iterable[float | None]) -> float | None:
    """The largest; None when one of them is missing, for that one was worse."""
    found = list(values)
    known = [value for value in found if value is not None]
    return max(known) if known and len(known) == len(found) else None
