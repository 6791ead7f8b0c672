"""Finds a policy: what a user wrote (a name, a file, nothing) -> a card and the ONNX file that belongs to it.

Cards are shipped in `robots/<robot>/policies`; weights of others are not, and are looked for in `search_folders()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from teleopd.robots.model import RobotModel
from teleopd.service.policy.card import Card
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.errors import (
    FileAbsent,
    HashMismatch,
    NoCard,
    UnknownPolicy,
    WeightsAbsent,
    WrongRobot,
)
from teleopd.service.policy.onnx_file import read_onnx

PATH_VARIABLE = "TELEOPD_POLICY_PATH"
"""Folders to search first, separated as in PATH."""
USER_FOLDER = Path("~/.local/share/teleopd/policies")


class ResolvedPolicy(NamedTuple):
    """A card and its model file, whose hash has been compared."""

    card: Card
    onnx_path: Path
    card_path: Path


def resolve(policy: str | None, robot: RobotModel, *, folders: Sequence[Path] | None = None) -> ResolvedPolicy | None:
    """The policy a user means; None when they named none and no weights were found.

    `policy` is the name of a shipped card, an ONNX file (its card lies beside it with the same stem, or is the shipped
    one of the same sha256), or a card file (its model lies beside it). `folders` default to `search_folders()`.

    Raises:
        PolicyError: one sentence; each subclass in `errors.py` says what to do.
    """
    searched = search_folders() if folders is None else folders
    if policy is None:
        return _first_available(robot, searched)
    if policy.endswith((".onnx", ".toml")) or os.sep in policy:
        path = Path(policy).expanduser()
        return _from_card_file(path, robot) if path.suffix == ".toml" else _from_onnx(path, robot)
    cards = shipped_cards(robot)
    if policy not in cards:
        raise UnknownPolicy(policy, robot.name, list(cards))
    return _from_name(policy, cards[policy], robot, searched)


def absent_sentence(robot: RobotModel, *, folders: Sequence[Path] | None = None) -> str:
    """What to tell a user for whom `resolve(None, ...)` found nothing."""
    searched = search_folders() if folders is None else folders
    files = [f"'{load_card(path).model.file}' ({name})" for name, path in shipped_cards(robot).items()]
    wanted = " or ".join(files) or "an ONNX file with its card"
    return (
        f"no policy weights for {robot.name} were found, so the robot is shown kinematically and does not balance; "
        f"put {wanted} into one of {', '.join(map(str, searched))}, or name a file with --policy FILE"
    )


def shipped_cards(robot: RobotModel) -> dict[str, Path]:
    """Name -> file of the cards that come with a robot, sorted; a card is named as its file."""
    return {path.stem: path for path in sorted((robot.mjcf.parent / "policies").glob("*.toml"))}


def search_folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where weights are looked for: `TELEOPD_POLICY_PATH`, the user's folder, the data folder beside a checkout."""
    folders = [Path(entry).expanduser() for entry in environment.get(PATH_VARIABLE, "").split(os.pathsep) if entry]
    folders.append(USER_FOLDER.expanduser())
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        folders.append(checkout.parent / "shared" / "data" / "policies")
    return folders


def _first_available(robot: RobotModel, folders: Sequence[Path]) -> ResolvedPolicy | None:
    for name, path in shipped_cards(robot).items():
        try:
            return _from_name(name, path, robot, folders)
        except WeightsAbsent:
            continue
    return None


def _from_name(name: str, card_path: Path, robot: RobotModel, folders: Sequence[Path]) -> ResolvedPolicy:
    card = _card_for(card_path, robot)
    candidates = [
        path
        for folder in (card_path.parent, *folders)
        for path in (folder / card.model.file, *sorted(folder.glob(f"*/{card.model.file}")))
        if path.is_file()
    ]
    if not candidates:
        raise WeightsAbsent(name, card.model.file, folders)
    wrong: HashMismatch | None = None
    for path in candidates:
        try:
            return _matched(card, card_path, path)
        except HashMismatch as error:
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def _from_card_file(path: Path, robot: RobotModel) -> ResolvedPolicy:
    if not path.is_file():
        raise FileAbsent(path)
    card = _card_for(path, robot)
    onnx_path = path.parent / card.model.file
    if not onnx_path.is_file():
        raise WeightsAbsent(card.name, card.model.file, [path.parent])
    return _matched(card, path, onnx_path)


def _from_onnx(path: Path, robot: RobotModel) -> ResolvedPolicy:
    """A card beside the file wins over a shipped one: somebody put it there for this file."""
    onnx = read_onnx(path)
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return _matched(_card_for(beside, robot), beside, path)
    cards = shipped_cards(robot)
    for card_path in cards.values():
        card = _card_for(card_path, robot)
        if card.model.sha256 == onnx.sha256:
            return ResolvedPolicy(card, path, card_path)
    raise NoCard(path, onnx.sha256, list(cards))


def _card_for(path: Path, robot: RobotModel) -> Card:
    card = load_card(path)
    if card.robot != robot.name:
        raise WrongRobot(card.name, card.robot, robot.name)
    return card


def _matched(card: Card, card_path: Path, onnx_path: Path) -> ResolvedPolicy:
    onnx = read_onnx(onnx_path)
    if onnx.sha256 != card.model.sha256:
        raise HashMismatch(card.name, card.model.sha256, onnx_path, onnx.sha256)
    return ResolvedPolicy(card, onnx_path, card_path)
