"""The run's configuration merged: TOML file, environment, flags; strictly typed, and refused where it cannot work.

Flags override the environment (TELEOPD_<KEY>), which overrides the file, which overrides the defaults.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from teleopd.drivers.home import expanded
from teleopd.launch.config import KEYS, SERVED_PHYSICS_HZ, ComplianceConfig, ConfigError, RunConfig
from teleopd.service.force_limit import check_force_limit
from teleopd.service.policy.lookahead import WAYS
from teleopd.service.retarget.solver_choice import SOLVERS

_OF_ANOTHER_TYPE = re.compile(r"Expected `(.*)`, got `(.*)` - at `\$\.(.*)`")
_PLAIN = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "object": "a table",
    "array": "a list", "date": "a date", "datetime": "a time", "time": "a time",
}  # fmt: skip
"""What msgspec calls the types of TOML, in plain words."""
ANY_TEXT = ("task", "notes")
"""Keys whose text is only written down."""
NOT_FROM_ENVIRONMENT = ("safety", "compliance", "camera", "unqualified", "release_controller")
"""Tables, and what an operator decides anew for each run."""


def resolve(flags: Mapping[str, Any], file: Path | None, environ: Mapping[str, str] | None = None) -> RunConfig:
    """Merge file, environment and the flags that were given.

    Raises:
        ConfigError: an unknown key (names the nearest known one) or a value of the wrong type.
    """
    merged = _from_file(file) if file else {}
    merged.update(_from_environment(os.environ if environ is None else environ))
    given = {key: value for key, value in flags.items() if value is not None}
    for table in ("compliance", "safety", "device", "camera"):
        if isinstance(merged.get(table), dict) and table in given:
            given[table] = {**merged[table], **given[table]}
    merged.update(given)
    config = _converted(merged, "configuration")
    _check_ranges(config)
    return config


def _check_ranges(config: RunConfig) -> None:
    for key in KEYS:
        if key not in ANY_TEXT and _holds_nul(getattr(config, key)):
            raise ConfigError(f"{key} holds a NUL character; no file, name or address does")
    for key in ("port", "view_port", "metrics_port"):
        if not 0 <= getattr(config, key) <= 65535:
            raise ConfigError(f"{key} {getattr(config, key)} is not between 0 and 65535")
    if not -1 <= config.character <= 255:
        raise ConfigError(f"character is {config.character}; give 0 to 255, or -1 for the first one heard")
    if not 0 <= config.seconds < math.inf:
        raise ConfigError(f"seconds is {config.seconds}; give a positive number, or 0 to run until Ctrl-C")
    if config.seed < 0:
        raise ConfigError(f"seed is {config.seed}; give 0 or more")
    if config.mode not in ("whole", "arms"):
        raise ConfigError(f"mode '{config.mode}' is not one of: whole, arms")
    if config.mode == "arms":
        _check_arms(config)
    if config.peer not in ("robot", "simulator"):
        raise ConfigError(f"peer '{config.peer}' is not one of: robot, simulator")
    if config.camera and not config.record:
        raise ConfigError("camera is for recordings; give --record DIR too")
    if config.lookahead not in ("", *WAYS):
        raise ConfigError(f"lookahead '{config.lookahead}' is not one of: {', '.join(WAYS)}")
    if config.compliance.force_limit:
        try:
            check_force_limit(config.compliance.force_limit)
        except ValueError as error:
            raise ConfigError(f"compliance.force_limit: {error}") from None
    if config.input_filter not in ("one_euro", "none"):
        raise ConfigError(f"input_filter '{config.input_filter}' is not one of: one_euro, none")
    if config.log_format not in ("text", "json"):
        raise ConfigError(f"log_format '{config.log_format}' is not one of: text, json")
    if config.solver not in SOLVERS:
        raise ConfigError(f"solver '{config.solver}' is not one of: {', '.join(SOLVERS)}")
    if config.physics_hz not in SERVED_PHYSICS_HZ:
        valid = ", ".join(map(str, SERVED_PHYSICS_HZ))
        raise ConfigError(f"physics_hz is {config.physics_hz:g}; choose one of: {valid}")
    if config.auto_engage and config.link != "sim":
        raise ConfigError(f"auto_engage is refused on link '{config.link}': only a virtual robot may engage by itself")
    if config.auto_arm and config.link != "sim":
        raise ConfigError(f"auto_arm is refused on link '{config.link}': only a virtual robot may arm by itself")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_nul, value.values()))
    return isinstance(value, str) and "\0" in value


def _check_arms(config: RunConfig) -> None:
    """What does not go with the robot's own controller at its balance."""
    if config.link != "dds":
        raise ConfigError(
            f"mode arms is for link dds, where the robot's own controller balances; link '{config.link}' reaches none"
        )
    for name in ("policy", "lookahead", "release_controller", "kinematic"):
        if getattr(config, name):
            why = "it must keep the legs" if name == "release_controller" else "no policy balances in it"
            raise ConfigError(f"{name} does not go with mode arms: {why}")


def _from_file(file: Path) -> dict[str, Any]:
    file = expanded(file, ConfigError)
    try:
        table = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file} cannot be read: its brackets are nested too deeply") from None
    _check_keys(table, RunConfig, f"{file}: unknown key ")
    if isinstance(table.get("compliance"), dict):
        _check_keys(table["compliance"], ComplianceConfig, f"{file}: compliance has no key ")
    _converted(table, str(file))
    return table


def _check_keys(table: Mapping[str, Any], kind: type[msgspec.Struct], unknown: str) -> None:
    known = [field.name for field in msgspec.structs.fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
            raise ConfigError(f"{unknown}'{key}'{hint}")


def _converted(table: Mapping[str, Any], where: str) -> RunConfig:
    """The table as a configuration; where a value has another type, one sentence that begins with `where`."""
    try:
        return msgspec.convert(table, RunConfig, strict=True)
    except msgspec.ValidationError as error:
        said = _OF_ANOTHER_TYPE.fullmatch(str(error))
        if said is None:
            raise ConfigError(f"{where}: {error}") from None
        wanted, got = (" or ".join(_PLAIN.get(word, word) for word in part.split(" | ")) for part in said.group(1, 2))
        key = said[3].replace("[...]", "")
        part = " " if key == said[3] else ": one of its values "
        raise ConfigError(f"{where}: {key}{part}is {got}; give {wanted}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(RunConfig):
        text = environ.get(f"TELEOPD_{field.name.upper()}")
        if text is None or field.name in NOT_FROM_ENVIRONMENT:
            continue
        kind = field.type
        try:
            found[field.name] = _parse(text, kind)
        except ValueError:
            name = _PLAIN.get(kind.__name__)
            hint = f"give {name}" if name else f"{field.name} is a table: give it in a run file or by its flag"
            raise ConfigError(f"environment TELEOPD_{field.name.upper()} is '{text}'; {hint}") from None
    return found


def _parse(text: str, kind: Any) -> Any:
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ("1", "true", "yes"):
            return True
        if lowered in ("0", "false", "no", ""):
            return False
        raise ValueError(text)
    return kind(text)
