"""Where telemetry goes: a broker, a metrics port. Checked before anything starts."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from teleopd.service.telemetry.messages import check_serial

PORT, TLS_PORT = 1883, 8883
"""IANA's for MQTT, and for MQTT over TLS."""


class Broker(NamedTuple):
    """An MQTT broker and how to log in. Never part of a recording or a report: it may hold a password."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: bool = False
    ca_file: str = ""
    """Certificates to trust (PEM); empty: those of the system."""

    def __repr__(self) -> str:
        return f"Broker({self.host}:{self.port})"


class TelemetrySettings(NamedTuple):
    """What the telemetry process is started with."""

    serial: str
    source: str
    operator: str
    policy: str
    config_sha256: str
    software_version: str
    gate_steps: tuple[str, ...]
    broker: Broker | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """0: no endpoint."""


def broker_of(
    text: str, *, user: str = "", password: str = "", tls: bool = False, ca_file: str = ""
) -> Broker:
    """`HOST` or `HOST:PORT` (an IPv6 address in brackets) as a broker.

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]+)(?::(\d{1,5}))?", text)
    port = int(found[2] or (TLS_PORT if tls else PORT)) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError(f"broker '{text}' is not of the form HOST or HOST:PORT, as robots.local:1883")
    return Broker(found[1].strip("[]"), port, user, password, tls, ca_file)


def default_serial(robot: str) -> str:
    """'unitree_g1-<name of this computer>', made fit for a topic."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname()) or "host"
    return check_serial(f"{robot}-{host}"[:64])
