"""Files and folders that results go to: refused before the work whose results they would hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from teleopd.drivers.home import expanded
from teleopd.launch.errors import CommandError


def output_file(flag: str, path: Path, *, drafted: bool = False) -> Path:
    """A file that may be written, absolute, its ~ expanded; nothing is made.

    Args:
        flag: as it is typed, with its dashes.
        path: as given.
        drafted: it is written beside its place first, so that a device or a pipe cannot be meant.

    Raises:
        CommandError: its folder does not exist, neither may be written to, or it is a folder.
    """
    file = expanded(path, CommandError, f"{flag} ").absolute()
    if not file.parent.is_dir():
        raise CommandError(f"{flag} {file}: the folder {file.parent} does not exist")
    if file.is_dir():
        raise CommandError(f"{flag} {file} is a folder; give a file")
    if drafted and _is_stream(file):
        raise CommandError(f"{flag} {file} is no file that could be replaced; give one")
    if not drafted and file.exists() and os.access(file, os.W_OK):
        return file
    if not os.access(file.parent, os.W_OK):
        raise CommandError(f"{flag} {file}: the folder {file.parent} may not be written to")
    return file


def folder_to_make(flag: str, path: Path) -> Path:
    """A folder that may be written to or made, absolute, its ~ expanded; nothing is made.

    Raises:
        CommandError: it is a file, cannot be made or may not be written to.
    """
    folder = expanded(path, CommandError, f"{flag} ").absolute()
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not there.is_dir():
        wrong = "is a file; give a folder" if there == folder else f"cannot be made: {there} is not a folder"
        raise CommandError(f"{flag} {folder} {wrong}")
    if not os.access(there, os.W_OK | os.X_OK):
        wrong = "may not be written to" if there == folder else f"cannot be made: {there} may not be written to"
        raise CommandError(f"{flag} {folder} {wrong}")
    return folder


def output_folder(flag: str, path: Path) -> Path:
    """The same, and it is made."""
    folder = folder_to_make(flag, path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{flag} {folder} cannot be made: {error.strerror}") from None
    return folder


@contextlib.contextmanager
def output_folder_for(flag: str, path: Path) -> Iterator[Path]:
    """The same, for work that may be refused: then what was made of it goes again, unless something is in it."""
    folder = folder_to_make(flag, path)
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    output_folder(flag, folder)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):
            for one in new:
                one.rmdir()
        raise


def _is_stream(file: Path) -> bool:
    """A device, a pipe, or a name for something that is open, as /dev/stdout is."""
    return file.exists() and (not file.is_file() or (file.is_symlink() and str(file.readlink()).startswith("/proc/")))
