"""Words on the command line that must be one of a few, checked before the parser: one sentence instead of a box."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import tyro

from teleopd.launch.errors import CommandError


def check_words(arguments: Sequence[str], commands: Mapping[str, type]) -> None:
    """Refuse an unknown command, and a value that is none of its flag's choices.

    Everything else (missing values, unknown flags, numbers) is the parser's.

    Raises:
        CommandError: with the offending word and the valid ones.
    """
    if not arguments or arguments[0].startswith("-"):
        return
    command, rest = arguments[0], arguments[1:]
    if command not in commands:
        raise CommandError(f"unknown command '{command}'{_hint(command, commands)}")
    hints = typing.get_type_hints(commands[command], include_extras=True)
    positional = list(_until_flag(rest))
    for field in dataclasses.fields(commands[command]):
        kind, is_positional = _bare(hints[field.name])
        if is_positional:
            value = positional.pop(0) if positional else None
            shown = field.name
        else:
            shown = "--" + field.name.replace("_", "-")
            value = _value_of(shown, rest)
        valid = _choices(kind)
        if value is not None and valid and value not in valid:
            raise CommandError(f"{shown} is '{value}'; choose one of: {', '.join(valid)}")


def _bare(hint: Any) -> tuple[Any, bool]:
    """A type without its annotations, and whether it is a positional argument."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, False
    kind, *marks = typing.get_args(hint)
    return kind, tyro.conf.Positional in marks


def _choices(kind: Any) -> list[str]:
    """The words a Literal allows; empty for every other type, and where a choice is no word."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [word for part in typing.get_args(kind) for word in _choices(part)]
    found = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    return [word for word in found if isinstance(word, str)]


def _until_flag(tokens: Iterable[str]) -> Iterable[str]:
    for token in tokens:
        if token.startswith("-"):
            return
        yield token


def _value_of(flag: str, tokens: Sequence[str]) -> str | None:
    """What was typed for a flag; None where it was not, or without a value."""
    names = (flag, flag.replace("-", "_").replace("__", "--", 1))
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        name, equals, value = token.partition("=")
        if name in names:
            return value if equals else following if following and not following.startswith("-") else None
    return None


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(known)}"
