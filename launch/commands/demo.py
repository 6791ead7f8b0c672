"""`teleop demo`: the whole job with nothing attached."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from teleopd.drivers.motion_file.library import load_motion
from teleopd.launch.commands.serve import serve
from teleopd.launch.config import resolve

LEAD_IN_S = 8.0
"""Time for the service to start, ready, arm and engage before the motion begins."""
LEAD_OUT_S = 2.0
END_S = 3.0


@dataclass(frozen=True, slots=True)
class Demo:
    """An emulated operator, over a real wire, moves a virtual robot that balances; view, report and a picture."""

    robot: str = "unitree_g1"
    """The robot: unitree_g1."""
    motion: str = "walk_and_turn"
    """A built-in motion or a BVH file."""
    policy: str | None = None
    """Whole-body policy: name or ONNX file."""
    seconds: float | None = None
    """End after so long [s]; by default when the motion has ended."""
    out: Path = Path("demo-output")
    """Folder for the report and the picture."""
    view: bool = True
    """Browser view on 127.0.0.1."""
    view_port: int = 8765
    """Port of the browser view."""
    video: bool = False
    """Render a video after the run too."""
    port: int = 0
    """UDP port of the emulated suit; 0: a free one."""

    def run(self) -> int:
        """Run the demonstration; 0 when the robot was upright throughout."""
        console = Console(stderr=True, highlight=False)
        clip = load_motion(self.motion)
        clip_s = len(clip.pos_w) / clip.fps
        seconds = self.seconds if self.seconds is not None else LEAD_IN_S + clip_s + LEAD_OUT_S + END_S
        port = self.port or _free_udp_port()
        self.out.mkdir(parents=True, exist_ok=True)
        config = resolve(
            {
                "source": "xsens", "robot": self.robot, "link": "sim", "policy": self.policy, "host": "127.0.0.1",
                "port": port, "auto_engage": True, "view": self.view, "view_port": self.view_port,
                "seconds": seconds, "report": str(self.out / "report.json"),
                "snapshot": str(self.out / "view.png"), "video": str(self.out / "run.mp4") if self.video else None,
            },
            None,
        )  # fmt: skip
        console.print(f"an emulated Xsens suit sends '{clip.name}' to UDP port {port}; a virtual {self.robot} follows")
        if self.view:
            console.print(f"watch it at http://127.0.0.1:{self.view_port}")
        with _emulator(self.motion, port):
            status = serve(config)
        console.print(f"report, picture: {self.out}/")
        return status


class _emulator:
    """`teleop emulate` as a process of its own, as it would be on another machine."""

    def __init__(self, motion: str, port: int) -> None:
        self._command = [
            sys.executable, "-m", "teleopd.launch.cli", "emulate", "xsens", "--motion", motion, "--port", str(port),
            "--lead-in", str(LEAD_IN_S), "--lead-out", str(LEAD_OUT_S), "--quiet",
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


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
