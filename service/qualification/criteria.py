"""What counts as qualified: every line with its limit and where the limit comes from, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec


class Criterion(NamedTuple):
    """One line of the table."""

    name: str
    """Key of the figure it judges."""
    text: str
    direction: Literal["at least", "at most"]
    limit: float
    unit: str
    provenance: str


_SHARE, _DESIGN = "of the runs", "design: what safety promises whatever the policy"
CRITERIA: tuple[Criterion, ...] = (
    Criterion("nominal_upright", "nominal clips upright and followed to their end", "at least", 1.0, _SHARE,
              "ours: what a policy cannot do undisturbed it does not do on hardware"),
    Criterion("false_trips", "tilt trips on nominal clips", "at most", 0.0, "runs",
              "design; 35 deg for 60 ms never tripped on 7 good runs"),
    Criterion("nominal_returns", "nominal runs that any cause ended early", "at most", 0.0, "runs", _DESIGN),
    Criterion("gate_unsound", "ticks with targets not finite, gains above the card's, or a refused command",
              "at most", 0.0, "ticks of 2 ms", _DESIGN),
    Criterion("gate_changed", "nominal ticks in which the gate changed a target", "at most", 0.5, "of the ticks",
              "33 % of the ticks of a public policy aim outside the joint range"),
    Criterion("gate_gains_scaled", "nominal ticks in which the gate lowered gains", "at most", 0.01, "of the ticks",
              "unbounded torque passed the limit in 1.0 % of the samples of a public policy"),
    Criterion("dropout_upright", "upright 5 s after the source was lost mid-walk", "at least", 1.0, _SHARE,
              "design; 25 of 25 of a public policy"),
    Criterion("dropout_drift", "largest drift in these 5 s", "at most", 0.5, "m", "design; largest of 12: 0.44"),
    Criterion("dropout_hold", "latest HOLD after the last good frame", "at most", 100.0, "ms", "design"),
    Criterion("dropout_return", "latest RETURN after the last good frame", "at most", 450.0, "ms", "design"),
    Criterion("twin_upright", "upright 5 s after the policy process was lost mid-walk", "at least", 1.0, _SHARE,
              "design: the warm twin takes over"),
    Criterion("twin_return", "latest RETURN after the policy process was lost", "at most", 100.0, "ms",
              "the twin takes over after 80 ms; without one the robot is damped after 100"),
    Criterion("push_upright", "upright after pushes of 0.6 m/s from all sides", "at least", 1.0, _SHARE,
              "ours: somebody bumps into the robot"),
    Criterion("hard_push_upright", "upright after pushes of 0.9 m/s from all sides", "at least", 0.75, _SHARE,
              "ours: a shove; 150 N for 0.2 s on a G1"),
    Criterion("latency_upright", "upright with 0 to 40 ms from command to torque", "at least", 1.0, _SHARE,
              "a paper reports 18 to 30 ms; one third more"),
    Criterion("noise_upright", "upright with sensor noise", "at least", 1.0, _SHARE,
              "of the size that policies are trained with, and twice that"),
    Criterion("gains_upright", "upright with gains 30 % off", "at least", 1.0, _SHARE, "ours: motors differ"),
    Criterion("armature_upright", "upright with the rotor inertia 0 and doubled", "at least", 1.0, _SHARE,
              "ours: models differ in it, down to none"),
    Criterion("tilt_lead", "median time from the tilt trip to the fall", "at least", 0.15, "s",
              "design; 0.18 s on 13 falls"),
)  # fmt: skip


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One criterion, judged."""

    name: str
    measured: float | None
    """None: nothing could be measured, which is no pass."""
    direction: str
    limit: float
    unit: str
    passed: bool
    count: str = ""
    """What it was measured on: '25/25', '13 falls'."""

    def sentence(self) -> str:
        """What was found and what was wanted."""
        found = "not measured" if self.measured is None else f"{self.measured:.4g}"
        return f"{self.name} is {found}, wanted {self.direction} {self.limit:g} {self.unit}"


def judge(figures: Mapping[str, float | None], counts: Mapping[str, str] | None = None) -> list[Line]:
    """Every criterion against its figure; one that is missing or no number does not pass."""
    return [_judged(one, figures.get(one.name), (counts or {}).get(one.name, "")) for one in CRITERIA]


def _judged(one: Criterion, measured: float | None, count: str) -> Line:
    if measured is None:
        passed = False
    else:
        passed = measured >= one.limit if one.direction == "at least" else measured <= one.limit
    return Line(one.name, measured, one.direction, one.limit, one.unit, passed, count)


def criteria_markdown() -> str:
    """The table for the documentation."""
    lines = ["| line | what is judged | passes at | from |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.text} | {one.direction} {one.limit:g} {one.unit} | {one.provenance} |"
        for one in CRITERIA
    ]
    return "\n".join(lines) + "\n"
