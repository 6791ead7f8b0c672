"""Several people in one MVN stream: one sentence about who there is."""

from __future__ import annotations

from collections.abc import Mapping


def who_is_streamed(names: Mapping[int, str], followed: int) -> str:
    """`names`: character ids heard -> their names, '' where unknown; at least one is not `followed`."""
    others = [_called(character, names) for character in sorted(names) if character != followed]
    listed = " and ".join(part for part in (", ".join(others[:-1]), others[-1]) if part)
    noun, verb = ("character", "is") if len(others) == 1 else ("characters", "are")
    if followed in names:
        return f"{noun} {listed} {verb} streamed too; character {_called(followed, names)} is followed"
    return f"{noun} {listed} {verb} streamed, not character {followed}; choose with --device character=N"


def _called(character: int, names: Mapping[int, str]) -> str:
    return f"{character} ({names[character]})" if names[character] else str(character)
