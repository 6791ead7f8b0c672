"""The file of an episode that is being recorded: `NAME.mcap.part`, which becomes `NAME.mcap` when it is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

PART = ".part"
ENDING = ".mcap"
MOST_NAMES = 10_000
"""Episodes of one name in one folder."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system without hard links (FAT of a USB stick) answers."""


class RecordingError(Exception):
    """Recording cannot start or go on; one sentence."""


def os_sentence(what: str, error: OSError) -> str:
    """'cannot record in /data: No space left on device'."""
    return f"{what}: {error.strerror or error}"


class PartFile:
    """A stream for an MCAP writer: unbuffered, locked while it is written, under a name that no one else has."""

    def __init__(self, folder: Path, stem: str, ending: str = PART) -> None:
        """
        Args:
            stem: wanted name; `_2`, `_3` and so on is added to it where there is one.
            ending: added to the final name while the file is not whole.

        Raises:
            RecordingError: the folder cannot be written to.
        """
        self._folder, self._stem = folder, stem
        self._size = 0
        for path in self._names():
            if path.exists():
                continue
            part = Path(f"{path}{ending}")
            try:
                self._fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                continue
            except OSError as error:
                raise RecordingError(os_sentence(f"cannot record in {folder}", error)) from None
            self.path, self.part = path, part
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        raise RecordingError(f"{folder} already holds {MOST_NAMES} episodes named {stem}")

    def _names(self) -> Iterator[Path]:
        for count in range(1, MOST_NAMES + 1):
            yield self._folder / f"{self._stem}{f'_{count}' if count > 1 else ''}{ENDING}"

    def write(self, data: bytes) -> int:
        """Write all of it.

        Raises:
            OSError: the disk is full, gone or read-only; the file ends before `data` then.
        """
        view, start = memoryview(data), self._size
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, start)
                os.lseek(self._fd, start, os.SEEK_SET)
            raise
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written."""
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        """Wait until what was written is on the disk; another thread may write meanwhile, or close the file."""
        fd = self._fd
        if fd >= 0:
            os.fdatasync(fd)

    def publish(self) -> Path:
        """Give the whole file its final name, which no file has yet; returns it.

        Raises:
            OSError: the disk failed; the `.part` stays.
        """
        os.fsync(self._fd)
        for path in itertools.chain((self.path,), self._names()):
            if not path.exists() and _rename_to_new(self.part, path):
                self.path = path
                break
        self.close()
        _sync_folder(self._folder)
        return self.path

    def discard(self) -> None:
        """Remove it."""
        self.close()
        self.part.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; what was written stays under its present name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _rename_to_new(old: Path, new: Path) -> bool:
    """Rename, never over another file; False when there is one."""
    try:
        os.link(old, new)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(old, new)
        return True
    os.unlink(old)
    return True


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def is_being_written(path: Path) -> bool:
    """Whether a recorder still holds the file."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False
