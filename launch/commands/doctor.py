"""`teleop doctor`: why nothing arrives from a device, in plain words, with what to do."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from rich.console import Console

from teleopd.drivers.diagnosis import PROBLEM, WIRES, Facts, Finding, content_of, diagnose
from teleopd.drivers.gamepad.findings import PadFacts, findings
from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.network_facts import Holder, holders, interfaces, routes
from teleopd.drivers.source import Source, SourceError
from teleopd.drivers.velocity import VelocityCommand
from teleopd.launch import registry
from teleopd.launch.config import RunConfig
from teleopd.launch.config_resolution import resolve
from teleopd.launch.errors import CommandError
from teleopd.launch.flags import SourceFlag
from teleopd.launch.options import parse_pairs
from teleopd.launch.sources import make_source, source_options

MAX_KEPT = 2000
"""Newest poses that are looked at."""
_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True, slots=True)
class Doctor:
    """Listen to a source, or with --robot to a robot on the network, as the service would, and say in plain words what
    is wrong, and what to do. A robot is never commanded by this."""

    robot: str = ""
    """Robot to listen to over DDS, in place of a source."""
    interface: str = ""
    """Network interface the robot is connected to; lo for a virtual robot on this computer."""
    domain: int = 0
    """DDS domain, 0 to 232; the vendor's robots use 0."""
    source: SourceFlag = "xsens"
    deploy: bool = False
    """Is this computer fit to run the service: units, run files, real time, network. Nothing is listened to."""
    seconds: float = 3.0
    """Listen for so long [s]."""
    host: str = "0.0.0.0"
    """Address the source listens on; address of Motive or of the PC service (0.0.0.0: find it)."""
    port: int = 0
    """Port; the device's own when not given."""
    character: int = -1
    """Xsens character (person) to follow."""
    device: tuple[str, ...] = ()
    """Options of the device as key=value, as for teleop serve."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Listen and print; 0 when poses arrive and nothing is wrong with them, otherwise 1."""
        if not 0.0 < self.seconds < math.inf:
            raise CommandError(f"--seconds is {self.seconds:g}; give a positive number")
        if self.deploy:
            return self._deploy()
        if self.robot:
            return self._robot()
        if self.interface:
            raise CommandError(f"--interface {self.interface} is the robot's; name the robot too, with --robot")
        if self.source in ("motion_file", "tap"):
            raise CommandError(f"source {self.source} reads a file; the doctor is for sources that hear a device")
        if self.source == "stick":
            raise CommandError(
                "source stick is buttons in the browser view of teleop serve: there is no device to hear"
            )
        config = resolve(
            {"source": self.source, "host": self.host, "port": self.port, "character": self.character,
             "device": parse_pairs(self.device)}, None,
        )  # fmt: skip
        options = source_options(config)
        if getattr(registry.load("source", self.source), "delivers", "") == "velocity":
            return self._velocity(options)
        facts = asyncio.run(observe(config, options, self.seconds))
        found = diagnose(facts)
        if self.json:
            print(json.dumps(as_json(facts, found)))
        else:
            _print(found)
        return int(any(finding.level == PROBLEM for finding in found))

    def _robot(self) -> int:
        model = registry.load("robot", self.robot)
        if not 0 <= self.domain <= 232:
            raise CommandError(f"--domain is {self.domain}; give 0 to 232, 0 for the vendor's robots")
        from teleopd.launch import robot_doctor, robot_findings

        with Console(stderr=True).status(f"listening to {self.robot} on {self.interface} for {self.seconds:g} s"):
            seen = robot_doctor.observe(model, self.interface, self.domain, self.seconds)
        found = robot_findings.findings(seen)
        ok = not any(finding.level == PROBLEM for finding in found)
        if self.json:
            print(json.dumps({"ok": ok, "findings": [f._asdict() for f in found], "facts": asdict(seen)}))
        else:
            _print(found)
        return int(not ok)

    def _deploy(self) -> int:
        from teleopd.launch import deploy_doctor

        facts = deploy_doctor.observe()
        found = deploy_doctor.findings(facts)
        ok = not any(finding.level == PROBLEM for finding in found)
        if self.json:
            print(json.dumps({"ok": ok, "findings": [f._asdict() for f in found], "facts": asdict(facts)}))
        else:
            _print(found)
        return int(not ok)

    def _velocity(self, options: dict[str, Any]) -> int:
        facts = asyncio.run(observe_pad(self.source, options, self.seconds))
        found = findings(facts)
        ok = not any(finding.level == PROBLEM for finding in found)
        if self.json:
            print(json.dumps({"ok": ok, "findings": [f._asdict() for f in found], "facts": asdict(facts)}))
        else:
            _print(found)
        return int(not ok)


