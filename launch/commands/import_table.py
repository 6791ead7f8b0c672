"""`teleop import-table`: a GMR-style JSON becomes a `retarget.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from teleopd.drivers.home import expanded
from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag
from teleopd.launch.outputs import output_file
from teleopd.service.retarget.gmr_table import import_gmr, table_toml
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.tables import load_table


@dataclass(frozen=True, slots=True)
class ImportTable:
    """Turn a GMR-style JSON (ik_match_table1, ik_match_table2) into a retarget.toml of the robot, and list what could
    not be carried over."""

    file: Annotated[Path, tyro.conf.Positional]
    """The JSON file."""
    robot: RobotFlag = "unitree_g1"
    out: Path = Path("retarget.toml")
    """Write the table here; a robot reads the one beside its robot.xml."""

    def run(self) -> int:
        """Import, write and say what is missing; 0 when there is a table."""
        try:
            text = expanded(self.file, CommandError).read_bytes()
        except OSError as error:
            raise CommandError(f"{self.file} cannot be read: {error.strerror}") from None
        base = load_table(table_path(registry.load("robot", self.robot)))
        imported = import_gmr(text, base, where=str(self.file))
        out = output_file("--out", self.out)
        out.write_text(table_toml(imported.table))
        console = Console(highlight=False)
        console.print(f"wrote {out}; not carried over:")
        for note in imported.notes:
            console.print(f"  {note}", soft_wrap=True)
        return 0
