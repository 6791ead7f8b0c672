"""What helps to find a fault, in one archive: versions, configuration, logs, the last state. Nothing private."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from teleopd.launch import deploy, deploy_doctor
from teleopd.launch.private import Private
from teleopd.launch.run_log import log_folder
from teleopd.launch.schemas import schema_versions
from teleopd.robots.ipc.segment import SchemaMismatch, SegmentMissing
from teleopd.robots.ipc.session import SessionMissing, session_of
from teleopd.robots.model import RobotModel
from teleopd.safety.gate import GATE_STEPS
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.streams import Bus
from teleopd.service.telemetry.metrics import all_metrics
from teleopd.service.telemetry.state import Identity, Stamps, state_message

LOG_BYTES = 400_000
"""Newest part of each log: several minutes of states."""
MOST_LOGS = 10
_NAMED = re.compile(r"[\"']?\b(?:operator|mqtt_user|user)[\"']?\s*[:=]\s*[\"']([^\"'\n]{2,80})[\"']")
"""Where a person is named in a run file or in a line of a log."""


def collect(model: RobotModel, config: Path | None, logs: str) -> dict[str, str]:
    """Name in the archive -> its text, cleaned. `logs`: as `--log-folder` of the service."""
    raw: dict[str, str] = {
        "versions.json": _json(versions()),
        "computer.json": _json(asdict(deploy_doctor.observe())),
        "environment.json": _json({key: value for key, value in os.environ.items() if key.startswith("TELEOPD_")}),
        "state.json": _json(last_state(model)),
    }
    raw |= {f"config/{path.name}": _tail(path) for path in _configs(config)}
    raw |= {f"logs/{path.name}": _tail(path) for path in _logs(logs)}
    names = {name for text in raw.values() for name in _NAMED.findall(text)}
    cleaner = Private(names | {os.environ.get("TELEOPD_OPERATOR", "")}, _secrets(model.name, raw))
    return {cleaner.clean(name): cleaner.clean(text) for name, text in raw.items()}


def versions() -> dict[str, Any]:
    """Of the program, its files, Python, the system, and what is installed beside it."""
    packages = {found.name: found.version for found in importlib.metadata.distributions()}
    return {
        "teleopd": importlib.metadata.version("teleopd"), "schemas": schema_versions(),
        "python": platform.python_version(), "system": platform.platform(), "machine": platform.machine(),
        "packages": dict(sorted(packages.items(), key=lambda pair: pair[0].lower())),
    }  # fmt: skip


def last_state(model: RobotModel) -> dict[str, Any]:
    """The newest of every slot, of a service that runs or of one that was killed; empty where there is neither."""
    session, now_ns = session_of(model.name), time.monotonic_ns()
    try:
        snapshot = read_snapshot(Bus(session, model.n), now_ns)
    except (SegmentMissing, SchemaMismatch, OSError) as error:
        return {"why_absent": str(error)}
    who = Identity("robot", model, "", "", "", "", "", now_ns, GATE_STEPS)
    state = state_message(snapshot, who, Stamps("robot").next("state", time.time()))
    joints = {} if snapshot.state is None else {
        name: getattr(snapshot.state, name).round(3).tolist() for name in ("q", "dq", "tau", "temperature_c", "quat_w")
    }  # fmt: skip
    return {
        "state": msgspec.to_builtins(state), "metrics": all_metrics(snapshot, None, GATE_STEPS), "low_state": joints
    }


def write_archive(files: dict[str, str], out: Path) -> None:
    """A tar.gz that names nobody: no owners, no times of files."""
    with tarfile.open(out, "w:gz") as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            info = tarfile.TarInfo(f"teleopd-bugreport/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    if out.is_file():
        out.chmod(0o600)


def _configs(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
    yield from sorted((Path("/") / deploy.CONFIG).glob("*.toml"))


def _logs(chosen: str) -> list[Path]:
    folders = {folder for folder in (log_folder(chosen), Path("/var/log/teleopd")) if folder is not None}
    found = [path for folder in folders for path in folder.glob("*.jsonl*") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_LOGS]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read(LOG_BYTES).decode(errors="replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "cannot be read: no file has a NUL character in its name"


def _secrets(robot: str, raw: dict[str, str]) -> set[str]:
    """Tokens of a service that runs, and passwords that files named in the configuration hold."""
    found = set()
    session = session_of(robot)
    try:
        found.add(str(session.token))
    except SessionMissing:
        pass
    for path in session.folder.glob("*token*"):
        found.add(_tail(path).strip())
    for text in raw.values():
        for file in re.findall(r"mqtt_password_file[\"']?\s*[:=]\s*[\"']([^\"'\n]+)", text):
            lines = _tail(Path(os.path.expanduser(file))).splitlines()
            found.add(lines[0].strip() if lines else "")
    return {secret for secret in found if len(secret) > 3 and not secret.startswith("cannot be read")}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
