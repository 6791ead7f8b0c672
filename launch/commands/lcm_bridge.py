"""`teleop lcm-bridge`: beside the robot, for a policy computer that is elsewhere."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from teleopd.launch.bridge_run import SOURCE, BridgeRun
from teleopd.launch.commands.serve import parse_limits
from teleopd.launch.config_resolution import resolve
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_file
from teleopd.robots.links.lcm.transport import DEFAULT_URL
from teleopd.service.telemetry.report_output import print_report, write_report


@dataclass(frozen=True, slots=True)
class LcmBridge:
    """Run beside a robot: joint targets of a policy elsewhere come over LCM, and pass this computer's own supervisor
    and gate on their way to the robot's DDS.

    The bridge owns the mode: `teleop ctl ready`, `arm` and the deadman work on it as on `teleop serve`, and a policy of
    its own balances the robot whenever no targets are followed. A lost network is a RETURN to standing."""

    robot: RobotFlag = "unitree_g1"
    interface: str = ""
    """Network interface the robot is connected to; lo for a virtual robot on this computer."""
    domain: int = 0
    """DDS domain, 0 to 232; the vendor's robots use 0."""
    lcm_url: str = DEFAULT_URL
    """Where the targets come from: ttl=0 this computer only, ttl=1 the local network. LCM has no authentication."""
    policy: str = ""
    """Policy that stands by itself: name of a card or an ONNX file; the robot's own when not given."""
    release_controller: bool = False
    """Take the motors from the robot's own controller at the start. The robot goes limp: hang it first."""
    auto_arm_virtual: bool = False
    """Ready and arm without an operator; refused unless the robot has proved to be virtual, as teleop robot does on
    lo. The sender's deadman engages."""
    latched_engage: bool = False
    """One press engages until stopped, instead of a held deadman."""
    standby: bool = True
    """Keep a second policy process warm that takes over when the bridge's own goes silent."""
    safety: tuple[str, ...] = ()
    """Safety limits to tighten, as name=value; `teleop failsafe --limits` lists them."""
    unqualified: bool = False
    """Let a robot run a policy without a passing record of `teleop qualify`; it is written into the report."""
    qualification: str = ""
    """File or folder of qualification records; the user's data folder when not given."""
    seconds: float = 0.0
    """End after so long [s]."""
    report: str = ""
    """Write the run report (JSON) here."""
    json: bool = False
    """Print the run report as JSON instead of a table."""

    def run(self) -> int:
        """Run until the time is over or Ctrl-C; 0 when the robot was upright throughout."""
        own = ("lcm_url", "auto_arm_virtual", "safety", "json")
        flags = {name: getattr(self, name) for name in self.__slots__ if name not in own}
        config = resolve({
            **flags, "link": "dds", "source": SOURCE, "view": False, "auto_engage_virtual": self.auto_arm_virtual,
            "safety": parse_limits(self.safety),
        }, None, {})  # fmt: skip
        file = output_file("--report", Path(self.report)) if self.report else None
        report = BridgeRun(config, self.lcm_url, live=sys.stderr.isatty() and not self.json).run()
        if file is not None:
            write_report(file, report)
        if self.json:
            print(json.dumps(report))
        else:
            print_report(Console(), report)
        return 0 if report["upright"] else 1
