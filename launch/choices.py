"""Words on the command line that are checked before the parser: one sentence instead of a box."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teleopd.launch.errors import CommandError
from teleopd.launch.understood import Flag, Understood, choices_of, may_be_none, number_of, takes_all, understood
from teleopd.launch.words import ALONE, Typed, asks_for_help, for_the_parser, looks_like_flag, told_apart


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
    if not arguments or for_the_parser(arguments):
        return
    command, tokens = arguments[0], list(arguments[1:])
    if command.startswith("-") and under:
        raise CommandError(f"{under}needs one more word before '{command}': {', '.join(commands)}")
    if command.startswith("-"):
        raise CommandError(f"a command comes before '{command}'; teleop --help lists them")
    if command not in commands:
        raise CommandError(f"unknown command '{under}{command}'{_hint(command, commands)}")
    known = understood(commands[command])
    if known.verbs and not tokens:
        raise CommandError(f"{under}{command} needs one more word: {', '.join(known.verbs)}")
    if known.verbs:
        check_words(tokens, known.verbs, f"{under}{command} ")
    else:
        _check_tokens(f"{under}{command}", known, tokens)


def _check_tokens(command: str, known: Understood, tokens: Sequence[str]) -> None:
    """What follows a command that has no verbs."""
    waiting, given, dashed = list(known.positional), set[str](), dict[str, list[str]]()
    for_help = f"teleop {command} --help"
    for typed in told_apart(known, tokens):
        if typed.flag:
            if typed.flag not in known.flags:
                near = difflib.get_close_matches(typed.flag, known.flags, n=1)
                hint = f"did you mean {near[0]}?" if near else f"{for_help} lists them"
                raise CommandError(f"{command} has no flag {typed.flag}; {hint}")
            _check_values(typed, known.flags[typed.flag], for_help)
            if known.flags[typed.flag].words is None:
                dashed[typed.flag] = dashed.get(typed.flag, []) + _dashed(typed.values, known)
                if len(dashed[typed.flag]) > 1:  # the parser takes one, in one word with its flag
                    first, second = dashed[typed.flag]
                    raise CommandError(f"{typed.flag}: '{first}' and '{second}' look like flags; only one of them may")
            given.add(typed.flag)
            continue
        if not waiting:
            raise CommandError(
                f"{command} takes no further word, and '{typed.word}' is one; {for_help} lists its flags"
            )
        _check(waiting[0].name, waiting[0].kind, typed.word)
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
    """The same words as the parser wants them.

    The values of a flag that takes any number lie in one place, however often it was typed (the parser keeps the last
    one only); what stands alone comes at the end. Where help is asked for, nothing else is left.
    """
    if not arguments or arguments[0] not in commands:
        return list(arguments)
    known = understood(commands[arguments[0]])
    if known.verbs:
        return [arguments[0], *joined(arguments[1:], known.verbs)]
    if for_the_parser(arguments):
        return [arguments[0], "--help"] if asks_for_help(arguments) else list(arguments)
    flags: list[str | list[str]] = []
    many: dict[str, list[str]] = {}
    alone: list[str] = []
    for typed in told_apart(known, arguments[1:]):
        flag = known.flags.get(typed.flag)
        if not typed.flag:
            alone.append(typed.word)
        elif flag is None or flag.words is not None:
            flags.append([typed.word] if "=" in typed.word else [typed.word, *typed.values])
        else:
            if typed.flag not in many:
                flags.append(typed.flag)
            many[typed.flag] = [*many.get(typed.flag, ()), *typed.values]
    found = [arguments[0]]
    for part in flags:
        found += _in_one_place(part, many[part], known) if isinstance(part, str) else part
    return [*found, ALONE, *alone] if alone else found


def _in_one_place(name: str, values: Sequence[str], known: Understood) -> list[str]:
    """A flag of many words; one that looks like a flag itself can only be given in one word with it."""
    dashed = _dashed(values, known)
    if not dashed:
        return [name, *values]
    others = list(values)
    others.remove(dashed[0])
    return [f"{name}={dashed[0]}", *others]


def _dashed(values: Sequence[str], known: Understood) -> list[str]:
    return [value for value in values if looks_like_flag(value, known.flags)]


def _check(shown: str, kind: Any, value: str) -> None:
    if value == "None" and may_be_none(kind):
        return
    valid, number = choices_of(kind), number_of(kind)
    if valid and value not in valid:
        raise CommandError(f"{shown} is '{value}'; choose one of: {', '.join(valid)}")
    if number is not None:
        try:
            number(value)
        except ValueError:
            raise CommandError(f"{shown} is '{value}'; give a {'whole ' if number is int else ''}number") from None


def _check_values(typed: Typed, flag: Flag, for_help: str) -> None:
    if flag.words == 0 and typed.values:
        raise CommandError(f"{typed.flag} takes no value, and '{typed.word}' gives it one; {for_help} says more")
    if flag.words and len(typed.values) < flag.words:
        raise CommandError(f"{typed.flag} has no value; {for_help} says what it takes")
    for value in typed.values:
        _check(typed.flag, flag.kind, value)


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(known)}"
