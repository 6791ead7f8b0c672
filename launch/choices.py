"""Words on the command line that are checked before the parser: one sentence instead of a box.

What a flag takes is read from its field's type, so that words of flags and words that stand alone are told apart
wherever they are typed.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import tyro

from teleopd.launch.errors import CommandError

_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class _Flag(NamedTuple):
    """One flag, as the parser sees it."""

    kind: Any
    words: int | None
    """That follow it; None: all up to the next flag."""


class _Known(NamedTuple):
    """What a command understands."""

    flags: Mapping[str, _Flag]
    positional: list[tuple[str, Any]]
    verbs: Mapping[str, type]
    """Commands of its own, as those of `teleop policy`."""


def check_words(arguments: Sequence[str], commands: Mapping[str, type], under: str = "") -> None:
    """Refuse an unknown command, a value that is none of its choices, and a word too many.

    Everything else (missing values, unknown flags, numbers) is the parser's. `under`: command whose verbs these are.

    Raises:
        CommandError: with the offending word and the valid ones.
    """
    if not arguments or arguments[0].startswith("-"):
        return
    command, tokens = arguments[0], list(arguments[1:])
    if command not in commands:
        raise CommandError(f"unknown command '{under}{command}'{_hint(command, commands)}")
    known = _known(commands[command])
    if known.verbs:
        return check_words(tokens, known.verbs, f"{under}{command} ")
    waiting = list(known.positional)
    while tokens:
        token = tokens.pop(0)
        if not _is_flag(token):
            if not waiting:
                flags = f"teleop {under}{command} --help lists its flags"
                raise CommandError(f"{under}{command} takes no further word, and '{token}' is one; {flags}")
            _check(*waiting[0], token)
            if typing.get_origin(waiting[0][1]) is not tuple:  # such a one takes every word that follows
                waiting.pop(0)
            continue
        name = _name(token)
        flag = known.flags.get(name)
        if flag is None:
            return
        values = _values(token, flag, tokens)
        if flag.words and len(values) < flag.words:
            return
        for value in values:
            _check(name, flag.kind, value)


def joined(arguments: Sequence[str], commands: Mapping[str, type]) -> list[str]:
    """The same words with every flag that takes any number of them, and was typed more than once, in one place: the
    parser keeps the last one only."""
    known = _known(commands[arguments[0]]) if arguments and arguments[0] in commands else _Known({}, [], {})
    found: list[str | list[str]] = []
    many: dict[str, list[str]] = {}
    tokens = list(arguments)
    while tokens:
        token = tokens.pop(0)
        flag = known.flags.get(_name(token))
        if flag is None or flag.words is not None:
            found.append(token)
            continue
        name = _name(token)
        if name not in many:
            found.append(many.setdefault(name, [name]))
        many[name] += _values(token, flag, tokens)
    return [word for part in found for word in (part if isinstance(part, list) else [part])]


def _known(command: type, prefix: str = "--") -> _Known:
    hints = typing.get_type_hints(command, include_extras=True)
    flags: dict[str, _Flag] = {}
    positional: list[tuple[str, Any]] = []
    verbs: dict[str, type] = {}
    for field in dataclasses.fields(command):
        kind, marks = _bare(hints[field.name])
        flag = prefix + field.name.replace("_", "-")
        if tyro.conf.Positional in marks:
            positional.append((field.name, kind))
        elif dataclasses.is_dataclass(kind):
            flags |= _known(typing.cast(type, kind), f"{flag}.").flags
        elif kind is bool:
            no = f"{flag.rpartition('.')[0]}.no-" if "." in flag else "--no-"
            flags |= dict.fromkeys((flag, no + field.name.replace("_", "-")), _Flag(kind, 0))
        elif typing.get_origin(kind) is tuple:
            flags[flag] = _Flag(kind, 1 if tyro.conf.UseAppendAction in marks else None)
        else:
            verbs |= _verbs(kind)
            flags[flag] = _Flag(kind, 1)
    return _Known(flags, positional, verbs)


def _verbs(kind: Any) -> dict[str, type]:
    """Commands that a union of annotated classes names; empty for every other type."""
    parts = [_bare(part) for part in typing.get_args(kind)]
    return {mark.name: part for part, marks in parts for mark in marks if isinstance(part, type)}


def _bare(hint: Any) -> tuple[Any, Sequence[Any]]:
    """A type without its annotations, and these."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, ()
    kind, *marks = typing.get_args(hint)
    return kind, marks


def _choices(kind: Any) -> list[str]:
    """The words a Literal allows; empty for every other type, and where a choice is no word."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [word for part in typing.get_args(kind) for word in _choices(part)]
    found = typing.get_args(kind) if typing.get_origin(kind) is Literal else ()
    return [word for word in found if isinstance(word, str)]


def _check(shown: str, kind: Any, value: str) -> None:
    valid = _choices(kind)
    if valid and value not in valid:
        raise CommandError(f"{shown} is '{value}'; choose one of: {', '.join(valid)}")


def _is_flag(token: str) -> bool:
    return len(token) > 1 and token.startswith("-") and _NUMBER.match(token) is None


def _name(token: str) -> str:
    """A flag as the parser knows it, without its value: both - and _ may be typed."""
    name = token.partition("=")[0]
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


def _values(token: str, flag: _Flag, tokens: list[str]) -> list[str]:
    """What was typed for a flag; takes it from `tokens`."""
    _, equals, value = token.partition("=")
    if equals:
        return [value]
    found: list[str] = []
    while tokens and not _is_flag(tokens[0]) and (flag.words is None or len(found) < flag.words):
        found.append(tokens.pop(0))
    return found


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(known)}"
