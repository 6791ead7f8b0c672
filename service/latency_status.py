"""What the service's parent publishes of each stage's latency: a record of shared memory.

The logs it is made from have one reader; everyone else reads this.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Field

STAGES = ("receipt_to_reference", "receipt_to_target", "receipt_to_command", "policy", "retarget")
"""Stages in report order: datagram receipt to reference published, to targets published, to command written; the
policy's own time; the retargeter's own time."""
BUCKETS_MS = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 200.0, 500.0)
"""Upper edges of the histogram's bins [ms]; a last bin takes the rest."""


class LatencyStatus(NamedTuple):
    """Of the whole run, and of the newest samples."""

    t_ns: int
    counts: npt.NDArray[np.int64]
    """Samples in each bin, (stages, bins + 1)."""
    sum_ms: Array
    """Of all samples, (stages,)."""
    recent_ms: Array
    """p50, p90, p99 and the largest of the newest samples, (stages, 4); NaN where nothing was measured."""


LATENCY_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("counts", "<i8", (len(STAGES), len(BUCKETS_MS) + 1)), ("sum_ms", "<f8", (len(STAGES),)),
    ("recent_ms", "<f8", (len(STAGES), 4)),
]  # fmt: skip
