"""Installs the units of `systemd/`, and waits for a motor process that brings a robot down by itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from teleopd.launch.errors import CommandError
from teleopd.robots.ipc.session import runtime_dir

MARK = "# Installed by `teleop deploy install`; `teleop deploy uninstall` removes it.\n"
CONFIG = "etc/teleopd"
SETTLE_S = 20.0
"""Longer than a motor process needs without its parent: it returns to stand, damps after 5 s, and ends after 1 s."""
HOMES = ("/home/", "/root/", "/run/user/")
"""Folders that the units' ProtectHome hides."""
EXAMPLE = """\
# Run file of teleopd@{robot}: keys as in docs/configuration.md; flags of `teleop serve` have the same names.
robot = "{robot}"
source = "xsens"
# link = "dds"           # a real robot; 'sim' is the virtual one
# interface = "enp3s0"
# mqtt = "broker.local"
# metrics_port = 9105
view = false             # the browser view needs a person's own session
"""


class Planned(NamedTuple):
    """One file to write."""

    path: Path
    text: str
    keep: bool = False
    """A file that is there already stays as it is."""


def units_folder() -> Path:
    """Where the unit files lie: beside the checkout, or with the installed package.

    Raises:
        CommandError: neither.
    """
    for folder in (Path(__file__).resolve().parent.parent / "systemd", Path(sys.prefix) / "share/teleopd/systemd"):
        if (folder / "teleopd.target").is_file():
            return folder
    raise CommandError("the unit files were not installed with teleopd; install it anew from its wheel")


def program() -> Path:
    """The `teleop` of this environment.

    Raises:
        CommandError: it is not there, or lies where a hardened unit cannot see it.
    """
    found = Path(sys.prefix) / "bin" / "teleop"
    if not found.is_file():
        raise CommandError(f"{found} does not exist; install teleopd in a virtual environment, as /opt/teleopd")
    for path in (found, Path(sys.executable).resolve()):
        if str(path).startswith(HOMES):
            raise CommandError(
                f"{path} lies in a home folder, which the units may not see; install teleopd and its Python elsewhere, "
                "as in /opt/teleopd"
            )
    if re.search(r"[\s%$\"'\\]", str(found)):
        raise CommandError(f"{found}: a unit cannot name a path with blanks, quotes, % or $")
    return found


def plan(root: Path, teleop: Path, robot: str) -> list[Planned]:
    """Every file `install` writes below `root`."""
    folder = units_folder()
    found = []
    for unit in sorted(folder.iterdir()):
        text = MARK + unit.read_text().replace("@TELEOP@", str(teleop))
        if unit.suffix in (".service", ".target"):
            found.append(Planned(root / "etc/systemd/system" / unit.name, text))
        elif unit.name == "sysusers.conf":
            found.append(Planned(root / "etc/sysusers.d/teleopd.conf", text))
    found.append(Planned(root / CONFIG / f"{robot}.toml", EXAMPLE.format(robot=robot), keep=True))
    return found


def write(planned: list[Planned]) -> Iterator[str]:
    """Write them, whole files at once; says what was done to each.

    Raises:
        CommandError: a file of that name is somebody else's.
    """
    for one in planned:
        if one.keep and one.path.exists():
            yield f"kept   {one.path}"
            continue
        if one.path.exists() and not one.keep and not _ours(one.path):
            raise CommandError(f"{one.path} is not of `teleop deploy install`; move it away first")
        one.path.parent.mkdir(parents=True, exist_ok=True)
        part = one.path.with_name(one.path.name + ".part")
        part.write_text(one.text)
        part.chmod(0o644)
        part.replace(one.path)
        yield f"wrote  {one.path}"


def remove(planned: list[Planned]) -> Iterator[str]:
    """Remove what `write` wrote; configuration, recordings and logs stay."""
    for one in planned:
        if one.keep or not one.path.exists():
            continue
        if _ours(one.path):
            one.path.unlink()
            yield f"removed {one.path}"
        else:
            yield f"left   {one.path}: it was changed by somebody else"


def _ours(path: Path) -> bool:
    return path.read_text(errors="replace").startswith(MARK)


def motors_held() -> list[str]:
    """Robots whose motors a process still writes to."""
    held = []
    for lock in sorted(runtime_dir().glob("*/motors.lock")):
        with lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(lock.parent.name)
    return held


def settle(timeout_s: float = SETTLE_S) -> list[str]:
    """Wait until no process writes to any robot's motors and the unit's others have ended by themselves, the recorder
    with its episode closed; returns the robots whose motors are still written to."""
    deadline = time.monotonic() + timeout_s
    while ((held := motors_held()) or rest_of_unit()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def rest_of_unit() -> list[int]:
    """Every other process of the control group this one is in, where that is one of our units; else none."""
    with contextlib.suppress(OSError):
        group = Path("/proc/self/cgroup").read_text().splitlines()
        path = next((line.partition("::")[2] for line in group if line.startswith("0::")), "")
        if re.search(r"/teleopd(-lcm-bridge)?@[^/]*\.service$", path):
            procs = Path(f"/sys/fs/cgroup{path}/cgroup.procs").read_text().split()
            return [int(pid) for pid in procs if int(pid) != os.getpid()]
    return []


def kill_rest() -> list[int]:
    """End what is left of this unit; returns whom."""
    rest = rest_of_unit()
    for pid in rest:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return rest
