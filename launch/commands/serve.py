"""`teleop serve`: the service itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress

from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.config_resolution import resolve
from teleopd.launch.flags import LinkFlag, RobotFlag, SourceFlag
from teleopd.launch.options import parse_pairs
from teleopd.launch.outputs import output_file
from teleopd.launch.service_run import ServiceRun, picture_files
from teleopd.service.retarget.solver_choice import SolverName
from teleopd.service.telemetry.report_output import print_report, write_report


@dataclass(frozen=True, slots=True)
class ComplianceFlags:
    """How hard the arms may push."""

    force_limit: float = 0.0
    """Force limit [N], 5 to 15; the policy's own when not given."""
    admittance: bool = False
    """Soften the arm references of a policy that has no force limit itself."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Stream a person's motion to a robot: source -> retarget -> policy -> safety -> motors."""

    source: SourceFlag = "xsens"
    robot: RobotFlag = "unitree_g1"
    link: LinkFlag = "sim"
    interface: str = ""
    """Network interface the robot is connected to, for link dds; lo for a virtual robot on this computer."""
    domain: int = 0
    """DDS domain of link dds, 0 to 232; the vendor's robots use 0."""
    lcm_url: str = ""
    """URL of link lcm, such as udpm://239.255.76.67:7667?ttl=1 (the local network); with ttl=0, as when not given, it
    reaches this computer only."""
    peer: Literal["robot", "simulator"] = "robot"
    """What answers on link dds: robot, or a third-party simulator on lo, whose checksum, tick, hardware variant and
    controller are not checked; it is written into the report."""
    release_controller: bool = False
    """Take the motors from the robot's own controller at the start. The robot goes limp: hang it first."""
    mode: Literal["whole", "arms"] = "whole"
    """What follows: the whole body by a policy, or the arms alone while the robot's own controller balances (link
    dds)."""
    policy: str = ""
    """Whole-body policy: name of a card or an ONNX file; without one the robot is shown kinematically."""
    lookahead: Literal["", "hold", "extrapolate", "delay"] = ""
    """How a policy that looks ahead is served: hold (the present frame), extrapolate, or delay (the motion is followed
    late by what the policy looks ahead, at most 0.5 s); as its card says when not given."""
    compliance: ComplianceFlags = field(default_factory=ComplianceFlags)
    speed: float = 1.0
    """First tries: share of a person's speed, 0.1 to 1; the motion is followed later where it is faster."""
    workspace: float = 1.0
    """First tries: share of the motion, 0.1 to 1, about the stand pose and the starting place."""
    freeze_legs: bool = False
    """First tries: the legs only balance; arms and waist follow."""
    safety: tuple[str, ...] = ()
    """Safety limits to tighten, as name=value; `teleop failsafe --limits` lists them."""
    config: Path | None = None
    """TOML file with the same keys; flags win."""
    host: str = ""
    """Address a listening source binds (xsens, network, vmc); address of Motive or of the PC service."""
    port: int = 0
    """Port the source listens on; the device's own when not given."""
    character: int = -1
    """Xsens character (person) to follow, 0 to 255; the first one heard when not given."""
    device: tuple[str, ...] = ()
    """Options of the device as key=value, e.g. person=Anna for optitrack, deadman=left_grip for pico."""
    motion: str = ""
    """Motion for --source motion_file."""
    file: str = ""
    """Capture (pcap, pcapng) for --source tap."""
    tap: str = ""
    """Record everything that arrives, as it arrived, in this file (pcapng)."""
    loop: bool = False
    """Repeat the motion file."""
    seconds: float = 0.0
    """End after so long [s]."""
    auto_engage: bool = False
    """Ready, arm and engage without an operator. Simulation only; refused on any other link."""
    auto_engage_virtual: bool = False
    """As --auto-engage, for links dds and lcm; refused unless the robot has proved to be virtual, as teleop robot
    does on lo, or with ttl=0."""
    auto_arm: bool = False
    """Ready and arm without an operator; the device's deadman engages. Simulation only; refused on any other link."""
    latched_engage: bool = False
    """One press engages until stopped, instead of a held deadman."""
    unqualified: bool = False
    """Let a real link run a policy without a passing record of `teleop qualify`; it is written into the report."""
    qualification: str = ""
    """File or folder of qualification records; the user's data folder when not given."""
    standby: bool = True
    """Keep a second policy process warm that takes over when the first goes silent."""
    operator: str = ""
    """Operator whose calibration is used, as stored by `teleop calibrate`; without it the first frame measures."""
    input_filter: Literal["one_euro", "none"] = "one_euro"
    """Filter on the captured motion: one_euro takes sensor noise out and makes hands 2 to 4 ms later; none."""
    solver: SolverName = "auto"
    """Retargeting solver: auto (compiled where numba is installed, else fast), fast, compiled or mink."""
    physics_hz: float = 1000.0
    """Physics rate of the virtual robot [Hz]: 500, 1000 or 2000."""
    perturbation: str = "none"
    """Named perturbation of the virtual robot: none, nominal_delay_20ms, smap, sensors, pushes, harsh."""
    seed: int = 0
    """Seed of the perturbation."""
    view: bool = True
    """Browser view; opens with the address that is printed, whose token belongs to this user."""
    view_port: int = 8765
    """Port of the browser view."""
    view_host: str = "127.0.0.1"
    """Address that the browser view listens on; beyond 127.0.0.1 give it a certificate too."""
    view_certificate: str = ""
    """PEM file of a certificate chain: the browser view speaks TLS."""
    view_private_key: str = ""
    """PEM file of its private key, when it is not in the same file."""
    record: str = ""
    """Record episodes (MCAP) in this folder: state and command at 500 Hz, targets, reference, the person, events."""
    camera: tuple[str, ...] = ()
    """Cameras to record, as NAME=URL: virtual (what the robot's head would see), v4l2:///dev/video0, rtsp://HOST/PATH,
    zmq://HOST:PORT (Unitree's image server); docs/capture.md says more."""
    sounds: bool = False
    """A tone when an episode begins and when it ends."""
    task: str = ""
    """What the operator does, as every episode says; any text."""
    notes: str = ""
    """Anything else worth knowing, as every episode says."""
    serial: str = ""
    """This robot's name in telemetry; its model and the name of this computer when not given."""
    mqtt: str = ""
    """Tell this MQTT broker, HOST or HOST:PORT, how the robot fares. Nothing is ever taken from it."""
    mqtt_user: str = ""
    """Name at the broker."""
    mqtt_password_file: str = ""
    """File whose first line is the password at the broker."""
    mqtt_tls: bool = False
    """Talk to the broker over TLS."""
    mqtt_ca: str = ""
    """Certificates (PEM) the broker's is checked against; those of the system when not given."""
    metrics_port: int = 0
    """Serve metrics for Prometheus on this port."""
    metrics_host: str = "127.0.0.1"
    """Address the metrics are served on; they have no password."""
    log_format: Literal["text", "json"] = "text"
    """What is said on the terminal, or to the journal: text, or one JSON object a line."""
    log_folder: str = ""
    """Folder of the rotating logs; the user's state folder when not given; none: no logs."""
    report: str = ""
    """Write the run report (JSON) here."""
    snapshot: str = ""
    """Write a picture of the run (PNG) here."""
    video: str = ""
    """Write a video of the run (MP4) here, rendered after it."""
    json: bool = False
    """Print the run report as JSON instead of a table."""

    def run(self, given: frozenset[str]) -> int:
        """Serve until the time is over or Ctrl-C; 0 when the robot was upright throughout. `given`: flags typed."""
        own = ("config", "json", "speed", "workspace", "freeze_legs", "safety")
        flags = {f.name: getattr(self, f.name) for f in fields(self) if f.name in given and f.name not in own}
        if "device" in flags:
            flags["device"] = parse_pairs(self.device)
        if "camera" in flags:
            flags["camera"] = parse_cameras(self.camera)
        compliance = {f.name: getattr(self.compliance, f.name) for f in fields(self.compliance)
                      if given & {f"compliance.{f.name}", f"compliance.no_{f.name}"}}  # fmt: skip
        if compliance:
            flags["compliance"] = compliance
        if limits := self._limits(given):
            flags["safety"] = limits
        return serve(resolve(flags, self.config), as_json=self.json)

    def _limits(self, given: frozenset[str]) -> dict[str, float]:
        """The safety limits that were typed, by either of their names.

        Raises:
            ConfigError: a share that is none.
        """
        limits = parse_limits(self.safety) if "safety" in given else {}
        for flag, name in (("speed", "reference_speed"), ("workspace", "reference_range")):
            if flag in given:
                share = limits[name] = getattr(self, flag)
                if not 0.1 <= share <= 1.0:
                    raise ConfigError(f"--{flag} is {share:g}; give a share from 0.1 to 1")
        if given & {"freeze_legs", "no_freeze_legs"}:
            limits["legs_follow"] = 0.0 if self.freeze_legs else 1.0
        return limits


