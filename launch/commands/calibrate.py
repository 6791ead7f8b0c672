"""`teleop calibrate`: a second of standing in a T- or N-pose becomes an operator's stored body."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.source import Source
from teleopd.launch import registry
from teleopd.launch.config_resolution import resolve
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import SourceFlag
from teleopd.launch.options import parse_pairs
from teleopd.launch.sources import make_source, source_options
from teleopd.service.retarget.operator_file import operator_path, save_operator
from teleopd.service.retarget.operator_pose import POSES, Operator, calibrate
from teleopd.service.retarget.sparse import SparseBody

MAX_SECONDS = 30.0
MAX_POSES = 10_000
"""30 s at 330 Hz."""


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Measure an operator who stands still in a T-pose (arms out) or an N-pose (arms down), and store the body for
    `teleop serve --operator NAME`."""

    source: SourceFlag = "xsens"
    operator: str = "operator"
    """Name to store the calibration under."""
    pose: Literal["t", "n", "auto"] = "auto"
    """Pose the operator stands in: t (arms out), n (arms down), or auto (either is recognised)."""
    seconds: float = 1.0
    """Measure for so long [s]; 0.2 to 30."""
    delay: float = 3.0
    """Time to take the pose, from the first frame on [s]."""
    patience: float = 20.0
    """Give up when no frame arrives for so long [s]."""
    host: str = ""
    """Address a listening source binds; address of Motive or of the PC service."""
    port: int = 0
    """Port; the device's own when not given."""
    character: int = -1
    """Xsens character (person) to follow, 0 to 255; the first one heard when not given."""
    device: tuple[str, ...] = ()
    """Options of the device as key=value, as for teleop serve."""
    motion: str = ""
    """Motion for --source motion_file."""
    file: str = ""
    """Capture (pcap, pcapng) for --source tap."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Measure and store; one sentence says why it could not be done."""
        self._check()
        target = operator_path(self.operator)
        config = resolve(
            {"source": self.source, "host": self.host, "port": self.port, "character": self.character,
             "device": parse_pairs(self.device), "motion": self.motion, "file": self.file}, None,
        )  # fmt: skip
        options = source_options(config)
        if getattr(registry.load("source", self.source), "delivers", "") == "velocity":
            raise CommandError(f"source {self.source} has no person to calibrate; it commands velocities")
        console = Console(stderr=True, highlight=False)
        source = make_source(self.source, options)
        kind = POSES.get(self.pose, "T-pose or N-pose")
        console.print(f"{self.operator}: {kind}, please; measuring {self.delay:g} s after the first frame")
        poses = asyncio.run(collect(source, self.delay, self.seconds, self.patience))
        measured = calibrate(poses, wanted=self.pose)
        self._show(measured, save_operator(self.operator, measured, target))
        return 0

    def _check(self) -> None:
        for name, value, low, high in (
            ("seconds", self.seconds, 0.2, MAX_SECONDS), ("delay", self.delay, 0.0, 600.0),
            ("patience", self.patience, 0.1, 3600.0),
        ):  # fmt: skip
            if not low <= value <= high:
                raise CommandError(f"--{name} is {value:g}; give {low:g} to {high:g} s")

    def _show(self, measured: Operator, path: Path) -> None:
        figures = as_json(self.operator, measured, path)
        if self.json:
            print(json.dumps(figures))
        else:
            Console(highlight=False).print(
                f"{self.operator}: {POSES[measured.pose]} of {measured.frames} frames; leg {figures['leg_m']} m, "
                f"arm {figures['arm_m']} m, floor at {figures['floor_m']} m, heading {figures['heading_deg']} deg; "
                f"wrote {path}"
            )


def as_json(operator: str, measured: Operator, path: Path) -> dict[str, Any]:
    """The figures, rounded to what is measured."""
    c = measured.calibration
    return {
        "operator": operator, "pose": measured.pose, "frames": measured.frames, "leg_m": round(c.leg_m, 3),
        "arm_m": round(measured.arm_m, 3), "floor_m": round(c.floor_z, 3),
        "heading_deg": round(math.degrees(c.yaw_rad), 1), "moved_mm": round(1e3 * measured.moved_m, 1),
        "path": str(path),
    }  # fmt: skip


async def collect(source: Source, delay_s: float, seconds: float, patience_s: float) -> list[HumanPose]:
    """The poses of `seconds`, beginning `delay_s` after the first one, by the frames' own time.

    Raises:
        SourceError: the source cannot be opened.
        CommandError: no frame arrives for `patience_s`, or the motion ends before that time.
    """
    body, kept, first_ns = SparseBody(), list[HumanPose](), 0
    await source.open()
    frames = source.poses().__aiter__()
    try:
        while True:
            try:
                pose = await asyncio.wait_for(frames.__anext__(), patience_s)
            except TimeoutError:
                raise CommandError(
                    f"no frame from {source.name} for {patience_s:g} s; teleop doctor says why"
                ) from None
            except StopAsyncIteration:
                raise CommandError(
                    f"{source.name} ended before {delay_s + seconds:g} s; give a smaller --delay or --seconds"
                ) from None
            first_ns = first_ns or pose.t_source_ns
            t_s = (pose.t_source_ns - first_ns) * 1e-9
            if t_s >= delay_s + seconds or len(kept) >= MAX_POSES:
                return kept
            whole = body.complete(pose)
            if t_s >= delay_s:
                kept.append(whole._replace(pos_w=whole.pos_w.copy(), quat_w=whole.quat_w.copy()))
    finally:
        await source.close()
