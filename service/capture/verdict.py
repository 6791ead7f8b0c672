"""Is an episode worth training on? keep, maybe or drop, with reasons, from figures gathered while it was recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, RobotModel
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Cause, Mode
from teleopd.service.capture.body_figures import SLIP_EVERY_S, TOUCH_EVERY_S, SlipMeter, TouchMeter

Times = npt.NDArray[np.int64]
KEEP, MAYBE, DROP = "keep", "maybe", "drop"
RANK = (KEEP, MAYBE, DROP)
FALL_TILT_RAD = float(np.radians(60.0))
"""As in the run report."""
ON_ITS_FEET = frozenset({Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN})
WANTED = frozenset({-1, int(Cause.OPERATOR_STOP), int(Cause.OPERATOR_DAMP), int(Cause.SHUTDOWN),
                    int(Cause.DEADMAN_RELEASED)})  # fmt: skip
"""Causes behind which an operator stands."""
BOUNDS = tuple(GATE_STEPS.index(step) for step in ("not_finite", "rate", "torque", "gain_scale", "refused"))
"""Steps of the gate that change the motion. Not the joint box: policies aim beyond it to push (`JointTargets.q`)."""
AT_LIMIT_RAD = 0.02
"""A joint this near to its limit is at it."""


class Threshold(NamedTuple):
    """One line of the table: above `maybe` the episode is looked at, above `drop` it is not used."""

    what: str
    """With {} for the figure."""
    maybe: float
    drop: float
    why: str


THRESHOLDS: Mapping[str, Threshold] = {
    "lost_share": Threshold(
        "{:.2%} of the samples were lost", 0.0, 0.01,
        "one lost sample is a hole of 2 ms; one in a hundred tears motions apart",
    ),
    "not_finite": Threshold("{:.0f} samples hold numbers that are none", 0.0, 0.0, "a network trains on each of them"),
    "falls": Threshold("the robot fell {:.0f} times", 0.0, 0.0, "what a robot does while it falls is no demonstration"),
    "damped": Threshold("a fault damped the motors {:.0f} times", 0.0, 0.0, "the end is not the operator's"),
    "held": Threshold(
        "{:.0f} times the robot stopped following (source or policy)", 0.0, 20.0,
        "each is a pause that the operator did not make",
    ),
    "gate_share": Threshold(
        "the safety gate changed {:.1%} of the commands", 0.10, 0.50,
        "the robot did something else than the policy wanted; some is normal in fast motions",
    ),
    "at_limit_share": Threshold(
        "a joint stood at its limit {:.1%} of the time", 0.10, 0.50, "the person's pose was out of the robot's reach",
    ),
    "root_spikes": Threshold(
        "the reference jumped {:.0f} times (faster than 4 m/s)", 0.0, 10.0, "nobody walks so fast: tracking was lost",
    ),
    "touching_share": Threshold(
        "parts of the robot touched each other {:.1%} of the time", 0.02, 0.25,
        "a hand on the hip is a demonstration of pushing oneself",
    ),
    "slips": Threshold(
        "a foot slid on the floor {:.0f} times", 2.0, 20.0, "a robot that slides is not where its legs say it is",
    ),
    "gap_s": Threshold(
        "robot or gate were silent for {:.2f} s", 0.1, 0.5, "longer than this no export bridges",
    ),
    "time_back": Threshold(
        "{:.0f} samples have a time before that of the sample before", 0.0, 0.0, "what came first is not known",
    ),
    "clock_step_s": Threshold(
        "the wall clock was set by {:.1f} s meanwhile", 0.1, math.inf,
        "times between samples are right, those of other computers' files no longer fit",
    ),
    "no_picture_s": Threshold(
        "a camera showed nothing for {:.1f} s", 0.5, 2.0, "what is learned from pictures needs them: half a second is "
        "a reach, and longer than any camera pauses between two",
    ),
    "tracking_rmse_rad": Threshold(
        "the joints were {:.2f} rad off the reference (RMS)", 0.30, 0.60, "the policy could not do what was shown",
    ),
}  # fmt: skip
SPIKE_M_S = 4.0
SHORT_S = 1.0
"""Less time of following than this is no demonstration."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an episode."""

    verdict: str
    reasons: tuple[str, ...]
    figures: Mapping[str, float] = field(default_factory=dict)


