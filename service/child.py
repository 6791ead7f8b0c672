"""What every child process of the service shares: an orderly end, and noticing that the parent is gone."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

from teleopd.robots.ipc.session import Session
from teleopd.robots.rates import Rate
from teleopd.service.streams import LoopStatus


def follow_the_parent() -> None:
    """First act of a worker of a pool: it ends in silence on Ctrl-C, and when its parent is gone, however that went."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def watch(parent: int) -> None:
        multiprocessing.connection.wait([parent])
        os._exit(1)

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


class Ending:
    """Set by SIGTERM or by the parent's death."""

    def __init__(self) -> None:
        # The pid the child was started with: a parent that died while this process was still importing counts too.
        starter = multiprocessing.parent_process()
        self._parent = os.getppid() if starter is None else starter.pid
        self._asked = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    @property
    def asked(self) -> bool:
        """SIGTERM came."""
        return self._asked

    @property
    def orphaned(self) -> bool:
        """The parent is gone."""
        return os.getppid() != self._parent

    @property
    def now(self) -> bool:
        """The process should end."""
        return self._asked or self.orphaned


class CpuMeter:
    """Share of one core this process used since the meter was made [%]."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._used = self._cpu()

    @staticmethod
    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def percent(self) -> float:
        elapsed = time.monotonic() - self._start
        return 100.0 * (self._cpu() - self._used) / elapsed if elapsed > 0 else 0.0


def loop_status(rate: Rate, cpu: CpuMeter) -> LoopStatus:
    """The loop's punctuality as a record to publish."""
    stats = rate.stats()
    return LoopStatus(
        time.monotonic_ns(), stats.rate_hz, stats.ticks, stats.missed, stats.late_p50_us, stats.late_p99_us,
        stats.late_max_us, stats.work_p50_us, stats.work_p99_us, cpu.percent(),
    )  # fmt: skip


REFUSED_EXIT = 3
"""Exit status of a child that refuses its set-up; its sentence lies in the session folder."""


def refuse(session: Session, name: str, sentence: str) -> NoReturn:
    """End this child with one sentence for the parent to show; it is not restarted."""
    session.path(f"{name}.refused").write_text(sentence)
    raise SystemExit(REFUSED_EXIT)


def refusal(session: Session, name: str) -> str | None:
    """The sentence with which a child refused its set-up, if it did."""
    path = session.path(f"{name}.refused")
    return path.read_text() if path.exists() else None
