"""What the page's own part shows, as one JSON object: figures for the plots, limbs, the gate, cameras. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.model import RobotModel
from teleopd.safety.gate import GATE_STEPS
from teleopd.service.capture.records import NO_PICTURE, CameraStatus, as_text
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.latency_status import STAGES, LatencyStatus
from teleopd.service.streams import HumanView, PolicyStatus
from teleopd.service.telemetry.latency import Summary

SCHEMA: Final = 1
"""Of the object; the page and the process come from the same installation."""
LIMBS: Final[Mapping[str, tuple[str, ...]]] = {
    "head": ("Neck", "Head"), "trunk": ("Pelvis", "L5", "L3", "T12", "T8"),
    "left arm": ("LeftShoulder", "LeftUpperArm", "LeftForeArm", "LeftHand"),
    "right arm": ("RightShoulder", "RightUpperArm", "RightForeArm", "RightHand"),
    "left leg": ("LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToe"),
    "right leg": ("RightUpperLeg", "RightLowerLeg", "RightFoot", "RightToe"),
}  # fmt: skip
_ROWS = {limb: np.array([MVN_SEGMENTS.index(body) for body in bodies]) for limb, bodies in LIMBS.items()}
WORST_JOINTS: Final = 3
STALLED_S: Final = 1.5
"""Without a picture for so long a tile says so."""


def figures(
    robot: RobotModel, snapshot: Snapshot, latency: Mapping[str, float | None],
    cameras: Mapping[int, tuple[CameraStatus, int]],
) -> dict[str, Any]:  # fmt: skip
    """One moment.

    Args:
        robot: whose joints are named.
        snapshot: what the slots hold.
        latency: newest latency of each stage [ms], from `StagePlots`.
        cameras: number -> what it says, and the time of its newest picture [ns], 0 before the first.
    """
    source = snapshot.source
    return {
        "schema": SCHEMA, "t_s": round(snapshot.now_ns / 1e9, 3),
        "mode": None if snapshot.mode is None else snapshot.mode.name,
        "latency_ms": latency,
        "source": {
            "state": snapshot.source_state.name, "hz": None if source is None else _number(source.rate_hz),
            "age_ms": None if snapshot.source_age_s is None else _number(1e3 * snapshot.source_age_s),
        },
        "late_ms": {
            name: _number(loop.late_p99_us / 1e3) for name, loop in snapshot.loops.items() if name != "source"
        },
        "limbs": limbs(snapshot.human), "gate": gate(robot, snapshot),
        "force_limit_n": force_limit(snapshot.policy),
        "cameras": [camera(number, *seen, snapshot.now_ns) for number, seen in cameras.items()],
    }  # fmt: skip


def limbs(human: HumanView | None) -> dict[str, float]:
    """Share of each limb's bodies that the source tracks; empty before the first frame."""
    if human is None or human.bodies < len(MVN_SEGMENTS):
        return {}
    return {limb: round(float(human.valid[rows].mean()), 2) for limb, rows in _ROWS.items()}


def gate(robot: RobotModel, snapshot: Snapshot) -> dict[str, Any]:
    """Ticks in which each step of the gate changed a command, and the joints it changed most."""
    safety = snapshot.safety
    if safety is None:
        return {"steps": {}, "joints": {}}
    steps = {name: int(n) for name, n in zip(GATE_STEPS, safety.gate_counts, strict=False) if n}
    counts = safety.joint_interventions
    worst = [int(i) for i in np.argsort(-counts.astype(np.int64))[:WORST_JOINTS] if counts[i]]
    return {"steps": steps, "joints": {robot.joint_names[i].removesuffix("_joint"): int(counts[i]) for i in worst}}


def force_limit(policy: PolicyStatus | None) -> float | None:
    """The limit in force [N]; None where nothing limits."""
    return None if policy is None else _number(policy.force_limit_n)


def camera(number: int, seen: CameraStatus, newest_ns: int, now_ns: int) -> dict[str, Any]:
    """One tile: `seq` names its picture, 0 for none; `words` say what is wrong, '' where nothing is."""
    age_s = (now_ns - newest_ns) / 1e9 if newest_ns else None
    words = as_text(seen.sentence) if seen.state == NO_PICTURE else ""
    if not words and age_s is not None and age_s > STALLED_S:
        words = f"no picture for {age_s:.0f} s"
    elif words and age_s is not None:
        words = f"no picture for {age_s:.0f} s: {words}"
    return {
        "number": number, "name": as_text(seen.name), "hz": round(seen.hz, 1), "seq": newest_ns // 1000,
        "age_ms": None if age_s is None else round(1e3 * age_s), "words": words or ("" if newest_ns else "no picture"),
    }  # fmt: skip


class StagePlots:
    """The latency of each stage as it is now: the mean of the samples since the last publication."""

    def __init__(self) -> None:
        self._before: LatencyStatus | None = None
        self._now: dict[str, float | None] = dict.fromkeys(STAGES)

    def see(self, status: LatencyStatus | None) -> dict[str, float | None]:
        """Take what the service's parent published; each stage [ms], None where it had no sample lately."""
        if status is not None and (self._before is None or status.t_ns > self._before.t_ns):
            count, total = status.counts.sum(axis=1), status.sum_ms
            if self._before is not None:
                count, total = count - self._before.counts.sum(axis=1), total - self._before.sum_ms
            self._now = {
                stage: _number(total[i] / count[i]) if count[i] > 0 else None for i, stage in enumerate(STAGES)
            }
            self._before = status
        return self._now


def recent(status: LatencyStatus | None) -> dict[str, Summary]:
    """The newest samples of each stage, for the panel."""
    if status is None:
        return {}
    found = {}
    for stage, row, counts in zip(STAGES, status.recent_ms.tolist(), status.counts, strict=True):
        if not math.isnan(row[0]):
            found[stage] = Summary(row[0], row[1], row[2], row[3], int(counts.sum()))
    return found


def _number(value: float) -> float | None:
    """Three decimals; JSON knows no NaN."""
    return round(float(value), 3) if math.isfinite(value) else None
