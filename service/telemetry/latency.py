"""Latency of each stage from the logs: exact percentiles up to a cap, a uniform reservoir beyond it.

Latency is that of the newest frame used by a tick: a frame counts once, in the first tick (or command) that used it.
All figures in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.safety.words import Mode
from teleopd.service.latency_status import BUCKETS_MS, LatencyStatus
from teleopd.service.latency_status import STAGES as STAGES

CAP = 100_000
"""Samples kept a stage (400 kB): 13 minutes at 120 Hz, 33 minutes at 50 Hz are exact."""
RECENT = 512
"""Samples that the live display summarises."""


class Summary(NamedTuple):
    """Percentiles of one stage [ms]; None while nothing was measured."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    n: int


NOTHING = Summary(None, None, None, None, 0)


def summarise(values: npt.NDArray[Any]) -> Summary:
    """Percentiles of all values given."""
    if len(values) == 0:
        return NOTHING
    p50, p90, p99 = (float(value) for value in np.percentile(values, (50, 90, 99)))
    return Summary(p50, p90, p99, float(np.max(values)), len(values))


class Samples:
    """Values in bounded memory: all of them up to `cap`, then a uniform random choice of `cap` of them."""

    def __init__(self, cap: int = CAP, seed: int = 0) -> None:
        self._kept = np.empty(0, dtype=np.float32)
        self._cap = cap
        self._filled = 0
        self._random = np.random.default_rng(seed)
        self._recent = np.zeros(RECENT, dtype=np.float32)
        self.n = 0
        self.max = -np.inf
        self.counts = np.zeros(len(BUCKETS_MS) + 1, dtype=np.int64)
        """All values in the bins of `BUCKETS_MS`."""
        self.sum = 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take (k,) values; those that are not finite are ignored."""
        values = values[np.isfinite(values)].astype(np.float32)
        if len(values) == 0:
            return
        at = (self.n + np.arange(len(values)))[-RECENT:]
        self._recent[at % RECENT] = values[-RECENT:]
        self.max = max(self.max, float(values.max()))
        self.counts += np.bincount(np.searchsorted(BUCKETS_MS, values), minlength=len(self.counts))
        self.sum += float(values.sum(dtype=np.float64))
        room = min(self._cap - self._filled, len(values))
        self._grow(self._filled + room)
        self._kept[self._filled : self._filled + room] = values[:room]
        self._filled += room
        self.n += room
        if room < len(values):
            self._replace(values[room:])

    def values(self) -> npt.NDArray[np.float32]:
        """The values kept, shape (min(n, cap),)."""
        return self._kept[: self._filled]

    def summary(self) -> Summary:
        """Percentiles of the values kept; `max` and `n` are of all values."""
        if self.n == 0:
            return NOTHING
        return summarise(self.values())._replace(max=self.max, n=self.n)

    def recent(self) -> Summary:
        """Percentiles of the newest `RECENT` values."""
        return summarise(self._recent[: min(self.n, RECENT)])

    def _grow(self, needed: int) -> None:
        if needed > len(self._kept):
            larger = np.empty(min(self._cap, max(1024, 2 * needed)), dtype=np.float32)
            larger[: self._filled] = self._kept[: self._filled]
            self._kept = larger

    def _replace(self, values: npt.NDArray[np.float32]) -> None:
        """Algorithm R (Vitter 1985): value number i replaces a kept one with probability cap / i."""
        numbers = self.n + 1 + np.arange(len(values))
        slots = (self._random.random(len(values)) * numbers).astype(np.int64)
        chosen = slots < self._cap
        self._kept[slots[chosen]] = values[chosen]
        self.n += len(values)


class StageLatencies:
    """Turns drained logs into the latency of every stage."""

    def __init__(self, cap: int = CAP) -> None:
        self._samples = {stage: Samples(cap) for stage in STAGES}
        self._last_frame_ns = {"receipt_to_target": 0, "receipt_to_command": 0}
        self.delay_ms = 0.0
        """What the policy's lookahead adds between a frame's receipt and the tick that follows it."""

    def add_references(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `ReferenceLog`."""
        self._samples["receipt_to_reference"].add((rows["t_published_ns"] - rows["t_ns"]) / 1e6)
        self._samples["retarget"].add(rows["retarget_us"] / 1e3)

    def add_ticks(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `TickLog`; the policy's time counts in every mode, the frame's latency in ACTIVE."""
        self._samples["policy"].add(rows["policy_us"] / 1e3)
        self._add_frames("receipt_to_target", rows, rows["t_published_ns"])

    def add_commands(self, rows: npt.NDArray[Any]) -> None:
        """Rows of `CommandLog`."""
        self._add_frames("receipt_to_command", rows, rows["t_command_ns"])

    def _add_frames(self, stage: str, rows: npt.NDArray[Any], done_ns: npt.NDArray[np.int64]) -> None:
        """Latency of every frame that was not in the row before it."""
        if len(rows) == 0:
            return
        frames = rows["t_reference_ns"]
        before = np.concatenate(([self._last_frame_ns[stage]], frames[:-1]))
        new = (frames > before) & (rows["mode"] == Mode.ACTIVE)
        self._last_frame_ns[stage] = int(frames[-1])
        self._samples[stage].add((done_ns - frames)[new] / 1e6 + self.delay_ms)

    def summaries(self) -> Mapping[str, Summary]:
        """Of the whole run."""
        return {stage: samples.summary() for stage, samples in self._samples.items()}

    def recent(self) -> Mapping[str, Summary]:
        """Of the newest samples, for a live display."""
        return {stage: samples.recent() for stage, samples in self._samples.items()}

    def status(self, now_ns: int) -> LatencyStatus:
        """For those who may not drain the logs."""
        samples = self._samples.values()
        recent = [[np.nan if figure is None else figure for figure in one.recent()[:4]] for one in samples]
        return LatencyStatus(
            now_ns, np.stack([one.counts for one in samples]), np.array([one.sum for one in samples]), np.array(recent)
        )
