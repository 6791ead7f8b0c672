"""RobotLink over LCM: to `teleop lcm-bridge` beside a robot, or to a virtual robot of this computer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from teleopd.robots.link import LinkCounters, LinkTimeout, LinkUnavailable, require_permitted
from teleopd.robots.links.lcm.delay import DelayWatch
from teleopd.robots.links.lcm.messages import BODY, COMMAND, STATE, MessageCodec, command_fields
from teleopd.robots.links.lcm.state import NO_MODE, StateCodec
from teleopd.robots.links.lcm.transport import DEFAULT_URL, Network
from teleopd.robots.model import Array, JointCommand, LowState, RobotModel

LISTEN_S = 0.3
"""As the dds link."""
_POLL_S = 0.002


class LcmLink:
    """One robot on one LCM URL. Reading and writing poll; only `wait_ready` waits, before any loop runs.

    The bridge at the other end has a gate, a supervisor and a standing policy of its own: what is written here it
    follows while it is ACTIVE, and it is told with every command what this side's ladder says (`tell`).
    """

    def __init__(
        self, model: RobotModel, url: str = DEFAULT_URL, *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`clock`: stamps what is received [ns].

        Raises:
            LinkUnavailable: the lcm package is missing, or this computer has no route for multicast.
            ValueError: not an LCM URL.
        """
        self.model, self.counters, self._clock = model, LinkCounters(), clock
        self._network = Network(url)
        for channel in (STATE, COMMAND, BODY):
            self._network.subscribe(channel)
        self._reports, self._commands = StateCodec(model), MessageCodec(command_fields(model.n))
        self.sender = secrets.randbits(62) | 1
        """This link's number in every command."""
        self.robot = 0
        """Number of the robot that is listened to; 0 before one was heard."""
        self.others: set[int] = set()
        """Numbers of other robots heard."""
        self._delay = DelayWatch()
        self._state: LowState | None = None
        self.peer_mode = NO_MODE
        """Mode of the bridge's own ladder."""
        self._machine = NO_MODE
        self._mode, self._damped, self._tilt = 0, False, (0.0, 0.0)
        self._public_only = 0
        self._closed = False

    # -- the protocol ---------------------------------------------------------------------------------------------

    def read(self) -> LowState | None:
        """Newest good state, or None before the first; the same object while there is no newer one."""
        if self._closed:
            return self._state
        self._network.poll()
        for data in self._network.take(COMMAND):
            record = self._commands.decode(data)
            if record is not None and int(record["sender"]) != self.sender:
                self.counters.foreign_commands += 1
        self._public_only += len(self._network.take(BODY))
        for data in self._network.take(STATE):
            record = self._reports.record(data)
            if record is None:
                self.counters.bad_length += 1
            else:
                self._take(record)
        return self._state

    def _take(self, record: Any) -> None:
        counters, now_ns = self.counters, self._clock()
        robot = int(record["robot"])
        if self.robot not in (0, robot):
            self.others.add(robot)
            return
        last = self._state
        if last is not None and int(record["tick"]) == last.tick:
            counters.frozen += 1
            return
        if not self._delay.accepts(int(record["timestamp_us"]), now_ns // 1000):
            counters.late += 1
            return
        self.robot, self.peer_mode = robot, int(record["mode"])
        self._state = state = self._reports.state(record, now_ns)
        if last is not None and state.mode_machine != self._machine:
            counters.hardware_changes += 1
        self._machine = state.mode_machine
        counters.received += 1

    def tell(self, mode: int, damped_by_operator: bool, tilt_rp: Array | tuple[float, float]) -> None:
        """What goes with the commands from now on: this side's mode, that its operator asked for damping, and roll and
        pitch of what its policy tracks [rad], (2,)."""
        self._mode, self._damped, self._tilt = mode, damped_by_operator, (float(tilt_rp[0]), float(tilt_rp[1]))

    def write(self, command: JointCommand) -> None:
        """Send one permitted command; ignored after `close`, and held back until the robot was heard.

        Raises:
            TypeError: it was not built by the gate.
        """
        require_permitted(command)
        if self._closed:
            return
        if self._state is None:
            self.counters.held_back += 1
            return
        data = self._commands.encode(
            sender=self.sender, seq=self.counters.sent + 1, timestamp_us=time.monotonic_ns() // 1000, mode=self._mode,
            damped_by_operator=self._damped, tilt_rp=self._tilt, q=command.q, dq=command.dq, tau=command.tau,
            kp=command.kp, kd=command.kd,
        )  # fmt: skip
        self.counters.send_failed += not self._network.publish(COMMAND, data)
        self.counters.sent += 1

    def close(self) -> None:
        """Stop writing and leave the network; safe to call twice. A bridge takes the silence for a lost network."""
        if not self._closed:
            self._closed = True
            self._network.close()

    # -- before the loop --------------------------------------------------------------------------------------------

    def wait_ready(self, timeout_s: float = 5.0) -> LowState:
        """Wait for the robot and check that it may be commanded.

        Raises:
            LinkTimeout: no good state came; says what came instead.
            WrongHardware: there are no limits for the variant it reports.
            LinkUnavailable: two robots on this URL, or another program sends commands.
        """
        deadline = time.monotonic() + timeout_s
        state = self.read()
        while state is None:
            if time.monotonic() >= deadline:
                raise LinkTimeout(self._silence(timeout_s))
            time.sleep(_POLL_S)
            state = self.read()
        self.model.limits_for(state.mode_machine)
        until, before = time.monotonic() + LISTEN_S, self.counters.foreign_commands
        while time.monotonic() < until:
            self.read()
            time.sleep(_POLL_S)
        where = f"on {self._network.url}"
        if self.counters.foreign_commands > before:
            raise LinkUnavailable(
                f"another program sends {COMMAND} to {self.model.name} {where}; stop it first: two would fight over "
                "the robot"
            )
        if self.others:
            raise LinkUnavailable(f"{1 + len(self.others)} robots publish {STATE} {where}; leave one of them on")
        return state

    def _silence(self, timeout_s: float) -> str:
        where = f"on {self._network.url}"
        if self.counters.bad_length:
            return f"{STATE} {where} is not of a {self.model.name}: is that another robot?"
        if self._public_only:
            return (
                f"{BODY} is heard {where}, but no {STATE}: a relay that knows no mode cannot be made to damp; run "
                "teleop lcm-bridge beside the robot instead"
            )
        return (
            f"no {STATE} of a {self.model.name} {where} within {timeout_s:g} s: does teleop lcm-bridge (or teleop "
            "robot --link lcm) run there, and with the same URL?"
        )
