"""Many arrays as one argument: a table of where they lie.

numba spends a quarter of a microsecond on each array it is handed, and a frame needs sixty of them. The table is built
once; compiled code makes its views from it. Whoever builds a table keeps the arrays alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from teleopd.robots.model import IntArray
from teleopd.service.retarget.compiled.jit import compiled
from teleopd.service.retarget.compiled.records import FOOT, GROUND


def table(arrays: Sequence[Any]) -> IntArray:
    """Address and two extents of each array; one-dimensional arrays have 1 as the second, (n, 3).

    Raises:
        ValueError: an array is not contiguous, or of none of float64, the platform's integers, booleans and records.
    """
    out = np.zeros((len(arrays), 3), dtype=np.int64)
    for i, array in enumerate(arrays):
        known = array.dtype in (np.float64, np.intp, np.bool_) or array.dtype.names is not None
        if not array.flags.c_contiguous or not known or array.ndim not in (1, 2):
            raise ValueError(f"array {i}: contiguous float64, intp, bool or records in 1 or 2 dimensions are needed")
        out[i] = array.ctypes.data, array.shape[0], array.shape[1] if array.ndim == 2 else 1
    return out


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """An integer as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@compiled
def line(where: Any) -> Any:
    """A row of the table as floats, (n,)."""
    return numba.carray(_pointer(where[0]), (where[1],), np.float64)


@compiled
def grid(where: Any) -> Any:
    """A row of the table as floats, (n, m)."""
    return numba.carray(_pointer(where[0]), (where[1], where[2]), np.float64)


@compiled
def index(where: Any) -> Any:
    """A row of the table as integers, (n,)."""
    return numba.carray(_pointer(where[0]), (where[1],), np.intp)


@compiled
def flags(where: Any) -> Any:
    """A row of the table as booleans, (n,)."""
    return numba.carray(_pointer(where[0]), (where[1],), np.bool_)


@compiled
def feet_at(where: Any) -> Any:
    """A row of the table as `FootContact`s, (n,)."""
    return numba.carray(_pointer(where[0]), (where[1],), FOOT)


@compiled
def ground_at(where: Any) -> Any:
    """A row of the table as one `Ground`, (1,), or none."""
    return numba.carray(_pointer(where[0]), (where[1],), GROUND)
