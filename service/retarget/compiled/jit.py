"""The decorator of all compiled functions. Importing it needs numba."""

from __future__ import annotations

from typing import Any

import numba

from teleopd.service.retarget.compiled import cache

numba.config.CACHE_DIR = str(cache.folder())  # before the first function is decorated

OPTIONS = {"cache": True, "fastmath": {"reassoc", "contract"}}
"""Sums may be taken in another order and products fused, so that they vectorise; what is not finite stays so."""
compiled = numba.njit(**OPTIONS)


def entry(arguments: str) -> Any:
    """The decorator of what Python calls: a table (`memory.py`), then `arguments`, numba's types; returns nothing.

    Compiled, or loaded, when its module is imported: no frame waits for it.
    """
    return numba.njit(f"void(int64[:, ::1]{arguments})", **OPTIONS)
