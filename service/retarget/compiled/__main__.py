"""`python -m teleopd.service.retarget.compiled`: compile now, so that no robot waits for it later."""

from __future__ import annotations

import sys

from teleopd.service.retarget.compiled import cache
from teleopd.service.retarget.compiled.prepare import prepare

if __name__ == "__main__":
    if not cache.is_installed():
        sys.exit("numba is not installed; the numpy solver serves: pip install 'teleopd[fast]' for the compiled one")
    if not cache.is_ready():
        prepare()
