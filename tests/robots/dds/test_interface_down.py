"""A network interface that goes down and comes up, in a network namespace of the test's own: no root where the kernel
allows user namespaces. `make test-long` only, as some CI machines forbid them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.timeout(240)
def test_silence_while_it_is_down_and_reports_resume_by_themselves():
    script = Path(__file__).with_name("interface_down.py")
    alone = ["unshare", "--map-root-user", "--net", sys.executable, str(script)]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["up", "down", "again"]
