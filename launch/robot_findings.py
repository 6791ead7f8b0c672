"""What is wrong between this computer and a robot on the network, in plain words, with what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from teleopd.drivers.diagnosis import NOTE, OK, PROBLEM, Finding
from teleopd.drivers.network_facts import Interface

STATE_HZ = 500.0
"""A robot's own rate of LowState; well below it, the policy sees an old robot."""
FEWEST_HZ = 400.0
ROBOT_NETWORK = "192.168.123."
"""The vendor's robots are at .161 and .164 of this network, by their handbook."""
WARM_C, LOW_BATTERY = 80.0, 20
CLOCK_PPM = 2000.0
"""A robot's millisecond counter that runs off by more is not counting milliseconds."""


@dataclass(frozen=True, slots=True)
class RobotFacts:
    """What was seen in so many seconds of listening. Nothing was sent but the question who owns the motors."""

    robot: str
    wire: str
    known_variants: tuple[int, ...]
    interface: str
    domain: int
    seconds: float
    device: Interface | None = None
    refused: str = ""
    """Why DDS could not be used; '' when it could."""
    topics: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Topic -> its type and how many publish it."""
    participants: int = 0
    """Others on this DDS domain that publish anything."""
    states: int = 0
    """Good ones."""
    state_hz: float = 0.0
    """Between the first and the last good one."""
    bad_crc: int = 0
    bad_length: int = 0
    frozen: int = 0
    commands: int = 0
    """LowCmds heard, all of others."""
    mode_machine: int = -1
    hottest_c: float | None = None
    hottest_joint: str = ""
    faults: tuple[str, ...] = ()
    """Joints whose motor reports a fault."""
    remote: bool = False
    """The remote control was heard by the robot."""
    controller: str | None = None
    """What owns the motors, '' for nothing; None: the service did not answer."""
    controller_trouble: str = ""
    battery: int | None = None
    """State of charge [%]."""
    tick_share: float | None = None
    """The robot's millisecond counter over our clock: 1 when both agree."""
    virtual: bool = False
    """It offers the topic on which a virtual robot of this project answers."""
    real_time: bool = False
    locked_memory: bool = False


def findings(facts: RobotFacts) -> list[Finding]:
    """All that can be said, in the order of the wire: interface, discovery, robot, motors, this computer."""
    found = _interface(facts)
    if facts.refused:
        return [*found, Finding(PROBLEM, facts.refused, "mend that first; nothing was heard"), *_computer(facts)]
    found += [*_discovery(facts), *_reports(facts)]
    if facts.states:
        found += [*_hardware(facts), *_health(facts), *_clock(facts)]
    return [*found, *_motors(facts), *_computer(facts)]


def _interface(facts: RobotFacts) -> list[Finding]:
    device = facts.device
    if device is None:
        return []
    if not device.up:
        return [Finding(PROBLEM, f"interface {device.name} is down", "plug in the robot's cable, or: ip link set "
                        f"{device.name} up")]  # fmt: skip
    if device.name == "lo":
        return [Finding(OK, "interface lo: a virtual robot on this computer, no real one can be heard here")]
    if not device.address:
        return [Finding(PROBLEM, f"interface {device.name} has no IPv4 address",
                        f"give it one of the robot's network, such as {ROBOT_NETWORK}222/24")]  # fmt: skip
    if not device.address.startswith(ROBOT_NETWORK):
        return [Finding(NOTE, f"interface {device.name} has {device.address}, which is not of the vendor's network",
                        f"a robot as delivered is on {ROBOT_NETWORK}0/24; fine if yours was moved")]  # fmt: skip
    return [Finding(OK, f"interface {device.name} is up with {device.address}")]


def _discovery(facts: RobotFacts) -> list[Finding]:
    where = f"on {facts.interface}, domain {facts.domain}"
    if not facts.topics:
        return [Finding(PROBLEM, f"DDS found nobody {where} in {facts.seconds:g} s",
                        "is the robot on, its cable in this interface, and no firewall in between (UDP 7400 and up)?")
                ]  # fmt: skip
    counted = sorted((topic, count) for topic, (_, count) in facts.topics.items())
    listed = ", ".join(f"{topic} ({count})" if count > 1 else topic for topic, count in counted)
    others = "1 other" if facts.participants == 1 else f"{facts.participants} others"
    return [Finding(OK, f"DDS found {others} {where}, publishing {listed}")]


