"""What is done once on a machine before the first run: compiling the retargeter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from teleopd.service.retarget.compiled import cache

PATIENCE_S = 300.0
"""Compiling takes half a minute; a machine that has not done it by then retargets with numpy."""


def prepare_solver(solver: str, say: Callable[[str], None]) -> None:
    """Compile where `solver` will want it and no earlier run has; says so, and what is done where it fails."""
    if solver not in ("auto", "compiled") or not cache.is_installed() or cache.is_ready():
        return
    say("compiling the retargeter, once on this machine: about half a minute")
    command = [sys.executable, "-m", "teleopd.service.retarget.compiled"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        why = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    except subprocess.TimeoutExpired:
        why = f"not done after {PATIENCE_S:.0f} s"
    if why:
        say(f"the retargeter could not be compiled ({why}); it runs without, at four times the processor time")
