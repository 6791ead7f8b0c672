"""The dds link and the hand on a virtual robot as a run of the service opens them."""

from __future__ import annotations

import socket

from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, LinkUnavailable
from teleopd.robots.links.dds.hand import DdsHand
from teleopd.robots.links.dds.idl import require_cyclonedds
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.transport import LOOPBACK
from teleopd.robots.model import RobotModel


def interface_names() -> list[str]:
    """The network interfaces of this computer, loopback first."""
    return sorted((name for _, name in socket.if_nameindex()), key=lambda name: (name != LOOPBACK, name))


def check_interface(robot: str, interface: str) -> None:
    """Refuse an interface that is missing or unknown, in one sentence that names those there are.

    Raises:
        LinkUnavailable: it is; or cyclonedds is not installed.
    """
    names = interface_names()
    listed = ", ".join(names)
    if not interface:
        raise LinkUnavailable(
            f"link dds to {robot} needs --interface, the network interface the robot is connected to; there are: "
            f"{listed} ({LOOPBACK} is for the virtual robot)"
        )
    if interface not in names:
        raise LinkUnavailable(
            f"link dds to {robot}: this computer has no network interface '{interface}'; there are: {listed}"
        )
    require_cyclonedds()


def open_dds(_session: Session, model: RobotModel, options: LinkOptions) -> DdsLink:
    """A link to a robot that has been heard, checked and, where asked for, taken from its own controller.

    Raises:
        RobotLinkError, WrongHardware: see `DdsLink.wait_ready`; the interface or cyclonedds is missing.
    """
    check_interface(model.name, options.interface)
    link = DdsLink(
        model, options.interface, domain=options.domain, simulator=options.simulator, arms=options.arms
    )  # fmt: skip
    try:
        if not options.at_once:
            link.wait_ready(release=options.release)
    except BaseException:
        link.close()
        raise
    return link


def open_hand(_session: Session, model: RobotModel, options: LinkOptions) -> DdsHand | None:
    """The hand on a virtual robot; None where there can be none, on any interface but loopback.

    Raises:
        LinkUnavailable: the interface or cyclonedds is missing.
    """
    check_interface(model.name, options.interface)
    return DdsHand(model, options.interface, options.domain) if options.interface == LOOPBACK else None
