"""Statistics of a LeRobot data set's features: for each episode, and for all of them put together.

Put together as LeRobot 0.4.4 does it (`lerobot/datasets/compute_stats.py`): least, greatest, mean and deviation are
exact; quantiles are the means of the episodes' quantiles, weighted by frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Stats = dict[str, dict[str, Any]]
"""Feature -> statistic -> array (k,)."""

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


def stats_of(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """min, max, mean, std, count and quantiles over the frames of (N, k), each (k,), count (1,)."""
    table = values.reshape(len(values), -1)
    wide = table.astype(np.float64)
    found: dict[str, Any] = {
        "min": table.min(axis=0), "max": table.max(axis=0), "mean": wide.mean(axis=0), "std": wide.std(axis=0),
        "count": np.array([len(table)]),
    }  # fmt: skip
    return found | dict(zip(QUANTILES, np.quantile(wide, list(QUANTILES.values()), axis=0), strict=True))


def together(episodes: Sequence[Stats]) -> Stats:
    """The statistics of all episodes as one."""
    return {feature: _feature([episode[feature] for episode in episodes]) for feature in episodes[0]}


def _feature(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = np.array([part["count"][0] for part in parts], dtype=np.float64)[:, None]
    total = counts.sum()
    means = np.stack([part["mean"] for part in parts])
    mean = (means * counts).sum(axis=0) / total
    variances = np.stack([part["std"] ** 2 for part in parts])
    found: dict[str, Any] = {
        "min": np.stack([part["min"] for part in parts]).min(axis=0),
        "max": np.stack([part["max"] for part in parts]).max(axis=0),
        "mean": mean,
        "std": np.sqrt(((variances + (means - mean) ** 2) * counts).sum(axis=0) / total),
        "count": np.array([int(total)]),
    }
    for key in QUANTILES:
        found[key] = (np.stack([part[key] for part in parts]) * counts).sum(axis=0) / total
    return found


def shaped(feature: str, key: str, value: Any) -> Any:
    """As LeRobot shapes it: (3, 1, 1) for pictures."""
    return value.reshape(3, 1, 1) if feature.startswith("observation.images.") and key != "count" else value


def as_lists(stats: Stats) -> dict[str, dict[str, list[float]]]:
    """As JSON values."""
    return {
        feature: {key: shaped(feature, key, value).tolist() for key, value in row.items()}
        for feature, row in stats.items()
    }
