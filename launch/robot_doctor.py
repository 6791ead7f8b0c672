"""Listens to a robot on the network as the service would, without ever being able to command it."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from teleopd.drivers.network_facts import interfaces
from teleopd.launch.robot_findings import RobotFacts
from teleopd.robots.link import RobotLinkError
from teleopd.robots.links.dds.cdr import LOW_CMD, checksum_stored
from teleopd.robots.links.dds.link import COMMAND_TOPIC, STATE_TOPIC
from teleopd.robots.links.dds.low_state import LowStateDecoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherClient
from teleopd.robots.links.dds.opening import check_interface
from teleopd.robots.links.dds.records import TRUTH_TOPIC
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import LowState, RobotModel

BATTERY_TOPIC = "rt/lf/bmsstate"
HG_CHARGE, GO_CHARGE = 4 + 100, 4 + 1039
"""Byte of the state of charge [%]: of a hg BmsState_, and of a go LowState_."""
ANSWER_S = 1.0
_POLL_S = 0.0005


class _Heard(NamedTuple):
    """Of the reports and commands."""

    states: int
    bad_crc: int
    bad_length: int
    frozen: int
    commands: int
    first: LowState | None
    last: LowState | None
    battery: int | None


def observe(model: RobotModel, interface: str, domain: int, seconds: float) -> RobotFacts:
    """Listen for so long [s], and ask who owns the motors.

    Raises:
        LinkUnavailable: the interface is missing or unknown, or cyclonedds is not installed.
        ValueError: a domain outside 0 to 232.
    """
    check_interface(model.name, interface)
    device = next((one for one in interfaces() if one.name == interface), None)
    known = tuple(sorted(model.limits_by_mode_machine))
    common = RobotFacts(
        model.name, model.wire, known, interface, domain, seconds, device=device, real_time=_real_time(),
        locked_memory=_locked_memory(),
    )  # fmt: skip
    try:
        participant = Participant(interface, domain)
    except RobotLinkError as error:
        return _with(common, refused=str(error))
    try:
        heard = _listen(participant, model, seconds)
        publications = participant.publications()
        controller, trouble = _controller(participant)
    finally:
        participant.close()
    topics: dict[str, tuple[str, int]] = {}
    for one in publications:
        topics[one.topic] = (one.type_name, topics.get(one.topic, ("", 0))[1] + 1)
    return _with(
        common, topics=topics, participants=len({one.participant for one in publications}),
        controller=controller, controller_trouble=trouble, virtual=TRUTH_TOPIC in topics, **_judged(model, heard),
    )  # fmt: skip


def _with(facts: RobotFacts, **changes: object) -> RobotFacts:
    return replace(facts, **changes)  # type: ignore[arg-type]


def _listen(participant: Participant, model: RobotModel, seconds: float) -> _Heard:
    states = participant.reader(STATE_TOPIC, model.wire, "LowState_")
    commands = participant.reader(COMMAND_TOPIC, model.wire, "LowCmd_")
    packs = participant.reader(BATTERY_TOPIC, "hg", "BmsState_") if model.wire == "hg" else None
    decoder = LowStateDecoder(model)
    good = bad_crc = bad_length = frozen = others = 0
    first: LowState | None = None
    last: LowState | None = None
    battery: int | None = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for data in states.take():
            if len(data) != 4 + decoder.layout.size:
                bad_length += 1
            elif not checksum_stored(data, decoder.layout):
                bad_crc += 1
            else:
                state = decoder.decode(data, time.monotonic_ns())
                frozen += last is not None and state.tick == last.tick
                good += last is None or state.tick != last.tick
                first, last = first or state, state
                battery = data[GO_CHARGE] if model.wire == "go" and data[GO_CHARGE] else battery
        others += sum(len(data) == 4 + LOW_CMD[model.wire].size for data in commands.take())
        for data in packs.take() if packs is not None else ():
            battery = data[HG_CHARGE]
        time.sleep(_POLL_S)
    return _Heard(good, bad_crc, bad_length, frozen, others, first, last, battery)


def _judged(model: RobotModel, heard: _Heard) -> dict[str, object]:
    found: dict[str, object] = {
        name: getattr(heard, name) for name in ("states", "bad_crc", "bad_length", "frozen", "commands", "battery")
    }
    first, last = heard.first, heard.last
    if first is None or last is None:
        return found
    hottest = int(np.argmax(last.temperature_c))
    elapsed_ms = (last.t_ns - first.t_ns) / 1e6
    found["state_hz"] = 1e3 * (heard.states - 1) / elapsed_ms if elapsed_ms > 0.0 else 0.0
    ticks = (last.tick - first.tick) & 0xFFFFFFFF
    return found | {
        "mode_machine": last.mode_machine,
        "hottest_c": float(last.temperature_c[hottest]),
        "hottest_joint": model.joint_names[hottest],
        "faults": tuple(model.joint_names[i] for i in np.flatnonzero(last.motor_fault)),
        "remote": bool(last.remote.any()),
        "tick_share": ticks / elapsed_ms if elapsed_ms > 500.0 else None,
    }


def _controller(participant: Participant) -> tuple[str | None, str]:
    """What owns the motors, or None and why it is not known."""
    try:
        return MotionSwitcherClient(participant).check(ANSWER_S), ""
    except RobotLinkError as error:
        return None, str(error)


def _real_time() -> bool:
    """Whether this user may have SCHED_FIFO: asked, and given back at once."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, *before)
    except (OSError, AttributeError):
        return False
    return True


def _locked_memory() -> bool:
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return os.geteuid() == 0 or limit == resource.RLIM_INFINITY
