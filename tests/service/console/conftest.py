"""Fabricated slot values: what a healthy ACTIVE run publishes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from teleopd.robots.model import JointTargets, LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.console.errors import RenderUnavailable
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.streams import MAX_BODIES, HumanView, LoopStatus, SourceStatus
from teleopd.service.telemetry.latency import Summary

MS = 1_000_000
NOW = 50_000_000_000
UP = np.array([1.0, 0.0, 0.0, 0.0])


def person() -> HumanView:
    """Standing at (3, 4) with the arms down, 23 bodies of the MVN family."""
    pos = np.zeros((MAX_BODIES, 3))
    pos[:23] = [
        (0, 0, .95), (0, 0, 1.05), (0, 0, 1.15), (0, 0, 1.25), (0, 0, 1.35), (0, 0, 1.5), (0, 0, 1.6),
        (0, -.05, 1.44), (0, -.18, 1.44), (0, -.2, 1.17), (0, -.2, .95),
        (0, .05, 1.44), (0, .18, 1.44), (0, .2, 1.17), (0, .2, .95),
        (0, -.09, .93), (0, -.1, .5), (0, -.1, .08), (.15, -.1, .03),
        (0, .09, .93), (0, .1, .5), (0, .1, .08), (.15, .1, .03),
    ]  # fmt: skip
    pos[:23, :2] += (3.0, 4.0)
    return HumanView(NOW - 5 * MS, 9, 0, 23, pos, np.tile(UP, (MAX_BODIES, 1)), np.ones(MAX_BODIES, dtype=np.bool_))


def status(mode: Mode = Mode.ACTIVE, **changes) -> SafetyStatus:
    n = MODEL.n
    return SafetyStatus(
        NOW, 1, int(mode), NOW - 3_000 * MS, -1, 0, 0, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(n, np.uint32), True, False, -1, 1, np.zeros(n), 0,
    )._replace(**changes)  # fmt: skip


def low_state(**changes) -> LowState:
    n, zero = MODEL.n, np.zeros(MODEL.n)
    return LowState(
        NOW, 0, MODEL.default_mode_machine, MODEL.q_stand, zero, zero, UP, np.zeros(3), np.zeros(3), zero,
        np.zeros(n, np.uint32), np.zeros(40, np.uint8), True, np.array([1.0, 2.0, 0.78]), np.zeros(3),
    )._replace(**changes)  # fmt: skip


def reference(**changes) -> Reference:
    zero = np.zeros(MODEL.n)
    return Reference(
        5, 1, NOW - 8 * MS, NOW - 8 * MS, NOW - 7 * MS, True, False, 0, 120.0, np.array([0.0, 0.0, 0.79]), UP,
        np.zeros(3), np.zeros(3), MODEL.q_stand, zero,
    )._replace(**changes)  # fmt: skip


def targets(**changes) -> JointTargets:
    zero = np.zeros(MODEL.n)
    return JointTargets(
        7, NOW - MS, zero, zero, zero, True, True, 5, 1, NOW - 13 * MS, NOW - 13 * MS, True, 120.0, False, 0.0,
        np.zeros(2),
    )._replace(**changes)  # fmt: skip


def source_status(**changes) -> SourceStatus:
    return SourceStatus(NOW, 1, 119.9, 5000, 4990, 3, 0, 2, 0, np.zeros(240, np.uint8))._replace(**changes)


def loop_status() -> LoopStatus:
    return LoopStatus(NOW, 50.0, 1000, 4, 60.0, 1250.0, 4000.0, 2000.0, 4000.0, 8.0)


@pytest.fixture
def make() -> dict[str, Callable]:
    """Makers of one value each, by name."""
    return {
        "person": person, "status": status, "low_state": low_state, "reference": reference, "targets": targets,
        "source_status": source_status, "loop_status": loop_status,
    }  # fmt: skip


@pytest.fixture
def snapshot() -> Snapshot:
    """A healthy ACTIVE run."""
    return Snapshot(
        NOW, source_status(), reference(), None, person(), targets(), low_state(), status(),
        {"control": loop_status()}, {"receipt_to_target": Summary(11.0, 15.0, 19.5, 22.0, 100)},
    )  # fmt: skip


@pytest.fixture
def can_draw() -> None:
    """Skips where there is no OpenGL without a display; its packages are in docs and in the error's sentence."""
    from teleopd.service.console.render import open_context

    try:
        open_context(16, 16).free()
    except RenderUnavailable as error:
        pytest.skip(str(error))
