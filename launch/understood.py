"""What a command understands: its flags, the words that stand alone and commands of its own, read from the types of its
fields, so that words of flags and words that stand alone are told apart wherever they are typed."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import tyro


class Flag(NamedTuple):
    """One flag, as the parser sees it."""

    kind: Any
    words: int | None
    """That follow it; None: all up to the next flag."""
    required: bool = False


class Word(NamedTuple):
    """One word that stands alone, or all of them."""

    name: str
    kind: Any
    required: bool


class Understood(NamedTuple):
    """What a command understands."""

    flags: Mapping[str, Flag]
    positional: list[Word]
    verbs: Mapping[str, type]
    """Commands of its own, as those of `teleop policy`."""


def understood(command: type, prefix: str = "--") -> Understood:
    """Flags, words and verbs of a command's class, a dataclass; `prefix`: what its flags begin with."""
    hints = typing.get_type_hints(command, include_extras=True)
    flags: dict[str, Flag] = {}
    positional: list[Word] = []
    verbs: dict[str, type] = {}
    for field in dataclasses.fields(command):
        kind, marks = _bare(hints[field.name])
        flag = prefix + field.name.replace("_", "-")
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if tyro.conf.Positional in marks:
            positional.append(Word(field.name, kind, required and not takes_all(kind)))
        elif dataclasses.is_dataclass(kind):
            flags |= understood(typing.cast(type, kind), f"{flag}.").flags
        elif kind is bool:
            no = f"{flag.rpartition('.')[0]}.no-" if "." in flag else "--no-"
            flags |= dict.fromkeys((flag, no + field.name.replace("_", "-")), Flag(kind, 0))
        elif takes_all(kind):
            flags[flag] = Flag(kind, 1 if tyro.conf.UseAppendAction in marks else None)
        elif found := _verbs(kind):
            verbs |= found
        else:
            flags[flag] = Flag(kind, 1, required)
    return Understood(flags, positional, verbs)


def takes_all(kind: Any) -> bool:
    """Whether a word of this type is every word that follows."""
    return typing.get_origin(kind) is tuple


def choices_of(kind: Any) -> list[str]:
    """The words a Literal allows; empty for every other type, and where a choice is no word."""
    found = [word for part in _parts(kind) if typing.get_origin(part) is Literal for word in typing.get_args(part)]
    return [word for word in found if isinstance(word, str)]


def number_of(kind: Any) -> Callable[[str], float] | None:
    """What reads a number of this type from a word; None for a type that is no number."""
    return next((part for part in _parts(kind) if part in (int, float)), None)


def may_be_none(kind: Any) -> bool:
    """Whether the word None says that there is none."""
    return type(None) in _parts(kind)


def _parts(kind: Any) -> Sequence[Any]:
    """The types of a union; a type that is none, alone."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)


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
