"""`teleop robot`: the virtual robot as a network peer, in a process of its own."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Literal, Protocol

from rich.console import Console

from teleopd.launch import registry
from teleopd.launch.config import SERVED_PHYSICS_HZ
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag
from teleopd.robots.model import RobotModel

if TYPE_CHECKING:
    from teleopd.robots.rates import Rate


@dataclass(frozen=True, slots=True)
class Robot:
    """Run a virtual robot that speaks the vendor's topics on a network interface, until Ctrl-C.

    It hangs on a gantry, sends LowState at 500 Hz and obeys LowCmd once its own controller has been released through
    the motion_switcher service (over LCM at once). On lo, or with ttl=0, it also proves to whoever asks on a topic of
    this project that it is virtual, and lets them work its gantry; anywhere else it does neither."""

    robot: RobotFlag = "unitree_g1"
    link: Literal["dds", "lcm"] = "dds"
    """The transport: dds (extra `unitree`), or lcm (extra `lcm`), where it stands for a robot with its bridge."""
    lcm_url: str = ""
    """URL of link lcm; udpm://239.255.76.67:7667?ttl=0 when not given, which reaches this computer only."""
    interface: str = "lo"
    """Network interface that link dds speaks on. DDS has no authentication: on any but lo, everyone on that network
    commands it."""
    domain: int = 0
    """DDS domain, 0 to 232; the vendor's programs use 0."""
    released: bool = False
    """Start with the motors free, as after motion_switcher's ReleaseMode."""
    controller: Literal["stand", "none"] = "stand"
    """What its own controller does until released: stand holds the stand pose and obeys rt/arm_sdk (the robot hangs
    on the gantry); with none the motors damp."""
    physics_hz: int = 1000
    """Rate of its physics [Hz]: 500, 1000 or 2000; 500 for computers with little to spare."""
    battery: int = 100
    """What its battery reports [%], 1 to 100; link dds."""
    seconds: float | None = None
    """Stop after so many seconds [s]."""

    def run(self) -> int:
        """Run until the time is up or Ctrl-C; 0 then."""
        model = registry.load("robot", self.robot)
        if self.seconds is not None and not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds}; give a positive number")
        if self.physics_hz not in SERVED_PHYSICS_HZ:
            valid = ", ".join(map(str, SERVED_PHYSICS_HZ))
            raise CommandError(f"--physics-hz is {self.physics_hz}; choose one of: {valid}")
        from teleopd.robots.rates import Rate, freeze_collector, request_priority
        from teleopd.robots.virtual.process import PRIORITY

        request_priority(PRIORITY)  # before the threads of the transport exist, which inherit it
        console = Console(stderr=True, highlight=False)
        try:
            running = self._on_lcm(model, console) if self.link == "lcm" else self._on_dds(model, console)
        except ValueError as error:
            raise CommandError(str(error)) from None
        for number in (signal.SIGINT, signal.SIGTERM):  # of its own: a shell starts what it puts behind with none
            signal.signal(number, _end)
        try:
            freeze_collector()
            running.peer.run(Rate(500), self.seconds)
        except KeyboardInterrupt:
            pass
        finally:
            running.close()
        console.print(running.summary(), soft_wrap=True)
        return 0

    def _on_dds(self, model: RobotModel, console: Console) -> _Running:
        from teleopd.robots.links.dds.opening import check_interface
        from teleopd.robots.links.dds.transport import Participant
        from teleopd.robots.virtual.balancer import Balancer
        from teleopd.robots.virtual.dds_peer import DdsPeer
        from teleopd.robots.virtual.robot import VirtualRobot

        if self.lcm_url:
            raise CommandError("--lcm-url is for link lcm; give --link lcm with it")
        check_interface(self.robot, self.interface)
        participant = Participant(self.interface, self.domain)
        robot = VirtualRobot(model, physics_hz=self.physics_hz)
        balancer = Balancer(robot) if self.controller == "stand" and model.arms is not None else None
        peer = DdsPeer(
            participant, robot, mode="" if self.released else "ai", balancer=balancer, battery_percent=self.battery
        )
        console.print(f"{self.robot} (virtual) speaks DDS on {self.interface}, domain {self.domain}; Ctrl-C ends it")
        return _Running(peer, participant.close, lambda: (
            f"obeyed {peer.obeyed} commands; refused: {peer.bad_crc} wrong checksum, {peer.bad_length} wrong length, "
            f"{peer.not_released} before release, {peer.wrong_variant} another hardware variant"
            + (f"; obeyed {balancer.heard} for the arms" if balancer is not None and balancer.heard else "")
        ))  # fmt: skip

    def _on_lcm(self, model: RobotModel, console: Console) -> _Running:
        from teleopd.robots.links.lcm.transport import DEFAULT_URL, Network
        from teleopd.robots.virtual.lcm_peer import LcmPeer
        from teleopd.robots.virtual.robot import VirtualRobot

        network = Network(self.lcm_url or DEFAULT_URL)
        peer = LcmPeer(network, VirtualRobot(model, physics_hz=self.physics_hz))
        console.print(f"{self.robot} (virtual) speaks LCM on {network.url}; Ctrl-C ends it")
        return _Running(peer, network.close, lambda: (
            f"obeyed {peer.obeyed} commands; refused: {peer.bad_length} of another type, {peer.late} late or repeated"
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Running:
    """A virtual robot on its network."""

    peer: _Peer
    close: Callable[[], None]
    summary: Callable[[], str]


class _Peer(Protocol):
    def run(self, rate: Rate, seconds: float | None = None) -> None: ...


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
