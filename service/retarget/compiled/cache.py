"""Where compiled code is kept between runs: one folder for each version of what is compiled. Imports no numba.

numba looks only at the file of a function for changes, not at the files of what it calls; a folder named after all of
them cannot serve stale code, and works where the package itself is installed read-only. numba also asks that a file's
place and time be those it compiled: they are part of the name, so that "ready" is never said of another checkout's.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

from teleopd.service.retarget import capsules

SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(
        Path(capsules.__file__).with_name(name)
        for name in (
            "avoidance.py", "capsules.py", "constraints.py", "floor.py", "floor_rows.py", "foot.py", "grounding.py",
            "one_sided.py", "stance.py", "targets.py", "toe_lock.py", "tracking_rows.py",
        )
    ),
)
"""What is compiled, and the files of constants that are compiled in."""


def is_installed() -> bool:
    """numba is there: extra `fast`."""
    try:
        return bool(importlib.metadata.version("numba"))
    except importlib.metadata.PackageNotFoundError:
        return False


def folder() -> Path:
    """The folder for this source, numba and Python, and this user; `XDG_CACHE_HOME` moves it."""
    digest = hashlib.sha256(f"{importlib.metadata.version('numba')} {sys.implementation.cache_tag}".encode())
    for source in SOURCES:
        digest.update(f"{source} {source.stat().st_mtime_ns}".encode())
        digest.update(source.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "teleopd" / f"compiled-{digest.hexdigest()[:16]}"


def discard() -> None:
    """Remove what an earlier run compiled: a file that a power cut damaged would be read again at every start."""
    shutil.rmtree(folder(), ignore_errors=True)


def is_ready() -> bool:
    """numba is there, and an earlier run has compiled: the next one starts at once."""
    return is_installed() and (folder() / "ready").exists()
