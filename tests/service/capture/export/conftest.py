"""Episodes made by hand: every value says which sample of which stream it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.service.capture.episode import Episode, Stream

T0_NS = 7_000_000_000
MS = 1_000_000
Make = Callable[..., Episode]


def times(seconds: float, step_ms: int, first_ms: int = 0) -> Any:
    return T0_NS + np.arange(first_ms, int(seconds * 1000), step_ms, dtype=np.int64) * MS


def turning(t_ns: Any) -> Any:
    """About z at 0.5 rad/s, wxyz."""
    angle = (t_ns - T0_NS) / 1e9 * 0.5
    return np.stack([np.cos(angle / 2), 0 * angle, 0 * angle, np.sin(angle / 2)], axis=1)


def joints(t_ns: Any, n: int, offset: float = 0.0) -> Any:
    """Joint j at time t: offset + 0.1 j + 0.3 sin t [rad]: within the limits of nothing, smooth."""
    return offset + 0.01 * np.arange(n) + 0.1 * np.sin((t_ns - T0_NS)[:, None] / 1e9)


def streams_of(seconds: float, n: int) -> dict[str, Stream]:
    """State 500 Hz, target 50 Hz 3 ms after each tick, reference about 90 Hz."""
    state, target, reference = times(seconds, 2), times(seconds, 20, 3), times(seconds, 11)
    return {
        "state": Stream(state, {
            "joint_pos": joints(state, n), "joint_vel": 0.1 * np.cos((state - T0_NS)[:, None] / 1e9) + np.zeros(n),
            "joint_torque": np.ones((len(state), n)), "imu_quat_w": turning(state),
            "imu_gyro_b": np.tile([0.0, 0.0, 0.5], (len(state), 1)),
            "imu_acc_b": np.tile([0.0, 0.0, 9.81], (len(state), 1)),
        }),
        "target": Stream(target, {"joint_pos": joints(target, n, 1.0)}),
        "reference": Stream(reference, {
            "root_pos_w": np.stack([(reference - T0_NS) / 1e9, 0 * reference, 0.8 + 0 * reference], axis=1),
            "root_quat_w": turning(reference), "joint_pos": joints(reference, n, 0.5),
            "joint_vel": np.zeros((len(reference), n)),
        }),
    }  # fmt: skip


@pytest.fixture
def make() -> Make:
    """`make(seconds=2.0, robot=..., streams=..., **metadata)`: an episode of the G1."""

    def build(
        seconds: float = 2.0, *, path: Path = Path("a.mcap"), robot: str = G1.name,
        joint_names: tuple[str, ...] = tuple(G1.joint_names), streams: Mapping[str, Stream] | None = None,
        dropped: Mapping[str, int] | None = None, **metadata: str,
    ) -> Episode:  # fmt: skip
        made = streams_of(seconds, len(joint_names)) if streams is None else streams
        about = {"task": "wave", "operator": "ada", "verdict": "keep", **metadata}
        return Episode(path, robot, joint_names, made, about, {}, dropped or {}, ())

    return build
