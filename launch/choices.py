"""Words on the command line that are checked before the parser: one sentence instead of a box."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teleopd.launch.errors import CommandError
from teleopd.launch.understood import Flag, Understood, choices_of, number_of, takes_all, understood

_NUMBER = re.compile(r"-(inf|(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)$")


def check_words(arguments: Sequence[str], commands: Mapping[str, type], under: str = "") -> None:
    """Refuse what the parser would refuse at length: an unknown command or flag, a value that is none of its choices
    or no number, a missing value, a word too many or too few. Where help is asked for, the parser gives it.

    Args:
        arguments: the words after `teleop`, or after `under`.
        commands: name -> class.
        under: command whose verbs these are, with a space after it.

    Raises:
        CommandError: with the offending word and the valid ones.
    """
    if not arguments or arguments[0].startswith("-") or {"-h", "--help"} & set(arguments):
        return
    command, tokens = arguments[0], list(arguments[1:])
    if command not in commands:
        raise CommandError(f"unknown command '{under}{command}'{_hint(command, commands)}")
    known = understood(commands[command])
    if known.verbs and not tokens:
        raise CommandError(f"{under}{command} needs one more word: {', '.join(known.verbs)}")
    if known.verbs:
        check_words(tokens, known.verbs, f"{under}{command} ")
    elif not any(token.startswith("--tyro-") for token in tokens):  # the parser's own, for completion in a shell
        _check_tokens(f"{under}{command}", known, tokens)


def _check_tokens(command: str, known: Understood, tokens: list[str]) -> None:
    """What follows a command that has no verbs."""
    waiting, given = list(known.positional), set[str]()
    for_help = f"teleop {command} --help"
    while tokens:
        token = tokens.pop(0)
        if _is_flag(token):
            name = _name(token)
            if name not in known.flags:
                near = difflib.get_close_matches(name, known.flags, n=1)
                hint = f"did you mean {near[0]}?" if near else f"{for_help} lists them"
                raise CommandError(f"{command} has no flag {name}; {hint}")
            for value in _checked_values(token, name, known.flags[name], tokens, for_help):
                _check(name, known.flags[name].kind, value)
            given.add(name)
            continue
        if not waiting:
            raise CommandError(f"{command} takes no further word, and '{token}' is one; {for_help} lists its flags")
        _check(waiting[0].name, waiting[0].kind, token)
        given.add(waiting[0].name)
        if not takes_all(waiting[0].kind):
            waiting.pop(0)
    needed = {word.name: word.kind for word in known.positional if word.required}
    needed |= {name: flag.kind for name, flag in known.flags.items() if flag.required}
    for name in needed:
        if name not in given:
            valid = ", ".join(choices_of(needed[name]))
            raise CommandError(f"{command} needs {name}{f': {valid}' if valid else f'; {for_help} says what it is'}")


def joined(arguments: Sequence[str], commands: Mapping[str, type]) -> list[str]:
    """The same words with every flag that takes any number of them, and was typed more than once, in one place: the
    parser keeps the last one only."""
    if not arguments or arguments[0] not in commands:
        return list(arguments)
    known = understood(commands[arguments[0]])
    if known.verbs:
        return [arguments[0], *joined(arguments[1:], known.verbs)]
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


def _check(shown: str, kind: Any, value: str) -> None:
    valid, number = choices_of(kind), number_of(kind)
    if valid and value not in valid:
        raise CommandError(f"{shown} is '{value}'; choose one of: {', '.join(valid)}")
    if number is not None and value != "None":  # which the parser takes for "not given"
        try:
            number(value)
        except ValueError:
            raise CommandError(f"{shown} is '{value}'; give a {'whole ' if number is int else ''}number") from None


def _is_flag(token: str) -> bool:
    return len(token) > 1 and token.startswith("-") and _NUMBER.match(token) is None


def _name(token: str) -> str:
    """A flag as the parser knows it, without its value: both - and _ may be typed."""
    name = token.partition("=")[0]
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


def _checked_values(token: str, name: str, flag: Flag, tokens: list[str], for_help: str) -> list[str]:
    values = _values(token, flag, tokens)
    if flag.words == 0 and values:
        raise CommandError(f"{name} takes no value, and '{token}' gives it one; {for_help} says more")
    if flag.words and len(values) < flag.words:
        raise CommandError(f"{name} has no value; {for_help} says what it takes")
    return values


def _values(token: str, flag: Flag, tokens: list[str]) -> list[str]:
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
