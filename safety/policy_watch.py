"""What the newest `JointTargets` say: about the policy that made them, and about the source it follows."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from teleopd.robots.model import JointTargets
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.stalls import FUTURE_NS, NEVER_NS, Stalls

_RATE_WINDOW_NS = 1_000_000_000
BAD_COUNTS, GOOD_CLEARS = 2, 1
"""Weights of a bad and a good tick in `invalid_ticks`: good ticks in between do not excuse as many bad ones."""


class PolicyWatch:
    """One policy process: are its targets fresh, ready and usable."""

    def __init__(self, limits: SafetyLimits, stalls: Stalls) -> None:
        self._n = len(limits.q_lower)
        self._stalls = stalls
        self._late_ns = limits.thresholds.ns("targets_late")
        self._worst_score = BAD_COUNTS * limits.thresholds.value("targets_invalid")
        self.targets: JointTargets | None = None
        self.invalid_run = 0
        """Bad ticks in a row."""
        self._invalid_score = 0.0
        self.usable_since_ns = 0
        """Start of the current unbroken run of good targets, 0 when there is none."""

    def update(self, targets: JointTargets | None, now_ns: int) -> bool:
        """Take in the newest targets; True when they are new. Older, repeated and future ones change nothing."""
        if targets is None or targets.t_ns - now_ns > FUTURE_NS:
            return False
        if self.targets is not None and targets.t_ns <= self.targets.t_ns:
            return False
        if self.age_ns(targets.t_ns) > self._late_ns:
            self.usable_since_ns = 0
        self.targets = targets
        if self._good(targets):
            self.invalid_run = 0
            self._invalid_score = max(self._invalid_score - GOOD_CLEARS, 0.0)
            self.usable_since_ns = self.usable_since_ns or targets.t_ns
        else:
            self.invalid_run += 1
            self._invalid_score = min(self._invalid_score + BAD_COUNTS, self._worst_score)
            self.usable_since_ns = 0
        return True

    def age_ns(self, now_ns: int) -> int:
        """Age of the newest targets."""
        return NEVER_NS if self.targets is None else self._stalls.age_ns(self.targets.t_ns, now_ns)

    @property
    def invalid_ticks(self) -> float:
        """Bad ticks, less half a tick for every good one since: a policy that fails every other tick is found too."""
        return self._invalid_score / BAD_COUNTS

    def usable(self, now_ns: int, within_ns: int = 0) -> bool:
        """Fresh (not late, or no older than `within_ns`), finite, and warmed up."""
        targets, oldest_ns = self.targets, within_ns or self._late_ns
        return targets is not None and targets.ready and self.invalid_run == 0 and self.age_ns(now_ns) <= oldest_ns

    def _good(self, targets: JointTargets) -> bool:
        shape = (self._n,)
        if not targets.healthy or not targets.q.shape == targets.kp.shape == targets.kd.shape == shape:
            return False
        if targets.tilt_rp.shape != (2,):
            return False
        return all(bool(np.isfinite(part).all()) for part in (targets.q, targets.kp, targets.kd, targets.tilt_rp))


class SourceWatch:
    """The source as the policy's targets report it. Ages stop growing while the policy itself is late."""

    def __init__(self, limits: SafetyLimits, stalls: Stalls) -> None:
        self._thresholds = limits.thresholds
        self._stalls = stalls
        self._late_ns = limits.thresholds.ns("targets_late")
        self._frozen_ns = limits.thresholds.ns("source_frozen")
        self._lost_ns = limits.thresholds.ns("source_lost")
        self._rate_share = limits.thresholds.value("source_rate")
        self._samples: deque[tuple[int, int]] = deque(maxlen=128)
        self._stale_hz = math.nan  # equal to no rate
        self._stale_ns = 0
        self.source_id = 0
        self.age_ns = NEVER_NS
        self.fresh_since_ns = 0
        """Start of the current unbroken stream, 0 while there is none."""
        self.stale = self.lost = True
        self.frozen = self.invalid = False
        self.rate_ok = False
        """References of the last second came at 80 % of the nominal rate or more."""

    def note(self, targets: JointTargets) -> None:
        """Take in new targets."""
        if targets.reference_source_id != self.source_id:
            self.source_id = targets.reference_source_id
            self.fresh_since_ns = 0
            self._samples.clear()
        if targets.reference_hz != self._stale_hz:
            self._stale_hz = targets.reference_hz
            self._stale_ns = self._thresholds.stale_after_ns(targets.reference_hz)
        self._samples.append((targets.t_ns, targets.reference_seq))
        self.rate_ok = self._rate_ok(targets.reference_hz)
        self.invalid = not targets.reference_valid

    def judge(self, targets: JointTargets | None, now_ns: int) -> None:
        """Bring the verdicts up to date; once a tick."""
        if targets is None or targets.reference_seq <= 0:
            self.age_ns, self.stale, self.lost, self.frozen, self.fresh_since_ns = NEVER_NS, True, True, False, 0
            return
        judged_ns = min(now_ns, targets.t_ns + self._late_ns)
        self.age_ns = self._stalls.age_ns(targets.t_reference_ns, judged_ns)
        self.stale = self.age_ns > self._stale_ns
        self.lost = self.age_ns > self._lost_ns
        self.frozen = not self.stale and self._stalls.age_ns(targets.t_content_ns, judged_ns) > self._frozen_ns
        if self.stale:
            self.fresh_since_ns = 0
        elif not self.fresh_since_ns:
            self.fresh_since_ns = now_ns

    def fresh_for(self, wanted_ns: int, now_ns: int) -> bool:
        """An unbroken stream for at least that long."""
        return self.fresh_since_ns > 0 and now_ns - self.fresh_since_ns >= wanted_ns

    def _rate_ok(self, nominal_hz: float) -> bool:
        """Counted by sequence numbers, so that a policy slower than the source miscounts nothing."""
        if len(self._samples) < 2 or not nominal_hz > 0.0:
            return False
        last_ns, last_seq = self._samples[-1]
        first_ns, first_seq = last_ns, last_seq
        for t_ns, seq in reversed(self._samples):
            if last_ns - t_ns > _RATE_WINDOW_NS:
                break
            first_ns, first_seq = t_ns, seq
        # One period of grace: the window's ends fall anywhere between two frames.
        counted, elapsed_s = last_seq - first_seq + 1, (last_ns - first_ns) / 1e9
        return elapsed_s > 0.0 and counted >= self._rate_share * nominal_hz * elapsed_s
