"""Counters of a process that may be replaced."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Total:
    """Adds up counters of a writer that starts again at zero when its process restarts."""

    def __init__(self, size: int) -> None:
        self._base = np.zeros(size, dtype=np.int64)
        self._last = np.zeros(size, dtype=np.int64)

    def update(self, counts: npt.ArrayLike, *, only_first: bool = False) -> None:
        """`only_first`: the others may fall too, as losses do when a late packet fills a gap."""
        counts = np.asarray(counts, dtype=np.int64)
        if counts[0] < self._last[0] if only_first else np.any(counts < self._last):
            self._base += self._last
        self._last = counts.copy()

    def __getitem__(self, index: int) -> int:
        return int(self._base[index] + self._last[index])
