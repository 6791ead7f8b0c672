"""Which gamepads there are, and opening one; or in one sentence what is missing."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from teleopd.drivers.gamepad import wire
from teleopd.drivers.source import SourceUnavailable

SYSFS, DEV = Path("/sys/class/input"), Path("/dev/input")


@dataclass(frozen=True, slots=True)
class Found:
    """One gamepad the kernel knows."""

    path: Path
    name: str
    bluetooth: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A pad that can be read without waiting."""

    fd: int
    found: Found
    ranges: dict[str, tuple[int, int]]
    """Axis name -> smallest and largest value; empty where the device does not say."""


def gamepads(sysfs: Path = SYSFS, dev: Path = DEV) -> list[Found]:
    """What the kernel knows as a gamepad: a south button and a stick; readable or not, in the order of its numbers."""
    found = []
    for entry in sorted(sysfs.glob("event*"), key=lambda path: (len(path.name), path.name)):
        device = entry / "device"
        keys, axes = (wire.bits(_text(device / "capabilities" / kind)) for kind in ("key", "abs"))
        if wire.BTN_SOUTH in keys and {wire.ABS_X, wire.ABS_Y} <= axes:
            bus = int(_text(device / "id" / "bustype") or "0", 16)
            name = _text(device / "name") or entry.name
            found.append(Found(dev / entry.name, name, bus == wire.BUS_BLUETOOTH))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def choose(wanted: str, sysfs: Path = SYSFS, dev: Path = DEV) -> Found:
    """The pad that `wanted` means: a path, a part of a name, or '' for the first.

    Raises:
        SourceUnavailable: there is none; says what there is.
    """
    if wanted.startswith("/"):
        return next((pad for pad in gamepads(sysfs, dev) if str(pad.path) == wanted),
                    Found(Path(wanted), Path(wanted).name, False))  # fmt: skip
    pads = gamepads(sysfs, dev)
    for pad in pads:
        if wanted.lower() in pad.name.lower():
            return pad
    if pads:
        known = ", ".join(f"'{pad.name}'" for pad in pads)
        raise SourceUnavailable(f"no gamepad is called '{wanted}'; connected: {known}")
    if not dev.is_dir():
        raise SourceUnavailable(f"no gamepad: {dev} does not exist (a container needs it passed in)")
    raise SourceUnavailable(
        "no gamepad is connected; plug one in or pair it, or walk the robot with --source keyboard"
    )


def open_pad(found: Found) -> Opened:
    """Open it for reading.

    Raises:
        SourceUnavailable: it may not be read (names the group that may), or is gone.
    """
    try:
        fd = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceUnavailable(_why(found, error)) from None
    return Opened(fd, found, _ranges(fd))


def _why(found: Found, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        group = _group(found.path)
        return (
            f"gamepad '{found.name}': {found.path} may not be read; add yourself to group '{group}' "
            f"(sudo usermod -aG {group} $USER) and log in again"
        )
    return f"gamepad '{found.name}': cannot open {found.path}: {error.strerror}"


def _group(path: Path) -> str:
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "input"


def _ranges(fd: int) -> dict[str, tuple[int, int]]:
    """What the axes say of themselves; nothing for what is no input device (a pipe)."""
    ranges: dict[str, tuple[int, int]] = {}
    if not stat.S_ISCHR(os.fstat(fd).st_mode):
        return ranges
    for code, name in wire.AXES.items():
        info = bytearray(wire.ABSINFO.size)
        try:
            fcntl.ioctl(fd, wire.get_abs(code), info)
        except OSError:
            continue
        _, low, high, *_ = wire.ABSINFO.unpack(info)
        if low < high:
            ranges[name] = (low, high)
    return ranges
