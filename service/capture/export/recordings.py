"""The recordings that were given: which files, of which robot, and whether they go into one data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.mcap_file import Contents, EpisodeError, read_records

ENDING = ".mcap"
PEERS = "data.json"
"""Of xr_teleoperate and TWIST2: a file of this name in a folder for each episode."""
Body = tuple[str, tuple[str, ...]]
"""A robot and its joints."""


def find_recordings(given: Sequence[Path]) -> list[Path]:
    """Every file given, and every finished recording in a given folder and those below it, sorted, each once.

    Raises:
        ExportError: nothing there, or a folder without recordings.
    """
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise ExportError(f"{path} does not exist; give recordings (*{ENDING}) or folders of them")
        inside = sorted([*path.rglob(f"*{ENDING}"), *path.rglob(PEERS)]) if path.is_dir() else [path]
        if not inside:
            raise ExportError(f"{path} holds no finished recording (*{ENDING})")
        found += inside
    if not found:
        raise ExportError(f"no recordings: give files (*{ENDING}) or folders of them")
    return list({path.resolve(): path for path in found}.values())


def is_peers(path: Path) -> bool:
    """Whether it is another program's."""
    return path.suffix == ".json"


def name_of(path: Path) -> str:
    """What the episodes of a recording are called: its file, or where that has always the same name, its folder."""
    if path.name == PEERS:
        return path.resolve().parent.name
    return path.name.removesuffix(".part").removesuffix(ENDING)


def check_names(paths: Sequence[Path], fmt: str) -> None:
    """Raises ExportError where two recordings would be written to one file."""
    if fmt not in ("npz", "csv"):
        return
    taken: dict[str, Path] = {}
    for path in paths:
        name = name_of(path)
        if name in taken:
            raise ExportError(
                f"{taken[name]} and {path} would both be written to {name}.{fmt}: rename one, or export them one by one"
            )
        taken[name] = path


def body_of(path: Path) -> Body | None:
    """Robot and joints, from the beginning of a recording; None where they are not there (reading it says why)."""
    contents = Contents()
    try:
        next(iter(read_records(path, contents)), None)
        about = next(record.metadata for record in contents.metadata if record.name == "episode")
        return about["robot"], tuple(json.loads(about["joint_names"]))
    except (EpisodeError, StopIteration, KeyError, ValueError, TypeError):
        return None


def cameras_of(path: Path) -> tuple[str, ...]:
    """The cameras that a recording was made with, from its beginning; none where it does not say."""
    contents = Contents()
    try:
        next(iter(read_records(path, contents)), None)
        about = next(record.metadata for record in contents.metadata if record.name == "episode")
        return tuple(str(name) for name in json.loads(about.get("cameras", "[]")))
    except (EpisodeError, StopIteration, ValueError, TypeError):
        return ()


def common_cameras(paths: Sequence[Path]) -> tuple[str, ...]:
    """The cameras of all recordings.

    Raises:
        ExportError: they differ.
    """
    found = [(path, cameras_of(path)) for path in paths]
    for path, cameras in found[1:]:
        first, those = found[0]
        if set(cameras) != set(those):
            one, other = (" and ".join(names) or "none" for names in (those, cameras))
            raise ExportError(
                f"{first} has the cameras {one} and {path} {other}: name those that all have with --cameras, or none"
            )
    return found[0][1] if found else ()


def check_alike(paths: Sequence[Path], identify: Callable[[Path], Body | None]) -> None:
    """Raises ExportError where two recordings cannot be in one data set."""
    bodies = [(path, body) for path in paths if (body := identify(path)) is not None]
    for path, (robot, joints) in bodies[1:]:
        first, (first_robot, first_joints) = bodies[0]
        if robot != first_robot:
            raise ExportError(f"{first} is of {first_robot} and {path} of {robot}: export each robot by itself")
        if joints != first_joints:
            at = next((i for i, (a, b) in enumerate(zip(first_joints, joints, strict=False)) if a != b), None)
            at = min(len(first_joints), len(joints)) if at is None else at
            one, other = (names[at] if at < len(names) else "none" for names in (first_joints, joints))
            raise ExportError(
                f"{first} has {len(first_joints)} joints and {path} {len(joints)}, which differ first in joint {at} "
                f"({one} and {other}): export each set of joints by itself"
            )
