"""A healthy ACTIVE run in fabricated slot values, and a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.capture.records import RECORDING, RecorderStatus, as_bytes
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.latency_status import BUCKETS_MS, STAGES, LatencyStatus
from teleopd.service.link_status import LinkStatus
from teleopd.service.streams import LOOPS, LoopStatus, SourceStatus
from teleopd.service.telemetry.state import Identity

from .brokers import Mosquitto

NOW, S = 50 * 10**9, 10**9


def safety(mode: Mode = Mode.ACTIVE, causes: int = 0, **changes: object) -> SafetyStatus:
    gate = np.arange(8, dtype=np.uint32)
    return SafetyStatus(
        NOW, 1, int(mode), NOW - 3 * S, -1, 0, causes, np.zeros(32, np.uint32), gate, np.zeros(29, np.uint32), True,
        False, -1, 1, np.zeros(29), 0,
    )._replace(**changes)  # type: ignore[arg-type]  # fmt: skip


def low_state() -> LowState:
    zero = np.zeros(29)
    hot = np.full(29, 40.0)
    hot[3] = 71.25
    fault = np.zeros(29, np.uint32)
    fault[5] = 4
    return LowState(
        NOW, 0, 5, zero, zero, zero, np.array([1.0, 0, 0, 0]), np.zeros(3), np.zeros(3), hot, fault,
        np.zeros(40, np.uint8), False, np.zeros(3), np.zeros(3),
    )  # fmt: skip


def latency() -> LatencyStatus:
    counts = np.zeros((len(STAGES), len(BUCKETS_MS) + 1), dtype=np.int64)
    counts[1, 6] = 90
    counts[1, 7] = 10
    recent = np.full((len(STAGES), 4), 1.0)
    recent[1] = (9.0, 10.5, 14.0, 14.5)
    return LatencyStatus(NOW, counts, np.array([0.0, 950.0, 0.0, 0.0, 0.0]), recent)


@pytest.fixture
def full() -> Snapshot:
    """Everything was published."""
    source = SourceStatus(
        NOW, 1, 119.9, 5000, 4990, 3, 0, 2, NOW - 12_000_000, np.zeros(240, np.uint8), age_ms=12.0,
        content_age_ms=12.0, content=1, loss=0.015,
    )  # fmt: skip
    recorder = RecorderStatus(
        NOW, RECORDING, NOW - 12 * S, 2, 0, 0, False, as_bytes("/data/walk.mcap", 1024), as_bytes("", 400)
    )
    return Snapshot(
        NOW, source, None, None, None, None, low_state(), safety(),
        {name: LoopStatus(NOW, 50.0, 1000, 4, 60.0, 1250.0, 4000.0, 0.0, 0.0, 8.0) for name in LOOPS}, {},
        link=LinkStatus(NOW, 5, *range(9), battery=81), recorder=recorder,
    )  # fmt: skip


@pytest.fixture
def who() -> Identity:
    return Identity("lab-7", MODEL, "xsens", "anna", "default", "0" * 64, "0.1.0", NOW - 60 * S, GATE_STEPS)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    yield broker
    broker.close()
