"""Device options as a user types them (`key=value`), checked against what the device's code takes."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from teleopd.launch.config import ConfigError


def constructor_options(target: type) -> dict[str, Any]:
    """Keyword arguments of a class's constructor -> their types."""
    if dataclasses.is_dataclass(target):
        hints = typing.get_type_hints(target)
        return {field.name: hints[field.name] for field in dataclasses.fields(target)}
    constructor = inspect.getattr_static(target, "__init__")
    hints, parameters = typing.get_type_hints(constructor), inspect.signature(constructor).parameters
    return {name: hints[name] for name in parameters if name in hints}


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` words as a mapping.

    Raises:
        ConfigError: a word without '='.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"device option '{pair}' is not of the form key=value")
        found[key.replace("-", "_")] = value
    return found


def checked(given: Mapping[str, Any], target: type, device: str, taken: Iterable[str] = ()) -> dict[str, Any]:
    """`given` with every value converted to the type the constructor of `target` declares.

    Args:
        taken: arguments that have flags of their own and cannot be given here.

    Raises:
        ConfigError: an unknown option (names the nearest, or all) or a value of the wrong type.
    """
    known = {name: kind for name, kind in constructor_options(target).items() if name not in set(taken)}
    options = {}
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(known) or 'none'}"
            raise ConfigError(f"{device} has no option '{key}'; {hint}")
        try:
            options[key] = _converted(value, known[key])
        except ValueError:
            raise ConfigError(f"option '{key}' of {device} is '{value}'; give {_words(known[key])}") from None
    return options


def _converted(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value in (None, "none", "None"):
            return None
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise ValueError(value)
        return value
    if typing.get_origin(kind) is Mapping:
        return _names(value)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise ValueError(value)
        return str(value).lower() in ("true", "yes", "1")
    if kind in (int, float, str):
        converted = kind(value)
        if kind is float and not math.isfinite(converted):
            raise ValueError(value)
        return converted
    raise ValueError(value)


def _names(value: Any) -> dict[str, str]:
    """A table of names, or `this:that,another:more` as a user types it."""
    if not isinstance(value, str):
        found = dict(value) if isinstance(value, Mapping) else {}
    else:
        found = dict(pair.split(":", 1) for pair in value.split(",") if pair) if ":" in value else {}
    if not found or not all(isinstance(word, str) and word for pair in found.items() for word in pair):
        raise ValueError(value)
    return found


def _words(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is Literal:
        return f"one of: {', '.join(map(str, typing.get_args(kind)))}"
    if typing.get_origin(kind) is Mapping:
        return "names like b:stop,a:force_limit_up"
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    return plain.get(kind, "nothing: it is set in code")
