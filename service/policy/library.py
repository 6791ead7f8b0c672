"""Finds a policy: what a user wrote (a name, a file, nothing) -> a card and the ONNX file that belongs to it.

Cards are shipped in `robots/<robot>/policies`; weights of others are not, and are looked for in `search_folders()`.
"""

from __future__ import annotations

import hashlib
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
from teleopd.service.policy.importers.auto import NO_ANSWERS, Answers, import_any
from teleopd.service.policy.importers.torchscript import convert
from teleopd.service.policy.network import check_hash
from teleopd.service.policy.onnx_file import OnnxFile, read_onnx

PATH_VARIABLE = "TELEOPD_POLICY_PATH"
"""Folders to search first, separated as in PATH."""
USER_FOLDER = Path("~/.local/share/teleopd/policies")


class ResolvedPolicy(NamedTuple):
    """A card and its model file, whose hash has been compared."""

    card: Card
    onnx_path: Path
    card_path: Path
    notes: tuple[str, ...] = ()
    """Where each number came from, when the card was imported from somebody else's description."""


def resolve(
    policy: str | None, robot: RobotModel, *, folders: Sequence[Path] | None = None, answers: Answers = NO_ANSWERS
) -> ResolvedPolicy | None:
    """The policy a user means; None when they named none and no weights were found.

    `policy` is the name of a shipped card; an ONNX file (its card lies beside it with the same stem, or is the shipped
    one of the same sha256, or is imported from the ONNX's metadata or the deploy.yaml beside it); a card file (its
    model lies beside it); or a TorchScript file of a kind known here, which is converted into the user's folder.
    `folders` default to `search_folders()`; `answers` say what an import cannot find out by itself.

    Raises:
        PolicyError: one sentence; each subclass in `errors.py` says what to do.
    """
    searched = search_folders() if folders is None else folders
    if policy is None:
        return _first_available(robot, searched)
    if policy.endswith((".onnx", ".toml", ".pt")) or os.sep in policy:
        path = Path(policy).expanduser()
        if path.suffix == ".toml":
            return _from_card_file(path, robot)
        return _from_torchscript(path, robot) if path.suffix == ".pt" else _from_onnx(path, robot, answers)
    cards = shipped_cards(robot)
    if policy not in cards:
        raise UnknownPolicy(policy, robot.name, list(cards))
    return _from_name(policy, cards[policy], robot, searched)


def absent_sentence(robot: RobotModel, *, folders: Sequence[Path] | None = None) -> str:
    """What to tell a user for whom `resolve(None, ...)` found nothing."""
    searched = search_folders() if folders is None else folders
    files = [f"'{card.model.file}' ({name})" for name, (_, card) in _defaults(robot).items()]
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


def _defaults(robot: RobotModel) -> dict[str, tuple[Path, Card]]:
    """Cards that may run without being asked for by name: what they follow they follow on any robot as it is."""
    cards = {name: (path, load_card(path)) for name, path in shipped_cards(robot).items()}
    return {
        name: (path, card) for name, (path, card) in cards.items()
        if (card.role == "tracker" or card.capabilities is not None) and not card.odometry
    }  # fmt: skip


def _first_available(robot: RobotModel, folders: Sequence[Path]) -> ResolvedPolicy | None:
    for name, (path, _) in _defaults(robot).items():
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
        for path in (
            folder / card.model.file, *sorted(folder.glob(f"*/{card.model.file}")), folder / Path(card.model.file).name
        )
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
    onnx_path = path.parent / Path(card.model.file).name
    if not onnx_path.is_file():
        raise WeightsAbsent(card.name, card.model.file, [path.parent])
    return _matched(card, path, onnx_path)


def _from_onnx(path: Path, robot: RobotModel, answers: Answers) -> ResolvedPolicy:
    """A card beside the file wins over a shipped one, and both over an import: somebody wrote it for this file."""
    onnx = read_onnx(path)
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return _matched(_card_for(beside, robot), beside, path)
    shipped = _shipped_for(onnx.sha256, robot)
    if shipped is not None and answers == NO_ANSWERS:
        return _checked(*shipped, onnx)
    imported = import_any(onnx, robot, answers)
    if imported is None:
        raise NoCard(path, onnx.sha256, list(shipped_cards(robot)))
    return ResolvedPolicy(imported.card, path, path, imported.notes)


def _from_torchscript(path: Path, robot: RobotModel) -> ResolvedPolicy:
    """Convert a known TorchScript file into the user's folder; its card is the shipped one of the same sha256."""
    content = convert(path)
    sha256 = hashlib.sha256(content).hexdigest()
    shipped = _shipped_for(sha256, robot)
    if shipped is None:
        raise NoCard(path, sha256, list(shipped_cards(robot)))
    folder = USER_FOLDER.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    onnx_path = folder / shipped[0].model.file
    part = onnx_path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(onnx_path)
    note = f"weights: {path}, converted to {onnx_path}"
    return _checked(*shipped, read_onnx(onnx_path))._replace(notes=(note,))


def _shipped_for(sha256: str, robot: RobotModel) -> tuple[Card, Path] | None:
    for card_path in shipped_cards(robot).values():
        card = _card_for(card_path, robot)
        if card.model.sha256 == sha256:
            return card, card_path
    return None


def _card_for(path: Path, robot: RobotModel) -> Card:
    card = load_card(path)
    if card.robot != robot.name:
        raise WrongRobot(card.name, card.robot, robot.name)
    return card


def _matched(card: Card, card_path: Path, onnx_path: Path) -> ResolvedPolicy:
    return _checked(card, card_path, read_onnx(onnx_path))


def _checked(card: Card, card_path: Path, onnx: OnnxFile) -> ResolvedPolicy:
    check_hash(card, card.model, onnx)
    return ResolvedPolicy(card, onnx.path, card_path)
