"""Robots and links by name, for processes that receive only the name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points

from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, RobotLink
from teleopd.robots.model import RobotModel

BUILTIN: Mapping[str, str] = {
    "unitree_g1": "teleopd.robots.unitree_g1.model:MODEL",
    "unitree_h1": "teleopd.robots.unitree_h1.model:MODEL",
    "unitree_h1_2": "teleopd.robots.unitree_h1_2.model:MODEL",
}
LINKS: Mapping[str, str] = {
    "sim": "teleopd.robots.links.sim.link:SimLink",
    "dds": "teleopd.robots.links.dds.opening:open_dds",
    "lcm": "teleopd.robots.links.lcm.opening:open_lcm",
}
"""Name -> what makes the link of a session, a robot model and `LinkOptions`."""


def robot_table() -> dict[str, str]:
    """Name -> 'module:attribute', with third parties' entries from the entry-point group `teleopd.robots`."""
    extra = {point.name: point.value for point in entry_points(group="teleopd.robots")}
    return {**extra, **BUILTIN}


def load_robot(name: str) -> RobotModel:
    """The model of that name.

    Raises:
        KeyError: no such robot; `launch/registry.py` says it nicely to users.
    """
    module, _, attribute = robot_table()[name].partition(":")
    model = getattr(importlib.import_module(module), attribute)
    assert isinstance(model, RobotModel)
    return model


def link_table() -> dict[str, str]:
    """Name -> 'module:class', with third parties' entries from the entry-point group `teleopd.links`."""
    extra = {point.name: point.value for point in entry_points(group="teleopd.links")}
    return {**extra, **LINKS}


def open_link(name: str, session: Session, model: RobotModel, options: LinkOptions) -> RobotLink:
    """The link of that name to the session's robot.

    Raises:
        KeyError: no such link.
        RobotLinkError, WrongHardware: it cannot be opened, and why.
    """
    module, _, attribute = link_table()[name].partition(":")
    link: RobotLink = getattr(importlib.import_module(module), attribute)(session, model, options)
    return link
