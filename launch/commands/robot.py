"""`teleop robot`: the virtual robot as a network peer, in a process of its own."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from rich.console import Console

from teleopd.launch import registry
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import RobotFlag


@dataclass(frozen=True, slots=True)
class Robot:
    """Run a virtual robot that speaks the vendor's topics on a network interface, until Ctrl-C.

    It hangs on a gantry, sends LowState at 500 Hz and obeys LowCmd once its own controller has been released through
    the motion_switcher service. On lo it also proves to whoever asks on a topic of this project that it is virtual, and
    lets them work its gantry; on any other interface it does neither."""

    robot: RobotFlag = "unitree_g1"
    link: Literal["dds"] = "dds"
    """The transport; dds needs the extra `unitree`."""
    interface: str = "lo"
    """Network interface to speak on. DDS has no authentication: on any but lo, everyone on that network commands it."""
    domain: int = 0
    """DDS domain, 0 to 232; the vendor's programs use 0."""
    released: bool = False
    """Start with the motors free, as after motion_switcher's ReleaseMode."""
    seconds: float | None = None
    """Stop after so many seconds [s]."""

    def run(self) -> int:
        """Run until the time is up or Ctrl-C; 0 then."""
        model = registry.load("robot", self.robot)
        if self.seconds is not None and not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds}; give a positive number")
        from teleopd.robots.links.dds.transport import Participant
        from teleopd.robots.rates import Rate, request_priority
        from teleopd.robots.virtual.dds_peer import DdsPeer
        from teleopd.robots.virtual.process import PRIORITY
        from teleopd.robots.virtual.robot import VirtualRobot

        request_priority(PRIORITY)  # before the threads of the transport exist, which inherit it
        try:
            participant = Participant(self.interface, self.domain)
        except ValueError as error:
            raise CommandError(str(error)) from None
        console = Console(stderr=True, highlight=False)
        peer = DdsPeer(participant, VirtualRobot(model), mode="" if self.released else "ai")
        console.print(f"{self.robot} (virtual) speaks DDS on {self.interface}, domain {self.domain}; Ctrl-C ends it")
        for number in (signal.SIGINT, signal.SIGTERM):  # of its own: a shell starts what it puts behind with none
            signal.signal(number, _end)
        try:
            peer.run(Rate(500), self.seconds)
        except KeyboardInterrupt:
            pass
        finally:
            participant.close()
        console.print(
            f"obeyed {peer.obeyed} commands; refused: {peer.bad_crc} wrong checksum, {peer.bad_length} wrong length, "
            f"{peer.not_released} before release, {peer.wrong_variant} another hardware variant",
            soft_wrap=True,
        )
        return 0


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
