"""The registry of published weights (`weights.toml`): where they are, what they must hash to, under whose terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec

from teleopd.service.policy.errors import PolicyError, nearest

MAX_BYTES = 512 * 1024 * 1024
"""No policy of a few millisecond's inference comes near."""


class UnknownWeights(PolicyError):
    """Nothing of that name in the registry."""

    def __init__(self, name: str, known: Mapping[str, Published]) -> None:
        super().__init__(f"no published weights '{name}'{nearest(name, known)} Valid: {', '.join(sorted(known))}")


class WeightFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file to download."""

    file: str
    """Name under which a card finds it."""
    url: str
    sha256: str
    size: int
    """[bytes]"""


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Weights of one policy."""

    title: str
    licence: str
    terms: str
    """What the licence asks, in one line."""
    page: str
    card: str
    """Name of the shipped card, or the template to make one from."""
    robot: str
    files: tuple[WeightFile, ...] = ()
    wanted: tuple[str, ...] = ()
    """Files to get by hand, because no sha256 of them is known here."""

    @property
    def shipped_card(self) -> bool:
        """Whether a card comes with the package."""
        return not self.card.endswith(".toml")


def registry() -> dict[str, Published]:
    """Name -> published weights."""
    text = resources.files(__package__).joinpath("weights.toml").read_text(encoding="utf-8")
    return parse_registry(text)


def parse_registry(text: str) -> dict[str, Published]:
    """The registry from TOML.

    Raises:
        ValueError: an entry is incomplete, not https, or not pinned; names it.
    """
    entries = msgspec.toml.decode(text, type=dict[str, Published])
    for name, entry in entries.items():
        if bool(entry.files) == bool(entry.wanted):
            raise ValueError(f"{name} must have either files to download or files that are wanted")
        for file in entry.files:
            if Path(file.file).name != file.file or not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
                problem = f"has a file '{file.file}' with sha256 '{file.sha256}': not a name and 64 hex digits"
                raise ValueError(f"{name} {problem}")
            if not file.url.startswith("https://") or not 0 < file.size <= MAX_BYTES:
                raise ValueError(f"{name} has url '{file.url}' of {file.size} bytes: https, 1 to {MAX_BYTES} bytes")
    return entries


def published(name: str) -> Published:
    """The entry of that name.

    Raises:
        UnknownWeights: the message lists what there is.
    """
    known = registry()
    if name not in known:
        raise UnknownWeights(name, known)
    return known[name]
