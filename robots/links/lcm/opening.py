"""The lcm link and the hand on a virtual robot as a run of the service opens them."""

from __future__ import annotations

from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, LinkUnavailable
from teleopd.robots.links.lcm.hand import LcmHand
from teleopd.robots.links.lcm.link import LcmLink
from teleopd.robots.links.lcm.transport import DEFAULT_URL, parse_url
from teleopd.robots.model import RobotModel


def open_lcm(_session: Session, model: RobotModel, options: LinkOptions) -> LcmLink:
    """A link to a robot, or its bridge, that has been heard and checked.

    Raises:
        RobotLinkError, WrongHardware: see `LcmLink.wait_ready`; the lcm package or a route is missing.
        ValueError: not an LCM URL.
    """
    try:
        link = LcmLink(model, options.lcm_url or DEFAULT_URL)
    except LinkUnavailable as error:
        raise LinkUnavailable(f"link lcm to {model.name}: {error}") from None
    try:
        if not options.at_once:
            link.wait_ready()
    except BaseException:
        link.close()
        raise
    return link


def open_hand(_session: Session, model: RobotModel, options: LinkOptions) -> LcmHand | None:
    """The hand on a virtual robot; None where there can be none: on a URL that reaches other computers.

    Raises:
        LinkUnavailable: the lcm package or a route is missing.
        ValueError: not an LCM URL.
    """
    url = options.lcm_url or DEFAULT_URL
    return LcmHand(model, url) if parse_url(url).local else None
