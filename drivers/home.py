"""Paths as a user types them: ~ and ~name become home folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def expanded(path: str | Path, refusal: Callable[[str], Exception], what: str = "") -> Path:
    """The path without its ~.

    Args:
        path: as typed.
        refusal: makes the caller's own error of a sentence.
        what: what the sentence begins with: the flag or key, and a space.

    Raises:
        Exception: that of `refusal`, where nobody has the home folder that is meant.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0][1:]
        whose = f"there is no user '{name}' here" if name else "your home folder is not known (set HOME)"
        raise refusal(f"{what}{path}: {whose}; write the path in full") from None
