"""The words after a command told apart as the parser tells them apart: flags with their values, and words that stand
alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from teleopd.launch.understood import Flag, Understood, takes_all

ALONE = "--"
"""Every word after it stands alone, whatever it begins with."""
_NO_DIGITS = ("inf", "infinity", "nan")


class Typed(NamedTuple):
    """A flag with its values, or a word that stands alone."""

    word: str
    """As it was typed."""
    flag: str = ""
    """Name of the flag, as the parser knows it; '' for a word that stands alone."""
    values: Sequence[str] = ()


def told_apart(known: Understood, words: Sequence[str]) -> Iterator[Typed]:
    """In the order typed. A flag that the command does not know has no values."""
    left, waiting = deque(words), list(known.positional)
    while left:
        word = left.popleft()
        if word == ALONE:
            yield from map(Typed, left)
            return
        if looks_like_flag(word, known.flags):
            name = flag_name(word)
            needed = sum(other.required for other in waiting)
            yield Typed(word, name, _values(word, known.flags.get(name), left, needed, known.flags))
            continue
        if waiting and not takes_all(waiting[0].kind):
            waiting.pop(0)
        yield Typed(word)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether help is asked for, whatever else was typed."""
    return bool({"-h", "--help"} & set(_before_alone(words)))


def for_the_parser(words: Sequence[str]) -> bool:
    """Whether it is the parser that answers: help, and what completes words in a shell."""
    return asks_for_help(words) or any(word.startswith("--tyro-") for word in _before_alone(words))


def _before_alone(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index(ALONE)] if ALONE in words else words


def looks_like_flag(word: str, flags: Container[str]) -> bool:
    """Whether the parser takes a word for a flag where a value could stand: '-x' and '--', not '- cold' or '-5 deg'."""
    name = word.partition("=")[0]
    if word == ALONE or flag_name(name) in flags:
        return True
    number = name[:1] == "-" and (name[1:2].isdigit() or name[1:2] == "." or name[1:].lower() in _NO_DIGITS)
    return name.startswith("-") and name.lstrip("-")[:1].isalpha() and not number


def flag_name(word: str) -> str:
    """A flag as the parser knows it, without its value: both - and _ may be typed."""
    name = word.partition("=")[0]
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


def _values(word: str, flag: Flag | None, left: deque[str], needed: int, flags: Container[str]) -> list[str]:
    """What was typed for a flag; takes it from `left`. A flag of many words leaves the last `needed` to those that
    stand alone."""
    _, equals, value = word.partition("=")
    found = [value] if equals else []
    if flag is None:
        return []
    least = 0 if flag.words is not None else needed
    while len(left) > least and (flag.words is None or len(found) < flag.words) and not looks_like_flag(left[0], flags):
        found.append(left.popleft())
    return found