def _reports(facts: RobotFacts) -> list[Finding]:
    kind, publishers = facts.topics.get("rt/lowstate", ("", 0))
    own = f"unitree_{facts.wire}::msg::dds_::LowState_"
    found = []
    if publishers > 1:
        found.append(Finding(PROBLEM, f"{publishers} robots publish rt/lowstate", "leave one of them on"))
    if kind and kind != own:
        return [*found, Finding(PROBLEM, f"rt/lowstate is {kind}; a {facts.robot} sends {own}",
                                "name the robot that is there with --robot")]  # fmt: skip
    refused = facts.bad_crc + facts.bad_length
    if refused:
        found.append(Finding(
            PROBLEM, f"{facts.bad_crc} reports had a wrong checksum, {facts.bad_length} a wrong length",
            "another program may imitate the robot, or its firmware has messages of another version",
        ))  # fmt: skip
    if not facts.states:
        if not refused and facts.topics:
            found.append(Finding(PROBLEM, f"no rt/lowstate came in {facts.seconds:g} s",
                                 "wait until the robot has booted (about a minute); restart it if it has"))  # fmt: skip
        return found
    if facts.frozen > facts.states:
        found.append(Finding(PROBLEM, f"{facts.frozen} reports only repeat the one before", "restart the robot"))
    if facts.state_hz < FEWEST_HZ:
        found.append(Finding(PROBLEM, f"rt/lowstate comes at {facts.state_hz:.0f} Hz instead of {STATE_HZ:.0f}",
                             "use the cable instead of Wi-Fi, and stop what else loads this computer"))  # fmt: skip
    else:
        found.append(Finding(OK, f"rt/lowstate comes at {facts.state_hz:.0f} Hz, checksums right"))
    return found


def _hardware(facts: RobotFacts) -> list[Finding]:
    virtual = " (a virtual robot)" if facts.virtual else ""
    if facts.mode_machine in facts.known_variants:
        return [Finding(OK, f"hardware variant {facts.mode_machine} of {facts.robot}, its limits are known{virtual}")]
    return [Finding(PROBLEM, f"hardware variant {facts.mode_machine} has no limits for a {facts.robot}; known: "
                    f"{', '.join(map(str, facts.known_variants))}",
                    "it is refused: joints may be missing, locked or weaker; name another --robot, or ask for the "
                    "variant to be added")]  # fmt: skip


def _health(facts: RobotFacts) -> list[Finding]:
    found = []
    if facts.faults:
        found.append(Finding(PROBLEM, f"motors report a fault: {', '.join(facts.faults)}",
                             "power the robot off, look at these joints, and start it again"))  # fmt: skip
    if facts.hottest_c is not None:
        hot = f"the hottest motor, {facts.hottest_joint}, has {facts.hottest_c:.0f} deg C"
        if facts.hottest_c >= WARM_C:
            found.append(Finding(PROBLEM, hot, "let the robot hang with its motors free until it has cooled"))
        else:
            found.append(Finding(OK, hot))
    if facts.battery is None:
        found.append(Finding(NOTE, "the battery does not report", "look at the robot's own lights"))
    elif facts.battery < LOW_BATTERY:
        found.append(Finding(PROBLEM, f"battery {facts.battery} %", "charge it: its own protection may end a run"))
    else:
        found.append(Finding(OK, f"battery {facts.battery} %"))
    if not facts.remote:
        found.append(Finding(NOTE, "the robot does not hear its remote control",
                             "switch it on and keep it in hand: it can stop the robot by itself"))  # fmt: skip
    return found


def _motors(facts: RobotFacts) -> list[Finding]:
    found = []
    if facts.commands:
        hz = facts.commands / facts.seconds
        found.append(Finding(PROBLEM, f"another program sends rt/lowcmd at {hz:.0f} Hz",
                             "stop it: two would fight over the motors"))  # fmt: skip
    elif "rt/lowcmd" in facts.topics:
        found.append(Finding(NOTE, "another program can send rt/lowcmd, and is silent now", "stop it before you serve"))
    if "rt/arm_sdk" in facts.topics:
        found.append(Finding(NOTE, "another program can send rt/arm_sdk", "stop it before you serve with --mode arms"))
    if not facts.topics:
        return found
    if facts.controller is None:
        found.append(Finding(PROBLEM, facts.controller_trouble or "motion_switcher does not answer",
                             "who owns the motors is not known; restart the robot"))  # fmt: skip
    elif facts.controller:
        found.append(Finding(NOTE, f"the robot's controller '{facts.controller}' owns the motors",
                             "hang the robot, which goes limp then, and give serve --release-controller"))  # fmt: skip
    else:
        found.append(Finding(OK, "the motors are free: no controller of the robot owns them"))
    return found


def _clock(facts: RobotFacts) -> list[Finding]:
    if facts.tick_share is None:
        return []
    off = (facts.tick_share - 1.0) * 1e6
    if abs(off) > CLOCK_PPM:
        return [Finding(NOTE, f"the robot's millisecond counter runs at {facts.tick_share:.3f} of this clock",
                        "a virtual robot on a busy computer does that; a real one should not")]  # fmt: skip
    return [Finding(OK, f"the robot's clock runs at {facts.tick_share:.4f} of ours")]


def _computer(facts: RobotFacts) -> list[Finding]:
    lacks = [name for name, granted in (("real-time priority", facts.real_time), ("locked memory", facts.locked_memory))
             if not granted]  # fmt: skip
    if not lacks:
        return [Finding(OK, "real-time priority and locked memory are granted to this user")]
    return [Finding(NOTE, f"{' and '.join(lacks)} not granted: the motor loop works, but a busy computer makes it late",
                    "in /etc/security/limits.conf: @realtime - rtprio 90 and @realtime - memlock unlimited, then join "
                    "that group")]  # fmt: skip
