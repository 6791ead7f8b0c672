"""`teleop bugreport`: one archive to attach to a report of a fault."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from teleopd.drivers.home import expanded
from teleopd.launch import registry
from teleopd.launch.bug_report import collect, write_archive
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_file


@dataclass(frozen=True, slots=True)
class BugReport:
    """Pack versions, configuration, logs and the last state into one archive, without names, addresses, tokens."""

    out: Path | None = None
    """The archive; teleopd-bugreport-<time>.tar.gz in this folder when not given."""
    robot: RobotFlag = "unitree_g1"
    config: Path | None = None
    """Run file to include; those in /etc/teleopd are."""
    log_folder: str = ""
    """Folder of the logs, as for `teleop serve`; none: no logs."""

    def run(self) -> int:
        """Write it, and say what is in it: look before you send it."""
        config = None if self.config is None else expanded(self.config, CommandError, "--config ")
        if config is not None and not config.is_file():
            raise CommandError(f"--config {config} is not a file")
        named = self.out or Path(f"teleopd-bugreport-{datetime.now(UTC):%Y%m%dT%H%M%S}.tar.gz")
        out = output_file("--out", named)
        files = collect(registry.load("robot", self.robot), config, self.log_folder)
        write_archive(files, out)
        for name, text in sorted(files.items()):
            print(f"{len(text):>9} {name}")
        print(f"wrote {out}; it was cleaned of names, home folders, addresses and tokens, yet look before you send it")
        return 0
