"""`teleop preview`: the pipeline up to the retargeter; the robot is shown kinematically and nothing is controlled."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from teleopd.launch.commands.serve import serve
from teleopd.launch.config_resolution import resolve
from teleopd.launch.flags import RobotFlag, SourceFlag
from teleopd.launch.options import parse_pairs
from teleopd.service.retarget.solver_choice import SolverName


@dataclass(frozen=True, slots=True)
class Preview:
    """Show the retargeted motion of a source in the browser, without a policy and without a robot."""

    source: SourceFlag = "xsens"
    robot: RobotFlag = "unitree_g1"
    config: Path | None = None
    """TOML file with the keys of `teleop serve`; flags win."""
    host: str = ""
    """Address the source listens on."""
    port: int = 0
    """Port the source listens on."""
    character: int = -1
    """Xsens character (person) to follow, 0 to 255; the first one heard when not given."""
    device: tuple[str, ...] = ()
    """Options of the device as key=value, as for teleop serve."""
    motion: str = ""
    """Motion for --source motion_file."""
    file: str = ""
    """Capture (pcap, pcapng) for --source tap."""
    tap: str = ""
    """Record everything that arrives, as it arrived, in this file (pcapng)."""
    loop: bool = False
    """Repeat the motion file."""
    operator: str = ""
    """Operator whose calibration is used, as stored by `teleop calibrate`; without it the first frame measures."""
    input_filter: Literal["one_euro", "none"] = "one_euro"
    """Filter on the captured motion: one_euro takes sensor noise out and makes hands 2 to 4 ms later; none."""
    solver: SolverName = "auto"
    """Retargeting solver: auto (compiled where numba is installed, else fast), fast, compiled or mink."""
    seconds: float = 0.0
    """End after so long [s]."""
    view_port: int = 8765
    """Port of the browser view."""
    report: str = ""
    """Write the run report (JSON) here."""

    def run(self, given: frozenset[str]) -> int:
        """Show until the time is over or Ctrl-C. `given`: flags typed."""
        flags = {f.name: getattr(self, f.name) for f in fields(self) if f.name in given and f.name != "config"}
        if "device" in flags:
            flags["device"] = parse_pairs(self.device)
        return serve(resolve({**flags, "kinematic": True}, self.config))
