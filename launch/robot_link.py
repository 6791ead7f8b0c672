"""From the run's configuration to the robot: what its link is given, and the hand on it where it is a virtual one."""

from __future__ import annotations

import time
from collections.abc import Callable

from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.errors import CommandError
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.links.sim.control import SimControl
from teleopd.robots.links.sim.wire import VirtualTruth, create_sim_streams
from teleopd.robots.model import RobotModel
from teleopd.service.streams import LoopStatus

LOOPBACK = "lo"
PROOF_S = 10.0
"""A virtual robot answers within 20 ms of being discovered, which takes a loaded machine up to seconds."""
_LOOK_S = 0.02
SIMULATOR = "the peer is taken for a simulator: its checksum, tick, hardware variant and controller are not checked"


def link_options(config: RunConfig) -> LinkOptions:
    """What the configured link is opened with.

    Raises:
        ConfigError: options that do not go with the link.
        LinkUnavailable: an interface that is missing or unknown, naming those there are; or a package is missing.
    """
    alone = config.auto_engage_virtual
    if config.peer == "simulator":
        _check_simulator(config)
    if config.lcm_url and config.link != "lcm":
        raise ConfigError(f"lcm_url is for link lcm, not for link '{config.link}'")
    if config.link == "lcm":
        return _lcm_options(config)
    if config.link == "dds":
        from teleopd.robots.links.dds.opening import check_interface

        check_interface(config.robot, config.interface)
        if not 0 <= config.domain <= 232:
            raise ConfigError(f"domain is {config.domain}; give 0 to 232, 0 for the vendor's robots")
        if alone and config.interface != LOOPBACK:
            raise ConfigError(
                f"auto_engage_virtual is refused on interface '{config.interface}': a robot proves that it is virtual "
                f"on '{LOOPBACK}' only"
            )
        return LinkOptions(
            config.interface, config.domain, release=config.release_controller or (alone and config.mode == "whole"),
            simulator=config.peer == "simulator", arms=config.mode == "arms",
        )  # fmt: skip
    if alone:
        instead = "give --auto-engage" if config.link == "sim" else "only a virtual robot may engage by itself"
        raise ConfigError(f"auto_engage_virtual is for links dds and lcm; on link '{config.link}' {instead}")
    if config.link == "sim":
        if config.interface:
            raise ConfigError(
                f"interface '{config.interface}' is for a robot on the network; link sim needs none, as it has its own "
                f"virtual robot (interfaces here: {_listed()})"
            )
        if config.release_controller:
            raise ConfigError("release_controller is for a robot on the network; the robot of link sim has none")
    return LinkOptions(config.interface, config.domain, release=config.release_controller)


def _lcm_options(config: RunConfig) -> LinkOptions:
    """
    Raises:
        ConfigError: a URL that cannot be one, or options of other links.
        LinkUnavailable: the lcm package is missing.
    """
    from teleopd.robots.links.lcm.transport import DEFAULT_URL, parse_url, require_lcm

    url = config.lcm_url or DEFAULT_URL
    try:
        parts = parse_url(url)
    except ValueError as error:
        raise ConfigError(f"lcm_url: {error}") from None
    if config.interface:
        raise ConfigError(
            f"interface '{config.interface}' is for link dds; LCM goes where this computer's route to {parts.group} "
            "leads, and lcm_url says how far"
        )
    if config.release_controller:
        raise ConfigError("release_controller is for link dds; over LCM the bridge beside the robot takes the motors")
    if config.auto_engage_virtual and not parts.local:
        raise ConfigError(
            f"auto_engage_virtual is refused on {url}: a robot proves that it is virtual with ttl=0 only, which "
            "reaches no other computer"
        )
    require_lcm()
    return LinkOptions(lcm_url=url)


def _check_simulator(config: RunConfig) -> None:
    """
    Raises:
        ConfigError: a peer that is no robot, where one may be.
    """
    if config.link != "dds":
        raise ConfigError(f"peer simulator is for link dds; link '{config.link}' has no third-party simulator")
    if config.interface not in ("", LOOPBACK):
        raise ConfigError(
            f"peer simulator is refused on interface '{config.interface}': a robot may be connected there, whose "
            "reports must be checked"
        )
    if config.auto_engage_virtual:
        raise ConfigError("auto_engage_virtual is for the virtual robot of this project: no other simulator proves it")


def _listed() -> str:
    from teleopd.robots.links.dds.opening import interface_names

    return ", ".join(interface_names())


def open_hand(
    config: RunConfig, session: Session, model: RobotModel, say: Callable[[str], None]
) -> VirtualHand | None:
    """The hand on the robot of this run, if it may be a virtual one; None on a link to hardware. `say`: for the user.

    Raises:
        LinkUnavailable: the transport cannot be used.
    """
    if config.link == "sim":
        create_sim_streams(session, model.n)
        return SimControl(session)
    if config.peer == "simulator":
        say(SIMULATOR)
    if config.link == "dds":
        from teleopd.robots.links.dds.opening import open_hand as open_dds_hand

        return open_dds_hand(session, model, link_options(config))
    if config.link == "lcm":
        from teleopd.robots.links.lcm.opening import open_hand as open_lcm_hand

        return open_lcm_hand(session, model, link_options(config))
    return None


def require_virtual(hand: VirtualHand | None, config: RunConfig, give_up: Callable[[], bool]) -> None:
    """Where a run engages alone over the network, wait until the robot has proved that it is virtual; nothing has been
    sent to it yet.

    Args:
        give_up: asked at every look; True ends the waiting.

    Raises:
        CommandError: it has not.
    """
    if not config.auto_engage_virtual:
        return
    deadline = time.monotonic() + PROOF_S
    while not (hand is not None and hand.is_virtual(time.monotonic_ns())):
        if time.monotonic() >= deadline or give_up():
            objection = "no robot answers" if hand is None else hand.objection(time.monotonic_ns())
            raise CommandError(
                f"--auto-engage-virtual is refused: {objection}; it is honoured for a virtual robot on this computer, "
                f"as started by: teleop robot --robot {config.robot} --link {config.link}"
                + (f" --interface {LOOPBACK}" if config.link == "dds" else "")
            )
        time.sleep(_LOOK_S)


def loop_of(truth: VirtualTruth, cpu_percent: float) -> LoopStatus:
    """The punctuality of a virtual robot's own loop, as the other processes publish theirs."""
    return LoopStatus(
        truth.t_ns, truth.loop_rate_hz, truth.loop_ticks, truth.loop_missed, truth.loop_late_p50_us,
        truth.loop_late_p99_us, truth.loop_late_max_us, truth.loop_work_p50_us, truth.loop_work_p99_us, cpu_percent,
    )  # fmt: skip
