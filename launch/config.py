"""The run's configuration: every key with its type, default and meaning; what it was given is merged next door, in
`config_resolution.py`."""

from __future__ import annotations

import hashlib

import msgspec


class ConfigError(ValueError):
    """A configuration that cannot be used: says where, what, and what would be right."""


class ComplianceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How hard the arms may push."""

    force_limit: float = 0.0
    """Force limit [N], 5 to 15; 0: the policy's own default."""
    admittance: bool = False
    """Soften the arm references of a policy that has no force limit itself."""


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run of the service is decided by."""

    source: str = "xsens"
    """Registered source."""
    robot: str = "unitree_g1"
    """Registered robot."""
    link: str = "sim"
    """Transport to the robot."""
    interface: str = ""
    """Network interface of the robot, for links that need one."""
    domain: int = 0
    """DDS domain; the vendor's robots use 0."""
    lcm_url: str = ""
    """URL of link lcm; empty: LCM's own group with ttl=0, on this computer only."""
    peer: str = "robot"
    """'robot', or 'simulator': a third-party one, whose checksum, tick and hardware variant are not checked."""
    release_controller: bool = False
    """Take the motors from the robot's own controller; the robot goes limp."""
    mode: str = "whole"
    """'whole' body, or 'arms': the upper body alone, while the robot's own controller balances."""
    kinematic: bool = False
    """Show the retargeted robot only: no policy, no robot."""
    policy: str = ""
    """Name or ONNX file; empty: the robot's default if there is one."""
    lookahead: str = ""
    """How a policy that looks ahead is served: 'hold', 'extrapolate' or 'delay'; empty: as its card says."""
    compliance: ComplianceConfig = ComplianceConfig()
    """How hard the arms may push."""
    host: str = ""
    """Address the source listens on."""
    port: int = 0
    """Port the source listens on; 0: the device's own."""
    character: int = -1
    """Xsens character (person) that is followed, 0 to 255; -1: the first one heard."""
    device: dict[str, str | int | float | bool | dict[str, str]] = {}
    """Options of the device, by name; `teleop serve --help` and the device's page list them."""
    motion: str = ""
    """File or name for file sources."""
    file: str = ""
    """Capture that source tap feeds back."""
    tap: str = ""
    """File in which everything that arrives is recorded."""
    loop: bool = False
    """Repeat a motion file."""
    operator: str = ""
    """Operator whose stored calibration is used; empty: the first frame measures the person."""
    input_filter: str = "one_euro"
    """Filter on the captured motion: 'one_euro' or 'none'."""
    solver: str = "auto"
    """Retargeting solver: 'auto', 'fast', 'compiled' or 'mink'."""
    seconds: float = 0.0
    """End after so long [s]; 0: until Ctrl-C."""
    auto_engage: bool = False
    """Ready, arm and engage without an operator; only where the robot proves it is virtual."""
    auto_engage_virtual: bool = False
    """The same over the network: refused unless the robot on the interface proves that it is virtual."""
    auto_arm: bool = False
    """Ready and arm without an operator, and leave engaging to the device's deadman; as auto_engage, virtual only."""
    latched_engage: bool = False
    """Engage with one act instead of a held deadman."""
    standby: bool = True
    """Keep a second policy process warm that takes over when the first goes silent."""
    physics_hz: float = 1000.0
    """Physics rate of the virtual robot [Hz]: 500, 1000 or 2000."""
    seed: int = 0
    """Seed of the perturbation."""
    perturbation: str = "none"
    """Named perturbation of the virtual robot; `teleop serve --help` lists them."""
    view: bool = True
    """Start the browser view."""
    view_port: int = 8765
    """Port of the browser view."""
    view_host: str = "127.0.0.1"
    """Address that the browser view listens on."""
    view_certificate: str = ""
    """PEM file: the browser view speaks TLS."""
    view_private_key: str = ""
    """PEM file of the certificate's key; empty: in the same file."""
    record: str = ""
    """Folder for recorded episodes; empty: nothing is recorded."""
    camera: dict[str, str] = {}
    """Cameras to record: name -> URL."""
    sounds: bool = False
    """A tone when an episode begins and when it ends."""
    task: str = ""
    """What the operator does, in every episode."""
    notes: str = ""
    """Anything else worth knowing, in every episode."""
    report: str = ""
    """File for the run report."""
    snapshot: str = ""
    """File for a picture taken during the run."""
    video: str = ""
    """File for a video rendered after the run."""
    serial: str = ""
    """This robot's name in telemetry; empty: its model and the name of this computer."""
    mqtt: str = ""
    """MQTT broker that hears how the robot fares, as HOST or HOST:PORT; empty: none. Nothing is taken from it."""
    mqtt_user: str = ""
    """Name at the broker."""
    mqtt_password_file: str = ""
    """File whose first line is the password at the broker."""
    mqtt_tls: bool = False
    """Talk to the broker over TLS (port 8883 when none is given)."""
    mqtt_ca: str = ""
    """Certificates (PEM) the broker's is checked against; empty: those of the system."""
    metrics_port: int = 0
    """Port of the Prometheus endpoint; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address it listens on; it has no password."""
    log_format: str = "text"
    """What is said on the terminal, or to the journal: 'text' or 'json'."""
    log_folder: str = ""
    """Folder of the rotating logs; empty: the user's state folder; 'none': none."""
    unqualified: bool = False
    """A real link takes a policy without a passing record of `teleop qualify`."""
    qualification: str = ""
    """File or folder of qualification records; empty: the user's data folder."""
    safety: dict[str, float] = {}
    """Safety limits that tighten the built-in ones."""

    @property
    def sha256(self) -> str:
        """Hash of the resolved configuration, in every report and recording."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


KEYS = tuple(field.name for field in msgspec.structs.fields(RunConfig))
SERVED_PHYSICS_HZ = (500, 1000, 2000)
"""Rates of the virtual robot's physics that its 500 Hz LowState divides."""
