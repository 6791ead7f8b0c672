"""Files and folders that results go to: refused before the work whose results they would hold."""

from __future__ import annotations

import os
from pathlib import Path

from teleopd.launch.errors import CommandError


def output_file(flag: str, path: Path) -> Path:
    """A file that may be written, absolute, its ~ expanded; nothing is made. `flag`: as it is typed, with its dashes.

    Raises:
        CommandError: its folder does not exist or may not be written to, or it is a folder.
    """
    file = path.expanduser().absolute()
    if not file.parent.is_dir():
        raise CommandError(f"{flag} {file}: the folder {file.parent} does not exist")
    if file.is_dir():
        raise CommandError(f"{flag} {file} is a folder; give a file")
    if not os.access(file.parent, os.W_OK):
        raise CommandError(f"{flag} {file}: the folder {file.parent} may not be written to")
    return file


def output_folder(flag: str, path: Path) -> Path:
    """A folder that may be written to, absolute, its ~ expanded; it is made. `flag`: as it is typed, with its dashes.

    Raises:
        CommandError: it is a file, cannot be made or may not be written to.
    """
    folder = path.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CommandError(f"{flag} {folder} is a file; give a folder") from None
    except OSError as error:
        raise CommandError(f"{flag} {folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"{flag} {folder} may not be written to")
    return folder
