"""A recording's file behind a thread: a disk that takes seconds for one write does not keep the recorder from draining.

While the disk syncs, a write to the same file may wait for seconds in the kernel (ext4 and others). The rings of a
recording hold four seconds; here what waits is held in memory.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from teleopd.service.capture.part_file import PartFile

MOST_BYTES = 128_000_000
"""Waiting for the disk at most, minutes of a recording with a camera; beyond it `write` waits, and the rings drop."""


class SpooledFile(PartFile):
    """A `PartFile` whose `write` hands over. An error of the disk is raised by the next call."""

    def __init__(self, folder: Path, stem: str) -> None:
        """
        Raises:
            RecordingError: the folder cannot be written to.
        """
        super().__init__(folder, stem)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = self._accepted = 0
        self._error: OSError | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="disk")
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Hand over; returns at once as long as there is room.

        Raises:
            OSError: the disk refused something that was handed over before; the file ends before it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._waiting_bytes + len(data) <= MOST_BYTES)
            self._refuse()
            self._waiting.append(bytes(data))
            self._waiting_bytes += len(data)
            self._accepted += len(data)
            self._changed.notify_all()
        return len(data)

    def tell(self) -> int:
        """Bytes handed over."""
        return self._accepted

    @property
    def waiting_bytes(self) -> int:
        """Handed over, and not with the kernel yet."""
        return self._waiting_bytes

    def drain(self) -> None:
        """Wait until the kernel has it all.

        Raises:
            OSError: the disk refused.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or not self._waiting_bytes)
            self._refuse()

    def publish(self) -> Path:
        """As of `PartFile`, once everything is written."""
        self.drain()
        return super().publish()

    def close(self) -> None:
        """Let go of the file, once what waits is written or refused."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join()
        super().close()

    def _refuse(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                data = self._waiting.popleft()
            try:
                super().write(data)
            except OSError as error:
                with self._changed:
                    self._error = error
                    self._waiting.clear()
                    self._waiting_bytes = 0
                    self._changed.notify_all()
                return
            with self._changed:
                self._waiting_bytes -= len(data)
                self._changed.notify_all()
