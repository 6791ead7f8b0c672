"""The same work on many things, over several processes, each result as it comes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(things: Sequence[T], work: Callable[[T], R], processes: int, lost: R) -> Iterator[tuple[T, R]]:
    """`work(thing)` for all things; in this process and in order where one is enough.

    Args:
        work: picklable, as the things are, where there is more than one process.
        lost: the result of a thing whose process died, and died again with that thing alone.
    """
    if processes <= 1 or len(things) < 2:
        for thing in things:
            yield thing, work(thing)
        return
    broken: list[T] = []
    with _pool(min(processes, len(things))) as pool:
        waiting: dict[Future[R], T] = {pool.submit(work, thing): thing for thing in things}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    thing = waiting.pop(future)
                    try:
                        yield thing, future.result()
                    except BrokenProcessPool:  # the death of one process costs a pool all that waits in it
                        broken.append(thing)
        finally:
            for future in waiting:
                future.cancel()
    for thing in broken:
        with _pool(1) as pool:
            try:
                yield thing, pool.submit(work, thing).result()
            except BrokenProcessPool:
                yield thing, lost


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_the_parent
    )


def _follow_the_parent() -> None:
    """On Ctrl-C, and when its parent is gone, a worker ends at once and in silence: files get their names last."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    def watch(parent: int) -> None:
        multiprocessing.connection.wait([parent])
        os._exit(1)

    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
