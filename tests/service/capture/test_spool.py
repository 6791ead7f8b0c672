"""The file of a recording behind its thread: order, slowness, refusal, and a memory that ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from teleopd.service.capture import spool
from teleopd.service.capture.spool import SpooledFile


class Gate:
    """`os.write` waits until it is opened, or fails from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open, self._write, self.error = threading.Event(), os.write, None
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        self._open.wait(60.0)
        if self.error is not None:
            raise self.error
        return self._write(fd, data)

    def open(self, error: OSError | None = None) -> None:
        self.error = error
        self._open.set()


def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_handed_over_while_the_disk_waits_comes_into_the_file_in_order(tmp_path: Path, monkeypatch):
    gate, file = Gate(monkeypatch), SpooledFile(tmp_path, "a")
    parts = [bytes([i]) * (i + 1) for i in range(100)]
    buffer = bytearray(b"first")
    file.write(buffer)
    buffer[:] = b"later"  # a writer may use its buffer again
    for part in parts:
        assert file.write(part) == len(part)
    assert file.tell() == file.waiting_bytes == 5 + sum(map(len, parts)) and file.part.read_bytes() == b""
    gate.open()
    path = file.publish()
    assert path.read_bytes() == b"first" + b"".join(parts) and file.waiting_bytes == 0
    assert not file.part.exists()


def test_a_disk_that_refuses_is_heard_by_the_next_call_and_the_file_ends_before(tmp_path: Path, monkeypatch):
    file = SpooledFile(tmp_path, "a")
    file.write(b"good")
    file.drain()
    gate = Gate(monkeypatch)
    file.write(b"bad")
    gate.open(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        file.drain()
    for call in (lambda: file.write(b"x"), file.publish):
        with pytest.raises(OSError, match="No space"):
            call()
    file.close()
    assert file.part.read_bytes() == b"good" and file.waiting_bytes == 0


def test_a_file_that_is_closed_or_discarded_is_written_first(tmp_path: Path):
    file = SpooledFile(tmp_path, "a")
    file.write(b"x" * 1000)
    file.close()
    file.close()
    assert len(file.part.read_bytes()) == 1000
    other = SpooledFile(tmp_path, "b")
    other.write(b"x")
    other.discard()
    assert not other.part.exists()


def test_memory_ends_and_then_the_writer_waits_for_the_disk(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(spool, "MOST_BYTES", 100)
    gate, file = Gate(monkeypatch), SpooledFile(tmp_path, "a")
    file.write(bytes(60))
    done = threading.Event()
    thread = threading.Thread(target=lambda: (file.write(bytes(60)), done.set()))
    thread.start()
    assert not done.wait(0.2) and file.waiting_bytes == 60
    gate.open()
    until(done.is_set)
    thread.join()
    assert file.publish().stat().st_size == 120