class VerdictMeter:
    """Gathers the figures of one episode in bounded memory. Feed it the batches as they are written."""

    def __init__(self, model: RobotModel) -> None:
        self._touches, self._slips = TouchMeter(model), SlipMeter(model)
        self._touched_ns = self._stood_ns = 0
        self._newest_ns: dict[str, int] = {}
        self._time_back = 0
        self._gap_ns = self._wall_step_ns = 0
        self._low, self._high = model.limits.q_lower + AT_LIMIT_RAD, model.limits.q_upper - AT_LIMIT_RAD
        self._samples = 0
        self._not_finite = 0
        self._mode = -1
        self._fallen = False
        self._falls = self._damped = self._held = 0
        self._states = self._at_limit = 0
        self._ticks = self._gated = 0
        self._counts: Array | None = None
        self._root: tuple[int, Array] | None = None
        self._spikes = 0
        self._error, self._errors = 0.0, 0
        self._last_q: Array | None = None
        self._active_ns = 0
        self._last_command_ns = 0
        self._no_picture_ns: dict[str, int] = {}

    def mode(self, mode: int, cause: int) -> None:
        """A change of mode and its cause, -1 for an operator's act; call it in order, before the samples after it."""
        self._damped += mode == Mode.DAMPED and self._mode in ON_ITS_FEET and cause not in WANTED
        self._held += mode in (Mode.HOLD, Mode.RETURN) and self._mode == Mode.ACTIVE and cause not in WANTED
        self._mode = mode

    def no_picture(self, camera: str, ns: int) -> None:
        """A camera was silent for so long [ns]: between two pictures, or before the first and behind the last."""
        self._no_picture_ns[camera] = max(self._no_picture_ns.get(camera, 0), ns)

    def add(self, stream: str, t_ns: Times, columns: Mapping[str, Array]) -> None:
        """A batch of a stream: times (m,) and columns (m, k), named as in `Episode`."""
        self._samples += len(t_ns)
        self._add_times(stream, t_ns)
        with np.errstate(invalid="ignore", over="ignore"):
            sound = all(math.isfinite(values.sum()) for values in columns.values())
        if not sound:
            bad = [~np.isfinite(values).all(axis=1) for values in columns.values()]
            self._not_finite += int(np.any(bad, axis=0).sum())
        if stream == "state":
            self._add_state(columns)
            self._add_body(t_ns, columns)
        elif stream == "command":
            self._add_command(t_ns, columns)
        elif stream == "reference":
            self._add_reference(t_ns, columns)
        elif stream == "shaped_reference" and self._mode == Mode.ACTIVE and self._last_q is not None:
            error = columns["joint_pos"] - self._last_q
            self._error += float(np.square(error).sum())
            self._errors += error.size

    def wall_step(self, ns: int) -> None:
        """By how much the wall clock was set since the episode began [ns]."""
        self._wall_step_ns = max(self._wall_step_ns, abs(ns))

    def _add_times(self, stream: str, t_ns: Times) -> None:
        before = self._newest_ns.get(stream)
        steps = np.diff(t_ns) if before is None else np.diff(t_ns, prepend=before)
        self._time_back += int((steps < 0).sum())
        if stream in ("state", "command") and len(steps) and self._mode in ON_ITS_FEET:
            self._gap_ns = max(self._gap_ns, int(steps.max()))
        self._newest_ns[stream] = int(t_ns[-1])

    def _add_body(self, t_ns: Times, columns: Mapping[str, Array]) -> None:
        """Touching and sliding, at a few instants of the batch, while the robot stands on its own."""
        if self._mode not in ON_ITS_FEET:
            self._slips.lost()
            return
        for at, q, quat in zip(t_ns.tolist(), columns["joint_pos"], columns["imu_quat_w"], strict=True):
            if not SLIP_EVERY_S * 1e9 <= at - self._stood_ns:
                continue
            if at - self._stood_ns > 3 * SLIP_EVERY_S * 1e9:
                self._slips.lost()
            self._stood_ns = at
            if not (np.isfinite(q).all() and np.isfinite(quat).all()):
                continue
            self._slips.look(q, quat)
            if at - self._touched_ns >= TOUCH_EVERY_S * 1e9:
                self._touched_ns = at
                self._touches.look(q)

    def _add_state(self, columns: Mapping[str, Array]) -> None:
        q, quat = columns["joint_pos"], columns["imu_quat_w"]
        up = 1.0 - 2.0 * (quat[:, 1] ** 2 + quat[:, 2] ** 2)
        fallen = bool((up < np.cos(FALL_TILT_RAD)).any()) and self._mode in ON_ITS_FEET
        self._falls += fallen and not self._fallen
        self._fallen = fallen
        self._last_q = q[-1]
        if self._mode == Mode.ACTIVE:
            self._states += len(q)
            self._at_limit += int(((q < self._low) | (q > self._high)).any(axis=1).sum())

    def _add_command(self, t_ns: Times, columns: Mapping[str, Array]) -> None:
        counts = columns["gate_counts"][:, BOUNDS]
        before = counts[:1] if self._counts is None else self._counts
        gated = (np.diff(counts, axis=0, prepend=before) > 0).any(axis=1)
        self._counts = counts[-1:]
        active = columns["mode"][:, 0] == Mode.ACTIVE
        self._ticks += int(active.sum())
        self._gated += int((gated & active).sum())
        steps = np.diff(t_ns, prepend=self._last_command_ns or t_ns[0])
        self._active_ns += int(steps[active & (steps > 0) & (steps < 100_000_000)].sum())
        self._last_command_ns = int(t_ns[-1])

    def _add_reference(self, t_ns: Times, columns: Mapping[str, Array]) -> None:
        for at, pos in zip(t_ns, columns["root_pos_w"], strict=True):
            if self._root is not None and at > self._root[0]:
                speed = float(np.linalg.norm(pos - self._root[1])) * 1e9 / (int(at) - self._root[0])
                self._spikes += speed > SPIKE_M_S
            self._root = int(at), pos

    def result(self, lost: int, *, balances: bool = True) -> Verdict:
        """The verdict so far. `lost`: samples that did not reach the file; `balances`: a robot was there to follow."""
        figures = {
            "lost_share": lost / (lost + self._samples) if lost else 0.0,
            "not_finite": float(self._not_finite), "falls": float(self._falls), "damped": float(self._damped),
            "held": float(self._held), "gate_share": _share(self._gated, self._ticks),
            "at_limit_share": _share(self._at_limit, self._states), "root_spikes": float(self._spikes),
            "tracking_rmse_rad": float(np.sqrt(self._error / self._errors)) if self._errors else 0.0,
            "followed_s": self._active_ns / 1e9,
            "touching_share": _share(self._touches.touches, self._touches.looks),
            "slips": float(self._slips.slips), "gap_s": self._gap_ns / 1e9, "time_back": float(self._time_back),
            "clock_step_s": self._wall_step_ns / 1e9,
            "no_picture_s": max(self._no_picture_ns.values(), default=0) / 1e9,
        }  # fmt: skip
        worst, reasons = 0, []
        if balances and figures["followed_s"] < SHORT_S:
            worst = 2
            reasons.append(f"the robot followed the operator for {figures['followed_s']:.1f} s")
        for name, line in THRESHOLDS.items():
            rank = (figures[name] > line.maybe) + (figures[name] > line.drop)
            if rank:
                reasons.append(line.what.format(figures[name]))
                worst = max(worst, rank)
        return Verdict(RANK[worst], tuple(reasons), figures)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
