"""RobotLink to a Unitree robot, or to a virtual one, over DDS."""

from __future__ import annotations

import time
from collections.abc import Callable

from teleopd.robots.link import LinkCounters, LinkTimeout, LinkUnavailable, require_permitted
from teleopd.robots.links.dds.arms import ARM_TOPIC, ArmEncoder
from teleopd.robots.links.dds.battery import BatteryWatch
from teleopd.robots.links.dds.cdr import LowCmdEncoder, checksum_stored
from teleopd.robots.links.dds.low_state import LowStateDecoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherClient
from teleopd.robots.links.dds.transport import LOOPBACK, Participant
from teleopd.robots.model import JointCommand, LowState, RobotModel

COMMAND_TOPIC, STATE_TOPIC = "rt/lowcmd", "rt/lowstate"
LISTEN_S = 0.3
"""So long a robot is listened to before it is taken over: a foreign publisher at 10 Hz is heard three times."""
_POLL_S = 0.002
FOREIGN_EVERY = 5
"""Reads between two looks for commands of others: 10 ms in the loop; what follows from them takes half a second."""


class DdsLink:
    """One robot on one network interface. Reading and writing poll; only `wait_ready` waits, before any loop runs."""

    def __init__(
        self,
        model: RobotModel,
        interface: str,
        *,
        domain: int = 0,
        simulator: bool = False,
        arms: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`simulator`: take states without checksum and tick, as third-party simulators send them; loopback only.
        `arms`: command the arms alone, through the robot's own balance controller. `clock`: stamps what is received and
        sent [ns].

        Raises:
            LinkUnavailable: cyclonedds or the interface is missing; the robot lends no arms.
            ValueError: `simulator` on a real interface, or not an interface name.
        """
        if simulator and interface != LOOPBACK:
            raise ValueError(f"a simulator's states are taken on interface '{LOOPBACK}' only, not on '{interface}'")
        self.model, self.counters = model, LinkCounters()
        self._simulator, self._clock = simulator, clock
        self._arms = ArmEncoder(model) if arms else None
        self._topic = ARM_TOPIC if arms else COMMAND_TOPIC
        self._participant = Participant(interface, domain)
        self._states = self._participant.reader(STATE_TOPIC, model.wire, "LowState_")
        self._foreign = self._participant.reader(self._topic, model.wire, "LowCmd_", others_only=True)
        self._commands = self._participant.writer(self._topic, model.wire, "LowCmd_")
        self._battery = BatteryWatch(self._participant, model)
        self._decoder, self._encoder = LowStateDecoder(model), LowCmdEncoder(model)
        self._size = 4 + self._decoder.layout.size
        self._checksum = self._decoder.layout.checksum.reusing()
        self._state: LowState | None = None
        self._machine = model.default_mode_machine
        """The variant as the robot last sent it."""
        self._reads = 0
        self._closed = False

    # -- the protocol ---------------------------------------------------------------------------------------------

    def read(self) -> LowState | None:
        """Newest good state, or None before the first; the same object while there is no newer one."""
        if self._closed:
            return self._state
        counters = self.counters
        if self._reads % FOREIGN_EVERY == 0:
            self._look_for_others()
        self._reads += 1
        self._battery.look()
        for data in self._states.take():
            if len(data) != self._size:
                counters.bad_length += 1
            elif not self._simulator and not checksum_stored(data, self._decoder.layout, self._checksum):
                counters.bad_crc += 1
            else:
                self._battery.hear(data)
                self._take(self._decoder.decode(data, self._clock()))
        return self._state

    def _look_for_others(self) -> None:
        self.counters.foreign_commands += len(self._foreign.take())

    def _take(self, state: LowState) -> None:
        counters, last = self.counters, self._state
        if last is not None and state.tick == last.tick and not self._simulator:
            counters.frozen += 1
            return
        machine = state.mode_machine
        if last is not None and machine != self._machine:
            counters.hardware_changes += 1
        self._machine = machine
        if self._simulator and machine not in self.model.limits_by_mode_machine:
            state = state._replace(mode_machine=self.model.default_mode_machine)  # most simulators leave it at 0
        counters.received += 1
        self._state = state

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
        if self._arms is not None:
            data = self._arms.encode(self._machine, command, self._clock())
        else:
            data = self._encoder.encode(self._machine, command.q, command.dq, command.tau, command.kp, command.kd)
        self._commands.write(data)
        self.counters.send_failed = self._commands.failed
        self.counters.sent += 1

    def close(self) -> None:
        """Stop writing and leave the network; safe to call twice. The robot keeps the last command."""
        if not self._closed:
            self._closed = True
            self._participant.close()

    # -- before the loop --------------------------------------------------------------------------------------------

    def wait_ready(self, timeout_s: float = 5.0, *, release: bool = False) -> LowState:
        """Wait for the robot and check that it may be taken over; `release`: take the motors from its own controller.

        The robot goes limp when its controller is released: hang it first.

        Raises:
            LinkTimeout: no good state came; says what came instead.
            WrongHardware: there are no limits for the variant it reports.
            LinkUnavailable: two robots on the network, another program sends commands, or its controller is at work.
        """
        deadline = time.monotonic() + timeout_s
        state = self.read()
        while state is None:
            if time.monotonic() >= deadline:
                raise LinkTimeout(self._silence(timeout_s))
            time.sleep(_POLL_S)
            state = self.read()
        if not self._simulator:
            self.model.limits_for(state.mode_machine)
            self._check_controller(release, timeout_s)
        self._listen()
        return state

    def _check_controller(self, release: bool, timeout_s: float) -> None:
        """Who owns the motors: nobody else, or for the arms alone the robot's own controller.

        Raises:
            RobotLinkError: it is otherwise.
        """
        switcher = MotionSwitcherClient(self._participant)
        if self._arms is None:
            switcher.make_free(release=release, timeout_s=timeout_s)
        elif not switcher.check(timeout_s):
            raise LinkUnavailable(
                f"mode arms needs {self.model.name}'s own controller at its balance, and none is at work on interface "
                f"'{self._participant.interface}'; let it stand with the remote first"
            )

    def _listen(self) -> None:
        """
        Raises:
            LinkUnavailable: more than one robot, or another program's commands.
        """
        until = time.monotonic() + LISTEN_S
        before = self.counters.foreign_commands
        while time.monotonic() < until:
            self.read()
            time.sleep(_POLL_S)
            self._look_for_others()  # each time: a host that is slow gets round only a few times
        where = f"on interface '{self._participant.interface}'"
        if self.counters.foreign_commands > before:
            raise LinkUnavailable(
                f"another program sends {self._topic} to {self.model.name} {where}; stop it first: two would fight "
                "over the motors"
            )
        if self._states.matched > 1:
            raise LinkUnavailable(f"{self._states.matched} robots publish {STATE_TOPIC} {where}; leave one of them on")

    def _silence(self, timeout_s: float) -> str:
        counters = self.counters
        where = f"on interface '{self._participant.interface}'"
        if counters.bad_crc or counters.bad_length:
            return (
                f"{STATE_TOPIC} {where} has no good message of a {self.model.name}: {counters.bad_crc} with a wrong "
                f"checksum, {counters.bad_length} with a wrong length"
            )
        own = f"unitree_{self.model.wire}::msg::dds_::LowState_"
        others = {one.type_name for one in self._participant.publications() if one.topic == STATE_TOPIC}
        if others and own not in others:
            return (
                f"{STATE_TOPIC} {where} is {', '.join(sorted(others))}, which no {self.model.name} sends "
                f"(unitree_{self.model.wire}): is that another robot?"
            )
        return (
            f"no {STATE_TOPIC} of a {self.model.name} (unitree_{self.model.wire}) {where} within {timeout_s:g} s: is "
            "the robot on, and is that the interface it is connected to?"
        )

    def age_ns(self, now_ns: int) -> int | None:
        """Time since the newest good state was received [ns], None before the first."""
        return None if self._state is None else now_ns - self._state.t_ns

    @property
    def battery(self) -> int:
        """State of charge [%]; -1 before it was heard."""
        return self._battery.percent

    @property
    def foreign_writers(self) -> int:
        """How many others can send commands to the robot, whether or not they do."""
        return self._foreign.matched

    @property
    def participant(self) -> Participant:
        """This process's membership of the DDS domain."""
        return self._participant
