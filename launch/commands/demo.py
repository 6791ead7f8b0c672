"""`teleop demo`: the whole job with nothing attached."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console

from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch.commands.serve import parse_cameras, serve
from teleopd.launch.config_resolution import resolve
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_folder_for

LEAD_IN_S = 8.0
"""Time for the service to start, ready, arm and engage before the motion begins."""
LEAD_OUT_S = 2.0
END_S = 3.0
OUTLAST_S = 30.0
"""The device goes on so long after that, and is ended with the service: people do not vanish when a motion is over."""
Device = Literal["pico", "xsens", "optitrack"]


class _Wire(NamedTuple):
    """How an emulated device of the demonstration reaches the service."""

    words: str
    """What it is, and does, as the beginning of a sentence."""
    kind: socket.SocketKind
    """Of the port it needs."""
    lead_in_s: float
    """Standing before the motion, from the device's first frame [s]."""
    grip: bool
    """It has a deadman, and the emulated operator's hand is on it."""


WIRES: dict[Device, _Wire] = {
    # The headset's stream begins when the service has connected, about 2 s after the start; the others' at once.
    "pico": _Wire(
        "an emulated PICO headset streams '{}' over gRPC on port {}", socket.SOCK_STREAM, LEAD_IN_S - 2.0, True
    ),
    "xsens": _Wire("an emulated Xsens suit sends '{}' to UDP port {}", socket.SOCK_DGRAM, LEAD_IN_S, False),
    "optitrack": _Wire("an emulated Motive streams '{}' from UDP port {}", socket.SOCK_DGRAM, LEAD_IN_S, False),
}


@dataclass(frozen=True, slots=True)
class Demo:
    """An emulated operator, over a real wire, moves a virtual robot that balances; view, report and a picture."""

    source: Device = "pico"
    """The emulated device: pico (gRPC; needs the extra `pico`), xsens or optitrack (UDP)."""
    robot: RobotFlag = "unitree_g1"
    motion: str = "walk_and_turn"
    """A built-in motion or a BVH file."""
    policy: str | None = None
    """Whole-body policy: name or ONNX file."""
    seconds: float | None = None
    """End after so long [s]; by default when the motion has ended."""
    out: Path = Path("demo-output")
    """Folder for the report and the picture."""
    record: str = ""
    """Record the episode (MCAP) in this folder."""
    camera: tuple[str, ...] = ()
    """Cameras to record, as NAME=URL; head=virtual is what the robot's head would see."""
    view: bool = True
    """Browser view on 127.0.0.1."""
    view_port: int = 8765
    """Port of the browser view."""
    video: bool = False
    """Render a video after the run too."""
    port: int = 0
    """Port of the emulated device; 0: a free one."""

    def run(self) -> int:
        """Run the demonstration; 0 when the robot followed the operator and was upright throughout."""
        console = Console(stderr=True, highlight=False)
        clip = load_motion(self.motion)
        clip_s = len(clip.pos_w) / clip.fps
        seconds = self.seconds if self.seconds is not None else LEAD_IN_S + clip_s + LEAD_OUT_S + END_S
        device = self._device(console)
        port = self.port or _free_port(WIRES[device].kind)
        with output_folder_for("--out", self.out) as folder:
            return self._run(console, clip.name, seconds, device, port, folder)

    def _run(self, console: Console, motion: str, seconds: float, device: Device, port: int, folder: Path) -> int:
        wire = WIRES[device]
        config = resolve(
            {
                "source": device, "robot": self.robot, "link": "sim", "policy": self.policy, "host": "127.0.0.1",
                "port": port, "auto_arm": wire.grip, "auto_engage": not wire.grip, "view": self.view,
                "view_port": self.view_port, "seconds": seconds, "report": str(folder / "report.json"),
                "record": self.record, "camera": parse_cameras(self.camera), "task": self.motion if self.record else "",
                "snapshot": str(folder / "view.png"), "video": str(folder / "run.mp4") if self.video else None,
            },
            None,
        )  # fmt: skip
        console.print(f"{wire.words.format(motion, port)}; a virtual {self.robot} follows")
        if wire.grip:
            console.print("the emulated operator presses the grip once the robot stands freely")
        with _emulator(device, self.motion, port, wire, self.robot):
            status = serve(config)
        console.print(f"report, picture: {folder}/")
        missing = not_shown(json.loads((folder / "report.json").read_text()))
        if missing:
            console.print(f"[bold]{missing}[/bold]")
        return 1 if missing else status

    def _device(self, console: Console) -> Device:
        """The one asked for, or a suit where the headset's transport is not installed."""
        if self.source == "pico" and importlib.util.find_spec("grpc") is None:
            console.print("grpcio is not installed (pip install 'teleopd[pico]'): an Xsens suit over UDP instead")
            return "xsens"
        return self.source


def not_shown(report: dict[str, Any]) -> str:
    """What the demonstration failed to show, as a sentence; empty when the robot followed somebody."""
    if not report["frames"]["received"]:
        return "nobody was followed: no frame of the emulated device arrived; see: teleop doctor"
    seen = {mode for _, mode, _ in report["modes"]}
    if "ACTIVE" in seen:
        return ""
    highest = next((mode for mode in ("ARMED", "READY", "IDLE", "CHECK") if mode in seen), "BOOT")
    return f"nobody was followed: the robot came as far as {highest}; give a slow machine more time with --seconds"


class _emulator:
    """`teleop emulate` as a process of its own, as it would be on another machine."""

    def __init__(self, device: Device, motion: str, port: int, wire: _Wire, robot: str) -> None:
        self._command = [
            sys.executable, "-m", "teleopd.launch.cli", "emulate", device, "--motion", motion, "--port", str(port),
            "--lead-in", str(wire.lead_in_s), "--lead-out", str(LEAD_OUT_S + END_S + OUTLAST_S), "--quiet",
            *(("--press-when-armed", "--robot", robot) if wire.grip else ()),
        ]  # fmt: skip

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, start_new_session=True)

    def __exit__(self, *_exc: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
