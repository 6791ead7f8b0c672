"""The decorator of all compiled functions. Importing it needs numba."""

from __future__ import annotations

import numba

from teleopd.service.retarget.compiled import cache

numba.config.CACHE_DIR = str(cache.folder())  # before the first function is decorated

compiled = numba.njit(cache=True, fastmath={"reassoc", "contract"})
"""Sums may be taken in another order and products fused, so that they vectorise; what is not finite stays so."""
