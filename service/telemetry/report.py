"""The run report: what a run was, how punctual, how close, how safe. Keys are stable and versioned by `schema`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.health import Content
from teleopd.robots.model import RobotModel
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.streams import LOOKAHEAD, LOOPS, Bus, LoopStatus, PolicyStatus, SourceStatus
from teleopd.service.telemetry.latency import Samples, StageLatencies, Summary
from teleopd.service.telemetry.link_report import LinkMeter
from teleopd.service.telemetry.totals import Total
from teleopd.service.telemetry.tracking import TrackingMeter

SCHEMA = "teleopd.run_report/1"
FRAMES = ("received", "used", "dropped", "rejected", "late")
FALL_TILT_RAD = float(np.radians(60.0))
"""A pelvis tilted further is a fall; the policies' own recovery stays below 45 degrees."""
PUBLISH_NS = 500_000_000
"""How often the latencies of each stage are published to other processes."""
MAX_MODES = 10_000
"""Mode changes kept; a run that flickers more is cut, not grown."""
ON_ITS_FEET = frozenset({Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN})
"""Modes in which the policy balances, so that going down is a fall."""
WANTED_DAMPING = frozenset({-1, int(Cause.OPERATOR_STOP), int(Cause.OPERATOR_DAMP), int(Cause.SHUTDOWN)})
"""Causes of DAMPED after which going down is what was asked for."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What ran."""

    robot: str
    source: str
    policy: str | None
    config_sha256: str
    gate_steps: tuple[str, ...] = ()
    """Names of the gate's steps, in the order of `SafetyStatus.gate_counts`."""


class _Change(NamedTuple):
    t_ns: int
    mode: int
    cause: int


