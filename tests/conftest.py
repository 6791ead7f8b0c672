"""Shared fixtures: the data folder beside the project, and a guard against importing a folder under a bare name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("TELEOPD_SHARED_DATA", ROOT.parent / "shared" / "data"))
BARE = {"drivers", "robots", "safety", "service", "launch"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real captures, vendor models and public policies; read in place, never copied."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"{SHARED_DATA} is absent; CI requires it", pytrace=False)
    pytest.skip(f"{SHARED_DATA} is absent")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when a module was imported as `safety.gate` instead of `teleopd.safety.gate`: it would exist twice."""
    twice = BARE & {name.partition(".")[0] for name in sys.modules}
    if twice:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nimported under a bare name: {', '.join(sorted(twice))}; write teleopd.<folder>")
