"""How hard and how hot the joints are: the few that matter, as bars against their limits. Pure: a snapshot to HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from teleopd.robots.model import RobotModel
from teleopd.safety.thresholds import Thresholds
from teleopd.service.console.snapshot import Snapshot

SHOWN = 4
"""Joints in each list: the worst."""
GREEN, ORANGE, RED = "#2f9e44", "#f08c00", "#e03131"
BUSY, FULL = 0.6, 0.9
"""Shares of a limit from which a bar is orange, and red."""
COLD_C = 20.0
"""Where the temperature bars begin [deg C]."""


def bar(label: str, share: float, words: str) -> str:
    """One line: a name, a bar of `share` (0 to 1), and the value in words."""
    colour = GREEN if share < BUSY else ORANGE if share < FULL else RED
    width = 100.0 * min(1.0, max(0.0, share))
    return (
        '<div style="display:flex;align-items:center;gap:6px;margin:1px 0">'
        f'<span style="width:46%;color:#868e96;overflow:hidden;white-space:nowrap">{escape(label)}</span>'
        '<span style="flex:1;background:#dee2e6;border-radius:3px;height:9px">'
        f'<span style="display:block;width:{width:.0f}%;background:{colour};border-radius:3px;height:9px">'
        "</span></span>"
        f'<span style="width:22%;text-align:right">{escape(words)}</span></div>'
    )


def bars_html(robot: RobotModel, snapshot: Snapshot, hottest_c: float | None = None) -> str:
    """Joint torques against their limits and motor temperatures against `hottest_c`, at which motors are damped."""
    if snapshot.state is None or snapshot.state.tau.shape != (robot.n,):
        return ""
    limit_c = Thresholds().value("motor_too_hot") if hottest_c is None else hottest_c
    lines = "".join([*_loads(robot, snapshot.state.tau), *_heat(robot, snapshot.state.temperature_c, limit_c)])
    return f'<div style="padding:4px 14px 0;font-size:12px">{lines}</div>'


def _loads(robot: RobotModel, tau: np.ndarray) -> Iterator[str]:
    share = np.nan_to_num(np.abs(tau) / robot.limits.tau_max, nan=1.0)
    yield '<div style="font-weight:600;margin-top:4px">joint load</div>'
    for joint in np.argsort(-share)[:SHOWN]:
        yield bar(_short(robot.joint_names[joint]), float(share[joint]), f"{abs(float(tau[joint])):.0f} Nm")


def _heat(robot: RobotModel, temperature_c: np.ndarray, limit_c: float) -> Iterator[str]:
    if not np.any(temperature_c > 0.0):  # a virtual robot without heat says 0 everywhere
        return
    yield '<div style="font-weight:600;margin-top:4px">motor temperature</div>'
    share = np.nan_to_num((temperature_c - COLD_C) / (limit_c - COLD_C), nan=1.0)
    for joint in np.argsort(-share)[:SHOWN]:
        yield bar(_short(robot.joint_names[joint]), float(share[joint]), f"{float(temperature_c[joint]):.0f} °C")


def _short(name: str) -> str:
    return name.removesuffix("_joint").replace("_", " ")