async def observe_pad(name: str, options: dict[str, Any], seconds: float) -> PadFacts:
    """Read a source of velocity commands; raises what its construction raises."""
    source: Any = make_source(name, options)
    try:
        await source.open()
    except SourceError as error:
        return PadFacts(name, seconds, refused=str(error))
    commands: list[VelocityCommand] = []

    async def keep() -> None:
        async for command in source.commands():
            commands.append(command)
            del commands[:-MAX_KEPT]

    try:
        with Console(stderr=True).status(f"reading the {name} for {seconds:g} s: hold the deadman, move the sticks"):
            await asyncio.wait({keeping := asyncio.create_task(keep())}, timeout=seconds)
        return PadFacts(
            name, seconds, device=getattr(source, "device", ""), trouble=getattr(source, "trouble", ""),
            commands=source.counters.delivered, deadman=any(c.deadman for c in commands),
            moved=any(c.forward or c.left or c.turn for c in commands),
        )  # fmt: skip
    finally:
        await source.close()
        await asyncio.gather(keeping, return_exceptions=True)


async def observe(config: RunConfig, options: dict[str, Any], seconds: float) -> Facts:
    """Listen with the source itself; raises what its construction raises."""
    source, transport = make_source(config.source, options), str(options.get("transport", "udp"))
    common: dict[str, Any] = {
        "source": config.source, "seconds": seconds, "host": str(getattr(source, "host", config.host)),
        "transport": transport,
        "interfaces": tuple(interfaces()), "routes": None if (table := routes()) is None else tuple(table),
    }  # fmt: skip
    try:
        await source.open()
    except SourceError as error:
        port = int(getattr(source, "port", config.port))
        return Facts(**common, port=port, refused=str(error), holders=_holders(port, transport))
    try:
        poses = await _listen(source, seconds)
        return Facts(**common, **_seen(source), content=content_of(poses))
    finally:
        await source.close()


def _holders(port: int, transport: str) -> tuple[Holder, ...]:
    return tuple(holders(port, WIRES.get(transport, "UDP").lower()))


async def _listen(source: Source, seconds: float) -> list[HumanPose]:
    poses: list[HumanPose] = []

    async def keep() -> None:
        async for pose in source.poses():
            poses.append(pose)
            del poses[:-MAX_KEPT]

    keeping = asyncio.create_task(keep())
    with Console(stderr=True).status(f"listening to {source.name} for {seconds:g} s"):
        await asyncio.wait({keeping}, timeout=seconds)
    if keeping.done():
        keeping.result()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    return poses


def _seen(source: Any) -> dict[str, Any]:
    """What the source knows about itself, as far as it says."""
    counters = source.counters
    port = int(getattr(source, "port", 0))
    connects = source.name == "pico"
    return {
        "port": port,
        "holders": tuple(holders(port, "tcp")) if connects else (),
        "received": counters.received, "lost": counters.lost, "foreign": counters.foreign,
        "foreign_senders": tuple(getattr(source, "foreign_senders", ())),
        "sender": _sender(source), "rejected": dict(counters.rejected), "last_rejection": counters.last_rejection,
        "trouble": _trouble(source), "group": _group(source),
    }  # fmt: skip


def _sender(source: Any) -> str:
    """Who is listened to, as far as it is known: an address, Motive's computer, or the headset's service."""
    if source.name == "optitrack":
        return source.server if source.info is not None else ""
    if source.name == "pico":
        return f"{source.host}:{source.port}" if source.reconnect.phase.name == "CONNECTED" else ""
    at = getattr(source, "sender", None)
    return f"{at[0]}:{at[1]}" if isinstance(at, tuple) else ""


def _trouble(source: Any) -> str:
    """The source's own word about its silence, under the name it has there."""
    if hasattr(source, "why_silent"):
        return str(source.why_silent())
    return str(getattr(source, "trouble", ""))


def _group(source: Any) -> str:
    info = getattr(source, "info", None)
    return info.group if info is not None and info.multicast else ""


def as_json(facts: Facts, findings: list[Finding]) -> dict[str, Any]:
    """Facts and findings as one JSON object."""
    shown = {f.name: getattr(facts, f.name) for f in fields(facts)}
    shown["content"] = {f.name: getattr(facts.content, f.name) for f in fields(facts.content)}
    for key in ("holders", "interfaces", "routes"):
        shown[key] = None if shown[key] is None else [part._asdict() for part in shown[key]]
    return {
        "ok": not any(finding.level == PROBLEM for finding in findings),
        "findings": [finding._asdict() for finding in findings],
        "facts": shown,
    }


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        console.print(f"[{_STYLES[finding.level]}]{finding.level:8}[/] ", end="")
        console.print(finding.what, markup=False, soft_wrap=True)
        if finding.do:
            console.print(f"         -> {finding.do}", markup=False, soft_wrap=True)
