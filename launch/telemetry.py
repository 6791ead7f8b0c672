"""What `--mqtt` and `--metrics-port` mean for a run: checked before anything starts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from teleopd.drivers.home import expanded
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.processes import Processes
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import RobotModel
from teleopd.safety.gate import GATE_STEPS
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.telemetry.messages import check_serial
from teleopd.service.telemetry.settings import Broker, TelemetrySettings, broker_of, default_serial

NEEDS = {"mqtt": ("aiomqtt", "mqtt"), "metrics_port": ("prometheus_client", "metrics")}
"""Setting -> the package it needs and the extra that installs it."""


def telemetry_settings(
    config: RunConfig, model: RobotModel, policy: ResolvedPolicy | None
) -> TelemetrySettings | None:
    """What the telemetry process is started with; None where nobody is told anything.

    Raises:
        CommandError: a broker, serial or password file that cannot be used, or a package that is missing.
    """
    if not (config.mqtt or config.metrics_port):
        return None
    for key, (package, extra) in NEEDS.items():
        if getattr(config, key) and importlib.util.find_spec(package) is None:
            flag = key.replace("_", "-")
            raise CommandError(f"--{flag} needs {package}; install it with: pip install 'teleopd[{extra}]'")
    try:
        serial = check_serial(config.serial) if config.serial else default_serial(model.name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return TelemetrySettings(
        serial, config.source, config.operator, policy.card.name if policy else "", config.sha256,
        importlib.metadata.version("teleopd"), GATE_STEPS,
        broker=broker(
            config.mqtt, user=config.mqtt_user, password_file=config.mqtt_password_file, tls=config.mqtt_tls,
            ca_file=config.mqtt_ca, flags="--mqtt-",
        ) if config.mqtt else None,
        metrics_host=config.metrics_host, metrics_port=config.metrics_port,
    )  # fmt: skip


def broker(text: str, *, user: str, password_file: str, tls: bool, ca_file: str, flags: str = "--") -> Broker:
    """A broker as a user names it; `flags`: what the command's flags for the two files begin with.

    Raises:
        CommandError: it is none, or a file that was named cannot be read.
    """
    password = ""
    if password_file:
        file = expanded(password_file, CommandError, f"{flags}password-file ")
        lines = _read(file, f"{flags}password-file").splitlines()
        password = lines[0].strip() if lines else ""
        if not password:
            raise CommandError(f"{flags}password-file {password_file}: write the password in its first line")
    if ca_file:
        ca_file = str(expanded(ca_file, CommandError, f"{flags}ca "))
        _read(Path(ca_file), f"{flags}ca")
    try:
        return broker_of(text, user=user, password=password, tls=tls, ca_file=ca_file)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _read(path: Path, flag: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CommandError(f"{flag} {path} cannot be read: {why}") from None


def start_telemetry(
    processes: Processes, session: Session, robot: str, settings: TelemetrySettings | None
) -> None:
    """Start the telemetry process, where anyone is told anything; first of all, so that it tells of the start too."""
    if settings is not None:
        processes.start("telemetry", session=session, robot=robot, settings=settings)