def parse_cameras(pairs: Iterable[str]) -> dict[str, str]:
    """`NAME=URL` words as cameras.

    Raises:
        ConfigError: a word that is not of that form, or a name given twice.
    """
    cameras: dict[str, str] = {}
    for pair in pairs:
        name, _, url = pair.partition("=")
        if not name or not url:
            raise ConfigError(f"camera '{pair}' is not of the form NAME=URL, as head=virtual")
        if name in cameras:
            raise ConfigError(f"camera '{name}' is given twice")
        cameras[name] = url
    return cameras


def parse_limits(pairs: Iterable[str]) -> dict[str, float]:
    """`name=value` words as safety limits; whether they may be set so is decided by the table.

    Raises:
        ConfigError: a word that is not of that form.
    """
    limits = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            limits[name.replace("-", "_")] = float(value)
        except ValueError:
            raise ConfigError(f"safety limit '{pair}' is not of the form name=number") from None
    return limits


def serve(config: RunConfig, *, as_json: bool = False) -> int:
    """Run a resolved configuration, write what it asks for and print the report; 0 when the robot was upright.

    Raises:
        CommandError: the report, the picture or the video could not be written.
    """
    report_file = output_file("--report", Path(config.report)) if config.report else None
    picture_files(config)
    run = ServiceRun(config, live=sys.stderr.isatty() and not as_json)
    report = run.run()
    if report_file is not None:
        write_report(report_file, report)
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("rendering", total=1.0, visible=bool(config.video))
        pictures = run.write_pictures(lambda share: bar.update(task, completed=share))
    for path in pictures:
        console.print(f"wrote {path}")
    _show(report, as_json)
    return 0 if report["upright"] else 1


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report))
    else:
        print_report(Console(), report)
