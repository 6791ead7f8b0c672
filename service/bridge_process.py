"""The process of `teleop lcm-bridge` that takes the place of `control`: targets come over LCM, and reports go back.

Its own policy runs all the time on the stand reference, as the standby twin's does, and balances the robot whenever no
stream is followed; `BridgeStage` decides. robot-io and the standby twin are those of every run.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.lcm.delay import DelayWatch
from teleopd.robots.links.lcm.messages import COMMAND, TARGETS, MessageCodec, command_fields, targets_fields
from teleopd.robots.links.lcm.state import NO_MODE, StatePublisher
from teleopd.robots.links.lcm.transport import Network
from teleopd.robots.model import Array, JointTargets, LowState, RobotModel
from teleopd.robots.rates import Rate, freeze_collector, request_priority
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Act, Mode, SafetyStatus
from teleopd.service.bridge_stage import PUBLIC, BridgeStage, RemoteTargets
from teleopd.service.child import CpuMeter, Ending, loop_status, refuse
from teleopd.service.control_process import PRIORITY, ControlStage, service_gone, tick_log
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.streams import Bus

RATE_HZ = 500.0
"""Targets are handed on, and reports sent, within 2 ms; the policy runs at its own rate in between."""
LOOP_STATUS_TICKS = 100
_KNOWN_SENDERS = 16


class Intake:
    """LCM messages -> `RemoteTargets`, newest last."""

    def __init__(self, network: Network, model: RobotModel, kp: Array, kd: Array) -> None:
        """`kp`, `kd`: gains (n,) for targets that carry none."""
        self._network, self._kp, self._kd = network, kp, kd
        self._commands = MessageCodec(command_fields(model.n))
        self._targets = MessageCodec(targets_fields(model.n))
        for channel in (COMMAND, TARGETS):
            network.subscribe(channel)
        self._delays: dict[int, DelayWatch] = {}
        self.late = 0
        """Too long under way, or older than the one before."""
        self.unreadable = 0
        """Of another type or length."""

    def take(self, now_ns: int) -> list[RemoteTargets]:
        """What came since the last time."""
        self._network.poll()
        found = [self._of_command(record, now_ns) for record in self._records(COMMAND, self._commands, now_ns)]
        for record in self._records(TARGETS, self._targets, now_ns):
            found.append(RemoteTargets(PUBLIC, now_ns, record["q_des"].astype(np.float64), self._kp, self._kd))
        return found

    def _records(self, channel: str, codec: MessageCodec, now_ns: int) -> list[Any]:
        found = []
        for data in self._network.take(channel):
            record = codec.decode(data)
            if record is None:
                self.unreadable += 1
                continue
            sender = int(record["sender"]) if channel == COMMAND else PUBLIC
            if len(self._delays) > _KNOWN_SENDERS:
                self._delays.clear()
            if self._delays.setdefault(sender, DelayWatch()).accepts(int(record["timestamp_us"]), now_ns // 1000):
                found.append(record)
            else:
                self.late += 1
        return found

    @staticmethod
    def _of_command(record: Any, now_ns: int) -> RemoteTargets:
        q, kp, kd = (record[name].astype(np.float64) for name in ("q", "kp", "kd"))
        mode = int(record["mode"])
        tilt = float(record["tilt_rp"][0]), float(record["tilt_rp"][1])
        known = Mode(mode) if mode in Mode._value2member_map_ else Mode.BOOT
        return RemoteTargets(
            int(record["sender"]), now_ns, q, kp, kd, known, bool(record["damped_by_operator"]), tilt
        )


class _Bridge:
    """Slots and LCM in, slots and LCM out."""

    def __init__(
        self, session: Session, model: RobotModel, network: Network, control: ControlStage, runtime: PolicyRuntime,
        thresholds: Thresholds,
    ) -> None:  # fmt: skip
        bus = Bus(session, model.n)
        self._control, self._stage = control, BridgeStage(model, thresholds)
        self._intake = Intake(network, model, runtime.kp, runtime.kd)
        self._reports = StatePublisher(network, model, secrets.randbits(62) | 1)
        self._states, self._statuses, self._targets = bus.slot("state"), bus.slot("safety_status"), bus.slot("targets")
        self._operator = OperatorWriter(bus.slot("operator_device"), session.token)
        self._log, self._record = bus.ring("tick_log"), bus.record("target")
        self._every = max(1, round(RATE_HZ / runtime.card.rate_hz))
        self._ticks = 0
        self._local: JointTargets | None = None
        self._reported: LowState | None = None

    def tick(self, now_ns: int) -> None:
        state: LowState | None = self._states.read()
        status: SafetyStatus | None = self._statuses.read()
        mode = Mode(status.mode) if status is not None else None
        if state is not None and state is not self._reported:
            self._reports.publish(state, now_ns, NO_MODE if mode is None else int(mode))
            self._reported = state
        heard = self._intake.take(now_ns)
        for remote in heard:
            if self._stage.hear(remote):
                self._operator.act(Act.DAMP, now_ns)
        due = self._ticks % self._every == 0
        self._ticks += 1
        if state is not None and mode is not None and (due or (heard and self._stage.following)):
            self._hand_on(state, mode, now_ns, due)

    def _hand_on(self, state: LowState, mode: Mode, now_ns: int, due: bool) -> None:
        if due or self._local is None:
            tick = self._control.tick(None, state, mode, now_ns, spare=self._stage.following)
            self._local = tick.targets
        published_ns = time.monotonic_ns()
        targets = self._stage.targets(self._local, state, mode, published_ns)
        self._targets.write(targets)
        self._targets.wake()
        self._record(targets)
        if due:
            self._log.push(tick_log(tick._replace(targets=targets), state, mode, published_ns))


def main(
    session: Session, robot: str, policy: ResolvedPolicy, link: str, url: str,
    overrides: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Entry of the process. `link`: robot-io's own, for the policy's gains. `url`: of LCM. `overrides`: safety limits
    that tighten the built-in ones."""
    from teleopd.robots.catalog import load_robot

    model = load_robot(robot)
    request_priority(PRIORITY)  # before LCM's thread exists, which inherits it
    try:
        network = Network(url)
        runtime = PolicyRuntime(policy.card, policy.onnx_path, model, link=link)
    except (PolicyError, ValueError, LinkUnavailable) as error:
        refuse(session, "bridge", str(error))
    thresholds = Thresholds(overrides)
    control = ControlStage(model, ReferenceGuard(model, thresholds=thresholds), runtime, thresholds=thresholds)
    bridge = _Bridge(session, model, network, control, runtime, thresholds)
    bus = Bus(session, model.n)
    loop, statuses = bus.slot("loop_control"), bus.slot("safety_status")
    freeze_collector()
    ending, rate, cpu = Ending(), Rate(RATE_HZ), CpuMeter()
    while not ending.asked and not service_gone(ending, statuses.read()):
        rate.wait()
        bridge.tick(time.monotonic_ns())
        if rate.ticks % LOOP_STATUS_TICKS == 0:
            loop.write(loop_status(rate, cpu))
    network.close()
