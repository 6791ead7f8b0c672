"""What was seen and what the teacher would have done: a ring in half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.service.policy.train.channels import Float32, N
from teleopd.service.policy.train.features import COLUMNS

RECENT = 200_000
RECENT_SHARE = 0.25
"""Of a batch."""


class Replay:
    """The newest `capacity` samples."""

    def __init__(self, capacity: int, inputs: int = len(COLUMNS), outputs: int = N) -> None:
        self._seen: npt.NDArray[np.float16] = np.empty((capacity, inputs), dtype=np.float16)
        self._wanted: npt.NDArray[np.float16] = np.empty((capacity, outputs), dtype=np.float16)
        self._next = 0
        self.count = 0

    def add(self, seen: Float32, wanted: Float32) -> None:
        """Keep samples (k, inputs) and (k, outputs); those that are not finite are left out."""
        good = np.isfinite(seen).all(axis=1) & np.isfinite(wanted).all(axis=1)
        k = int(good.sum())
        at = (self._next + np.arange(k)) % len(self._seen)
        self._seen[at] = np.clip(seen[good], -6e4, 6e4)
        self._wanted[at] = wanted[good]
        self._next = (self._next + k) % len(self._seen)
        self.count = min(self.count + k, len(self._seen))

    def batch(self, rng: np.random.Generator, size: int) -> tuple[Float32, Float32]:
        """A random batch, a quarter of it of the newest samples."""
        recent = round(size * RECENT_SHARE)
        age = np.concatenate((
            rng.integers(1, self.count + 1, size - recent), rng.integers(1, min(self.count, RECENT) + 1, recent)
        ))  # fmt: skip
        at = (self._next - age) % len(self._seen)
        return self._seen[at].astype(np.float32), self._wanted[at].astype(np.float32)

    def all_seen(self) -> Float32:
        """Every observation kept, oldest first until the ring turns, (count, inputs)."""
        return self._seen[: self.count].astype(np.float32)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "seen": self._seen[: self.count].copy(), "wanted": self._wanted[: self.count].copy(),
            "next": self._next, "count": self.count,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint of a ring of the same capacity."""
        self.count, self._next = int(state["count"]), int(state["next"])
        self._seen[: self.count], self._wanted[: self.count] = state["seen"], state["wanted"]
