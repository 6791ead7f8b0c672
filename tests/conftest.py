"""Shared fixtures: the data folder beside the project, and a guard against importing a folder under a bare name."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from teleopd.robots.ipc.session import SessionOwner

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("TELEOPD_SHARED_DATA", ROOT.parent / "shared" / "data"))
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="teleopd-state-")  # services started by tests log there
BARE = {"drivers", "robots", "safety", "service", "launch"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real captures, vendor models and public policies; read in place, never copied."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"{SHARED_DATA} is absent; CI requires it", pytrace=False)
    pytest.skip(f"{SHARED_DATA} is absent")


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionOwner]:
    """A session of a G1 whose files are the test's own."""
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    owner = SessionOwner("unitree_g1")
    yield owner
    owner.close()


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """A test that leaves its process at real-time priority would starve every process that later tests start."""
    yield
    if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("the test left its process at real-time priority", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Scenarios run one at a time, on one worker: each starts a whole service, or a browser. The rest goes anywhere.

    `xdist_group` says the same, but pytest 9.2 ignores what pytest-xdist 3.8 makes of it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneServiceAtATime(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "scenarios" if "scenarios/" in nodeid or "test_browser" in nodeid else nodeid

    return OneServiceAtATime(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when a module was imported as `safety.gate` instead of `teleopd.safety.gate`: it would exist twice."""
    twice = BARE & {name.partition(".")[0] for name in sys.modules}
    if twice:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nimported under a bare name: {', '.join(sorted(twice))}; write teleopd.<folder>")
