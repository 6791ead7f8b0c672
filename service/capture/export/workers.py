"""The same work on many things, over several processes, each result as it comes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from teleopd.service.child import follow_the_parent

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
    """Ends at once when its parent does: files get their names last."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    follow_the_parent()
