"""The past of some terms, as `History` and `Lags` blocks show it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import IntArray
from teleopd.service.policy import blocks as b

Float32 = npt.NDArray[np.float32]


class Past:
    """The last ticks of some groups. Kept twice in a row, so that any window of it is one contiguous piece."""

    def __init__(self, block: b.History | b.Lags, places: IntArray, slot: Float32) -> None:
        """`places` of the groups among all term values; `slot` of the block in the observation, written by `show`."""
        lags = block.lags if isinstance(block, b.Lags) else _lags(block)
        self._depth, self._places = max(lags), places
        self._ring = np.zeros((2 * self._depth, len(places)), dtype=np.float32)
        self._slot = slot.reshape(len(lags), len(places))
        self._present = [self._slot[i] for i, lag in enumerate(lags) if lag == 0]
        past = [(i, self._depth - lag) for i, lag in enumerate(lags) if lag]
        self._to, self._from = _pairs(past)
        self._fill_current = block.fill == "current"
        self._head = 0
        self._empty = True

    def show(self, values: Float32) -> None:
        """Write the block; `values` are all terms of the present tick."""
        if self._empty and self._fill_current:
            self._ring[:] = values[self._places]
        window = self._ring[self._head : self._head + self._depth]
        self._slot[self._to] = window[self._from]
        for row in self._present:
            np.take(values, self._places, out=row)

    def append(self, values: Float32) -> None:
        """Add the tick, dropping the oldest."""
        self._empty = False
        if self._depth == 0:
            return
        np.take(values, self._places, out=self._ring[self._head])
        self._ring[self._head + self._depth] = self._ring[self._head]
        self._head = (self._head + 1) % self._depth

    def reset(self) -> None:
        """Forget everything."""
        self._ring[:] = 0.0
        self._head = 0
        self._empty = True


def _lags(block: b.History) -> tuple[int, ...]:
    """A history as ticks back, in the order in which they stand."""
    newest = 0 if block.present else 1
    lags = range(newest, newest + block.length)
    return tuple(lags if block.order == "newest_first" else reversed(lags))


def _pairs(past: list[tuple[int, int]]) -> tuple[slice | IntArray, slice | IntArray]:
    """Row of the block <- row of the window; slices where both run evenly, which copies without an index array."""
    to, source = [pair[0] for pair in past], [pair[1] for pair in past]
    steps = {b - a for a, b in zip(source, source[1:], strict=False)} or {1}
    even = to == list(range(to[0], to[0] + len(to))) if to else True
    if even and steps <= {1}:
        return slice(to[0], to[-1] + 1) if to else slice(0, 0), slice(source[0], source[-1] + 1) if to else slice(0, 0)
    if even and steps == {-1}:
        stop = source[-1] - 1
        return slice(to[0], to[-1] + 1), slice(source[0], None if stop < 0 else stop, -1)
    return np.array(to, dtype=np.intp), np.array(source, dtype=np.intp)