class RunCollector:
    """Accumulates a run in bounded memory. Owned by one thread of the service's parent."""

    def __init__(self, model: RobotModel, identity: RunIdentity, start_ns: int) -> None:
        self._identity = identity
        self._start_ns = start_ns
        self.latencies = StageLatencies()
        self._tracking = TrackingMeter(model)
        self._changes: list[_Change] = []
        self._policy: PolicyStatus | None = None
        self._frames = Total(len(FRAMES))
        self._source_hz = Samples()
        self._source_age, self._source_jitter = Samples(), Samples()
        self._source_lost = Total(3)
        self._source_content: dict[int, int] = {}
        self._source_worst = (0.0, 0.0)
        self._causes = Total(32)
        self._gate = Total(8)
        self._link = LinkMeter()
        self._loops: dict[str, tuple[LoopStatus, LoopStatus]] = {}
        self._tilted: list[_Change] = []
        self._fell_at_ns: int | None = None
        self._seen: dict[str, int] = {}
        self._published_ns = 0
        self.lost_rows = 0
        """Log rows lost because the rings were not drained in time; the figures are of the others."""

    def collect(self, bus: Bus) -> dict[str, npt.NDArray[Any]]:
        """Drain every log ring and read every status slot; returns the drained rows by ring."""
        policy = bus.slot("policy_status").read()
        if policy is not None:
            self.note_policy(policy)
        drained = {name: bus.ring(name).drain() for name in ("mode_log", "reference_log", "tick_log", "command_log")}
        self.lost_rows = sum(bus.ring(name).dropped for name in drained)
        self.add_modes(drained["mode_log"])
        self.add_references(drained["reference_log"])
        self.add_ticks(drained["tick_log"])
        self.add_commands(drained["command_log"])
        source, safety = bus.slot("source_status").read(), bus.slot("safety_status").read()
        if source is not None:
            self.note_source(source)
        if safety is not None:
            self.note_safety(safety)
        self._link.collect(bus)
        self._publish_latencies(bus)
        for name in LOOPS:
            loop = bus.slot(f"loop_{name}").read()
            if loop is not None:
                self.note_loop(name, loop)
        return drained

    def _publish_latencies(self, bus: Bus) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._published_ns >= PUBLISH_NS:
            self._published_ns = now_ns
            bus.slot("latency_status").write(self.latencies.status(now_ns))

    def add_references(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `ReferenceLog`."""
        self.latencies.add_references(rows)

    def add_commands(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `CommandLog`."""
        self.latencies.add_commands(rows)

    def add_modes(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `ModeLog`; a row that only adds a cause is counted by `note_safety` instead."""
        for row in rows:
            change = _Change(int(row["t_ns"]), int(row["mode"]), int(row["cause"]))
            if len(self._changes) < MAX_MODES and (not self._changes or self._changes[-1].mode != change.mode):
                self._changes.append(change)

    def add_ticks(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `TickLog`."""
        if len(rows) == 0:
            return
        self.latencies.add_ticks(rows)
        self._tracking.add_ticks(rows)
        quat = rows["quat_w"]
        up = 1.0 - 2.0 * (quat[:, 1] ** 2 + quat[:, 2] ** 2)
        fallen = (up < np.cos(FALL_TILT_RAD)) & (rows["mode"] >= Mode.ARMED)
        for mode in np.unique(rows["mode"][fallen]):
            if not any(tilted.mode == mode for tilted in self._tilted):
                first = rows[np.flatnonzero(fallen & (rows["mode"] == mode))[0]]
                self._tilted.append(_Change(int(first["t_ns"]), int(mode), -1))

    def note_source(self, status: SourceStatus) -> None:
        """Newest `SourceStatus`."""
        self._frames.update(np.array([getattr(status, name) for name in FRAMES]), only_first=True)
        if not self._is_new("source", status.t_ns):
            return
        self._source_lost.update(np.array([status.received, status.lost, status.resets]), only_first=True)
        if status.state != 1:
            return
        if status.rate_hz > 0.0:
            self._source_hz.add(np.array([status.rate_hz]))
        if status.content:
            self._source_age.add(np.array([status.age_ms]))
            self._source_jitter.add(np.array([status.jitter_ms]))
            self._source_content[status.content] = self._source_content.get(status.content, 0) + 1
            delay_ms, loss = self._source_worst
            self._source_worst = max(delay_ms, status.delay_p99_ms), max(loss, status.loss)

    def note_policy(self, status: PolicyStatus) -> None:
        """Newest `PolicyStatus`: what the lookahead delays counts in every latency from here on."""
        self._policy = status
        self.latencies.delay_ms = status.delay_ms

    def note_safety(self, status: SafetyStatus) -> None:
        """Newest `SafetyStatus`."""
        self._causes.update(status.cause_counts)
        self._gate.update(status.gate_counts)

    def note_loop(self, name: str, status: LoopStatus) -> None:
        """Newest `LoopStatus` of a loop."""
        first, newest = self._loops.get(name, (status, status))
        if status.ticks < newest.ticks:
            first = status  # the process restarted
        self._loops[name] = (first, status)

    def note_fall(self, fell_at_ns: int) -> None:
        """The robot's own ground truth says it lies on the floor; the first time it was meant to stand counts."""
        if self._fell_at_ns is None:
            change = self._change_at(fell_at_ns)
            if change is None or self._meant_to_stand(fell_at_ns, change.mode):
                self._fell_at_ns = fell_at_ns

    def _is_new(self, name: str, t_ns: int) -> bool:
        new = self._seen.get(name) != t_ns
        self._seen[name] = t_ns
        return new

    def fell_at_ns(self) -> int | None:
        """First fall while the robot was meant to stand; None when there was none."""
        times = [t_ns for t_ns, mode, _ in self._tilted if self._meant_to_stand(t_ns, mode)]
        if self._fell_at_ns is not None:
            times.append(self._fell_at_ns)
        return min(times, default=None)

    def _change_at(self, t_ns: int) -> _Change | None:
        earlier = [change for change in self._changes if change.t_ns <= t_ns]
        return earlier[-1] if earlier else None

    def _meant_to_stand(self, t_ns: int, mode: int) -> bool:
        if mode == Mode.DAMPED:
            change = self._change_at(t_ns)
            return change is None or change.cause not in WANTED_DAMPING
        return mode in ON_ITS_FEET

    def report(self, now_ns: int, recording: str | None = None) -> dict[str, Any]:
        """The run report as plain values; times in seconds since the start of the run."""
        identity, tracking, fell = self._identity, self._tracking.result(), self.fell_at_ns()
        source_hz = self._source_hz.summary().p50
        return {
            "schema": SCHEMA,
            "robot": identity.robot,
            "source": identity.source,
            "policy": identity.policy,
            "config_sha256": identity.config_sha256,
            "duration_s": round((now_ns - self._start_ns) / 1e9, 3),
            "upright": fell is None,
            "fell_at_s": None if fell is None else self._seconds(fell),
            "frames": {name: self._frames[i] for i, name in enumerate(FRAMES)},
            "source_hz": 0.0 if source_hz is None else round(source_hz, 2),
            "source_health": self._source_health(),
            "latency_ms": {stage: _latency(summary) for stage, summary in self.latencies.summaries().items()},
            "lookahead": self._lookahead(),
            "force_limit_n": self._force_limit_n(),
            "tracking": {
                "joint_rmse_rad": _rounded(tracking.joint_rmse_rad, 5),
                "key_body_error_mm": {
                    "median": _rounded(tracking.key_body_median_mm, 2),
                    "p95": _rounded(tracking.key_body_p95_mm, 2),
                },
                "root_drift_m": _rounded(tracking.root_drift_m, 4),
                "yaw_drift_deg": _rounded(tracking.yaw_drift_deg, 3),
            },
            "modes": [[self._seconds(c.t_ns), Mode(c.mode).name, cause_name(c.cause)] for c in self._changes],
            "interventions": self._interventions(),
            "link": self._link.result(),
            "loop": {name: _loop(*statuses) for name, statuses in self._loops.items()},
            "lost_rows": self.lost_rows,
            "recording": recording,
        }

    def _lookahead(self) -> dict[str, Any] | None:
        """How a policy that looks ahead was served; None where none does."""
        policy = self._policy
        if policy is None or not policy.horizon_ms:
            return None
        return {"way": LOOKAHEAD[policy.way], "horizon_ms": policy.horizon_ms, "delay_ms": policy.delay_ms}

    def _force_limit_n(self) -> float | None:
        """The limit in force at the end; None where nothing limits."""
        policy = self._policy
        return None if policy is None or np.isnan(policy.force_limit_n) else round(policy.force_limit_n, 2)

    def _source_health(self) -> dict[str, Any]:
        """Of the statuses while the source streamed, ten a second; `content`: kind -> share of them."""
        lost, used = self._source_lost[1], self._frames[FRAMES.index("used")]
        seen = sum(self._source_content.values())
        return {
            "age_ms": _latency(self._source_age.summary()),
            "jitter_ms": _latency(self._source_jitter.summary()),
            "delay_p99_ms": round(self._source_worst[0], 3),
            "lost": lost,
            "loss": round(lost / (lost + used), 5) if lost > 0 else 0.0,
            "worst_loss": round(self._source_worst[1], 5),
            "resets": self._source_lost[2],
            "content": {Content(k).name.lower(): round(n / seen, 4) for k, n in sorted(self._source_content.items())},
        }

    def _seconds(self, t_ns: int) -> float:
        return round((t_ns - self._start_ns) / 1e9, 3)

    def _interventions(self) -> dict[str, int]:
        """Causes and gate steps that occurred; a gate step counts ticks."""
        counts = {cause.name: self._causes[cause] for cause in Cause}
        for i in range(8):
            names = self._identity.gate_steps
            counts[f"GATE_{names[i].upper()}" if i < len(names) else f"GATE_STEP_{i}"] = self._gate[i]
        return {name: count for name, count in counts.items() if count}


def cause_name(cause: int) -> str | None:
    """Name of a cause; None for an operator's act or normal progress (-1)."""
    return None if cause < 0 else Cause(cause).name


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _latency(summary: Summary) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {
        name: _rounded(getattr(summary, name), 4) for name in ("p50", "p90", "p99", "max")
    }
    return {**found, "n": summary.n}


def _loop(first: LoopStatus, newest: LoopStatus) -> dict[str, Any]:
    elapsed_s = (newest.t_ns - first.t_ns) / 1e9
    rate_hz = (newest.ticks - first.ticks) / elapsed_s if elapsed_s >= 1.0 else newest.rate_hz
    return {
        "rate_hz": round(rate_hz, 2),
        "late_us": {
            "p50": round(newest.late_p50_us, 1), "p99": round(newest.late_p99_us, 1),
            "max": round(newest.late_max_us, 1),
        },
        "missed": newest.missed,
        "cpu_percent": round(newest.cpu_percent, 1),
    }  # fmt: skip
