"""`teleop deploy`: the service under systemd, on a computer that should run it unattended. Never armed by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from teleopd.launch import deploy, registry
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag

COMMANDS = {
    "install": (("systemd-sysusers",), ("systemctl", "daemon-reload")),
    "uninstall": (("systemctl", "daemon-reload"),),
}


@dataclass(frozen=True, slots=True)
class Deploy:
    """Install or remove the systemd units. A service they start comes up disarmed: a person readies, arms, engages."""

    verb: Annotated[Literal["install", "uninstall", "settle"], tyro.conf.Positional]
    """install: units, the account they run under, a run file to edit. uninstall: take the units away; configuration,
    recordings and logs stay. settle: wait until no process writes to a robot's motors (the units call it)."""
    robot: RobotFlag = "unitree_g1"
    dry_run: bool = False
    """Print what would be written and run, and do nothing."""
    root: Path = Path("/")
    """Install below this folder, for an image; no command is run then."""

    def run(self) -> int:
        """Do it; 0 when it was done."""
        if self.verb == "settle":
            return self._settle()
        registry.check("robot", self.robot)
        planned = deploy.plan(self.root, deploy.program(), self.robot)
        commands = COMMANDS[self.verb] if self.root == Path("/") else ()
        if self.dry_run:
            return self._dry(planned, commands)
        if self.verb == "uninstall":
            self._refuse_while_active()
        for said in (deploy.write if self.verb == "install" else deploy.remove)(planned):
            print(said)
        for command in commands:
            _run(command)
        if self.verb == "install":
            print(f"next: edit {self.root / deploy.CONFIG / self.robot}.toml, then teleop doctor --deploy, then\n"
                  f"      systemctl enable --now teleopd.target teleopd@{self.robot}")  # fmt: skip
        return 0

    def _dry(self, planned: list[deploy.Planned], commands: tuple[tuple[str, ...], ...]) -> int:
        for one in planned:
            if self.verb == "install":
                print(f"# would write {one.path}" + (", if it is absent" if one.keep else ""))
                print(one.text)
            elif not one.keep:
                print(f"# would remove {one.path}")
        for command in commands:
            print(f"# would run {' '.join(command)}")
        return 0

    def _refuse_while_active(self) -> None:
        if self.root != Path("/") or shutil.which("systemctl") is None:
            return
        listed = subprocess.run(
            ["systemctl", "list-units", "--no-legend", "--plain", "--state=active", "teleopd*@*.service"],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        if listed:
            stop = f"stop it first: systemctl stop {listed[0]}"
            raise CommandError(f"{listed[0]} runs, perhaps with a robot on its feet; {stop}")

    def _settle(self) -> int:
        held = deploy.settle()
        if held:
            print(f"the motors of {', '.join(held)} are still written to; ending that process", file=sys.stderr)
        rest = deploy.kill_rest()
        if rest:
            print(f"ended {len(rest)} processes that were left", file=sys.stderr)
        return 0


def _run(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        raise CommandError(f"{command[0]} is not installed; without systemd use the container file of docs/deploy.md")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")
