"""How well a source does, measured the same way for every source: age, delay, jitter, loss, rate, content. Pure.

`t_source_ns` of a pose is the device's time on our clock (`clock.py`: by echo where the protocol has one, else by the
least delayed packet), so receipt less that is what the way here added. Fed with the poses a consumer takes; losses come
from the source's own counters, since a pose that never came cannot be counted here.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.human_pose import Array, HumanPose, Skeleton
from teleopd.drivers.source import SourceCounters

DELAYS = 512
"""Newest poses whose delay counts: 4 s at 120 Hz."""
LOSS_WINDOW_NS = 10_000_000_000
"""The loss is that of the last 10 s [ns]."""
JITTER_WEIGHT = 1.0 / 16.0
"""Of the newest difference, RFC 3550, section 6.4.1."""
FROZEN_NS = 200_000_000
"""A body that is bit-identical for so long is frozen: live sensors never are (`service/frame_checks.py`, R3)."""
PAIRS = (("LeftHand", "RightHand"), ("LeftFoot", "RightFoot"))


class Content(enum.IntEnum):
    """What is in the poses, which a fresh time stamp says nothing about."""

    NONE = 0
    """No pose yet."""
    FRESH = 1
    FROZEN = 2
    """Bit-identical for longer than `FROZEN_NS`."""
    IDENTITY = 3
    """Every tracked body is turned exactly as in the T-pose: the device sends no pose."""
    MIRRORED = 4
    """Left and right hand and foot are in the same place."""


class Health(NamedTuple):
    """Figures of one moment."""

    age_ms: float
    """Of the newest pose, by the device's time, now [ms]; -1 before the first."""
    delay_p50_ms: float
    """Receipt less the device's time on our clock, of the newest poses [ms]."""
    delay_p99_ms: float
    jitter_ms: float
    """Smoothed change of the delay from one pose to the next, as RFC 3550 [ms]."""
    loss: float
    """Share of the frames of the last 10 s that never came, 0 to 1."""
    rate_hz: float
    """Of the poses taken, pauses left out [Hz]; the declared rate until it is measured."""
    content: Content
    content_age_ms: float
    """Since a body differed from the one before, now [ms]; -1 before the first pose."""
    resets: int
    """Restarts and origin jumps the source reported."""


class HealthMeter:
    """Measures one source in constant memory; `now_ns` is monotonic."""

    def __init__(self, declared_hz: float) -> None:
        self._rate = ArrivalRate(declared_hz)
        self._delays_ms = np.zeros(DELAYS)
        self._taken = 0
        self._jitter_ms = 0.0
        self._losses: deque[tuple[int, int, int]] = deque()
        self._last: HumanPose | None = None
        self._changed_ns = 0
        self._kind = Content.NONE

    @property
    def newest_ns(self) -> int:
        """Receipt of the newest pose [monotonic ns]; 0 before the first."""
        return 0 if self._last is None else self._last.t_ns

    def pose(self, pose: HumanPose) -> None:
        """Take one pose, in the order of delivery."""
        last, delay_ms = self._last, (pose.t_ns - pose.t_source_ns) / 1e6
        if last is not None:
            step_ms = abs(delay_ms - (last.t_ns - last.t_source_ns) / 1e6)
            if pose.resets == last.resets:  # another recording's clock says nothing about this one's
                self._jitter_ms += JITTER_WEIGHT * (step_ms - self._jitter_ms)
        self._delays_ms[self._taken % DELAYS] = delay_ms
        self._taken += 1
        self._rate.arrived(pose.t_ns)
        if last is None or not _same_body(pose, last):
            self._changed_ns = pose.t_ns
        self._kind = content_kind(pose.skeleton, pose.pos_w, pose.quat_w, pose.valid)
        self._last = pose

    def figures(self, counters: SourceCounters, now_ns: int) -> Health:
        """Figures at this moment; call it a few times a second, the loss is counted between calls."""
        loss = self._loss(counters, now_ns)
        if self._last is None:
            return Health(-1.0, 0.0, 0.0, 0.0, loss, self._rate.hz, Content.NONE, -1.0, 0)
        p50, p99 = np.percentile(self._delays_ms[: min(self._taken, DELAYS)], (50, 99)).tolist()
        frozen = self._last.t_ns - self._changed_ns > FROZEN_NS
        return Health(
            (now_ns - self._last.t_source_ns) / 1e6, p50, p99, self._jitter_ms, loss, self._rate.hz,
            Content.FROZEN if frozen else self._kind, (now_ns - self._changed_ns) / 1e6, self._last.resets,
        )  # fmt: skip

    def _loss(self, counters: SourceCounters, now_ns: int) -> float:
        self._losses.append((now_ns, counters.lost, counters.delivered))
        while now_ns - self._losses[0][0] > LOSS_WINDOW_NS:
            self._losses.popleft()
        lost = max(counters.lost - self._losses[0][1], 0)  # late ones may have filled gaps of before
        came = counters.delivered - self._losses[0][2]
        return lost / (lost + came) if lost else 0.0


def content_kind(skeleton: Skeleton, pos: Array, quat: Array, valid: npt.NDArray[np.bool_]) -> Content:
    """FRESH, IDENTITY or MIRRORED, of one pose (n, 3), (n, 4), (n,); untracked bodies are not looked at."""
    seen = quat if valid.all() else quat[valid]
    if len(seen) > 1 and (np.abs(seen[:, 0]) == 1.0).all() and not seen[:, 1:].any():
        return Content.IDENTITY
    return Content.MIRRORED if mirrored(skeleton, pos, valid) else Content.FRESH


def mirrored(skeleton: Skeleton, pos: Array, valid: npt.NDArray[np.bool_]) -> bool:
    """Left and right of every tracked pair of hands and feet are in the same place, and there is such a pair."""
    names = skeleton.body_names
    pairs = [(names.index(a), names.index(b)) for a, b in PAIRS if a in names and b in names]
    tracked = [(a, b) for a, b in pairs if valid[a] and valid[b]]
    return bool(tracked) and all(bool((pos[a] == pos[b]).all()) for a, b in tracked)


def _same_body(a: HumanPose, b: HumanPose) -> bool:
    return a.pos_w.tobytes() == b.pos_w.tobytes() and a.quat_w.tobytes() == b.quat_w.tobytes()
