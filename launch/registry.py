"""Names a user may type -> what they mean, as strings, so that choosing one robot imports no other's code.

Third parties add entries through the entry-point groups `teleopd.sources`, `teleopd.robots`, `teleopd.links`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from teleopd.robots.catalog import link_table, robot_table

SOURCES: Mapping[str, str] = {
    "xsens": "teleopd.drivers.xsens.source:XsensSource",
    "optitrack": "teleopd.drivers.natnet.source:NatNetSource",
    "pico": "teleopd.drivers.pico.source:PicoSource",
    "motion_file": "teleopd.drivers.motion_file.source:MotionFileSource",
    "network": "teleopd.drivers.network.source:NetworkSource",
    "vmc": "teleopd.drivers.vmc.source:VmcSource",
    "tap": "teleopd.drivers.tap.source:TapSource",
    "gamepad": "teleopd.drivers.gamepad.source:GamepadSource",
    "keyboard": "teleopd.drivers.gamepad.keyboard:KeyboardSource",
    "stick": "teleopd.drivers.gamepad.stick:StickSource",
}
EMULATORS: Mapping[str, str] = {
    "xsens": "teleopd.drivers.xsens.emulator:XsensEmulator",
    "optitrack": "teleopd.drivers.natnet.emulator:NatNetEmulator",
    "pico": "teleopd.drivers.pico.emulator:PicoEmulator",
    "network": "teleopd.drivers.network.emulator:NetworkEmulator",
    "vmc": "teleopd.drivers.vmc.emulator:VmcEmulator",
}


class UnknownName(ValueError):
    """A name that is not registered: lists the ones that are, nearest first."""

    def __init__(self, kind: str, name: str, available: list[str]) -> None:
        near = difflib.get_close_matches(name, available, n=1)
        hint = f"; did you mean '{near[0]}'? Valid: " if near else "; valid: "
        super().__init__(f"unknown {kind} '{name}'{hint}{', '.join(sorted(available))}")


def names(kind: str) -> list[str]:
    """Registered names of a kind: 'robot', 'source', 'link' or 'emulator'."""
    return sorted(_table(kind))


def listed(kind: str) -> str:
    """The registered names of a kind as text, for help: 'a, b, c'."""
    return ", ".join(names(kind))


def load(kind: str, name: str) -> Any:
    """The object registered under `name`.

    Raises:
        UnknownName: nothing is; the message lists what is.
    """
    check(kind, name)
    module, _, attribute = _table(kind)[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def check(kind: str, name: str) -> None:
    """Refuse a name that is not registered, without importing anything.

    Raises:
        UnknownName: the message lists what is.
    """
    table = _table(kind)
    if name not in table:
        raise UnknownName(kind, name, list(table))


def _table(kind: str) -> dict[str, str]:
    if kind in ("robot", "link"):
        return robot_table() if kind == "robot" else link_table()
    builtin = {"source": SOURCES, "emulator": EMULATORS}[kind]
    extra = {point.name: point.value for point in entry_points(group=f"teleopd.{kind}s")}
    return {**extra, **builtin}


def reference(kind: str, name: str) -> str:
    """The 'module:attribute' behind a name, for processes that must not import the registry.

    Raises:
        UnknownName: nothing is registered under it.
    """
    check(kind, name)
    return _table(kind)[name]
