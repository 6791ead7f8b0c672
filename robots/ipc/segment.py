"""Named shared memory as files on a memory file system: no resource tracker, no surprise unlink, mode 0600.

`multiprocessing.shared_memory` unlinks a segment when an unrelated process that attached to it ends; a
`teleop ctl` must be able to come and go, so the segments here are plain mapped files.
"""

from __future__ import annotations

import mmap
import os
import platform
import struct
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAGIC = 0x6F70656C65746431
HEADER = struct.Struct("<QQQ")
"""Magic, schema hash, payload size."""
HEADER_SIZE = 64
"""The payload starts on its own cache line."""


class SegmentMissing(FileNotFoundError):
    """The other side has not created the segment (yet), or is gone."""


class SchemaMismatch(ValueError):
    """The two sides were built from different layouts."""


_fence = threading.Lock()
_STRONG_ORDER = platform.machine() in ("x86_64", "AMD64", "i686")


def ordered() -> None:
    """Keep memory accesses before this call from being reordered with those after it.

    x86 does so by itself. On others, releasing and then acquiring a lock is what Python has for a barrier: earlier
    accesses stay before the release, later ones behind the acquire, and an acquire never overtakes a release.
    """
    if not _STRONG_ORDER:
        with _fence:
            pass
        with _fence:
            pass


def memory_dir() -> Path:
    """A memory-backed folder, /dev/shm on Linux."""
    shm = Path("/dev/shm")
    return shm if shm.is_dir() and os.access(shm, os.W_OK) else Path("/tmp")


class Segment:
    """A mapped file with a checked header. `data` is its payload, uint8."""

    def __init__(self, path: Path, mapped: mmap.mmap, size: int) -> None:
        self.path = path
        self._mmap = mapped
        self.data: npt.NDArray[np.uint8] = np.frombuffer(mapped, dtype=np.uint8, offset=HEADER_SIZE, count=size)

    @classmethod
    def create(cls, path: Path, schema_hash: int, size: int) -> Segment:
        """Create or replace the file, zero-filled, readable by its owner only.

        Raises:
            OSError: the memory file system is full.
        """
        scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
        scratch.unlink(missing_ok=True)
        fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, HEADER_SIZE + size)  # a full memory file system is an error now, not SIGBUS later
            mapped = mmap.mmap(fd, HEADER_SIZE + size)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise OSError(error.errno, f"no room for {HEADER_SIZE + size} bytes of shared memory", str(path)) from None
        finally:
            os.close(fd)
        mapped[: HEADER.size] = HEADER.pack(MAGIC, schema_hash, size)
        scratch.rename(path)
        return cls(path, mapped, size)

    @classmethod
    def attach(cls, path: Path, schema_hash: int, size: int) -> Segment:
        """Map an existing file.

        Raises:
            SegmentMissing: there is no such file.
            SchemaMismatch: it holds another layout.
        """
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            raise SegmentMissing(f"no shared memory {path}; is the process that owns it running?") from None
        try:
            total = os.fstat(fd).st_size
            mapped = mmap.mmap(fd, total) if total >= HEADER_SIZE else None
        finally:
            os.close(fd)
        if mapped is None:
            raise SchemaMismatch(f"{path} is not a teleopd segment ({total} bytes)")
        magic, found_hash, found_size = HEADER.unpack_from(mapped)
        if magic != MAGIC or total != HEADER_SIZE + found_size:
            mapped.close()
            raise SchemaMismatch(f"{path} is not a teleopd segment ({total} bytes)")
        if found_hash != schema_hash or found_size != size:
            mapped.close()
            raise SchemaMismatch(
                f"{path} has layout {found_hash:016x} of {found_size} bytes, expected {schema_hash:016x} of {size}; "
                "were the processes started from different versions?"
            )
        return cls(path, mapped, size)

    def unlink(self) -> None:
        """Remove the name; mapped sides keep their memory until they close."""
        self.path.unlink(missing_ok=True)
