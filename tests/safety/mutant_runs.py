"""Runs the safety tests against one mutant: in a fork of a process that has already imported what is slow to import.

A first run without mutants notes which test executes which line, and how long each takes. A mutant then meets the tests
that execute its line alone, the quickest first, and the first failure ends it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import hypothesis  # noqa: F401 - imported once, here, for every fork
import mujoco  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("robots", "safety")
LONGEST_S = 180.0
"""A mutant that keeps its tests busy for longer hangs, and counts as found."""
ARGUMENTS = ["-q", "-x", "--no-header", "-n0", "-p", "no:cacheprovider", "-p", "no:warnings", "-p", "no:cov",
             "-m", "not checkout and not long"]  # fmt: skip


class Coverage:
    """Plugin of the first run: lines executed by each test, and its seconds."""

    def __init__(self, package: Path) -> None:
        self.files = ["tests/safety"]
        self._folder = package / "teleopd" / "safety"
        self._coverage = coverage.Coverage(data_file=None, include=[f"{self._folder}/*"])
        self._seconds: dict[str, float] = {}
        self._coverage.start()
        self._coverage.switch_context("import")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        began = time.perf_counter()
        yield
        self._seconds[item.nodeid] = time.perf_counter() - began
        self._coverage.switch_context("import")

    def write(self, path: Path) -> None:
        """JSON: `tests` {file: {line: [test]}} without the lines that an import executes, and `seconds` {test}."""
        self._coverage.stop()
        data, found = self._coverage.get_data(), {}
        for file in data.measured_files():
            lines = data.contexts_by_lineno(file)
            found[Path(file).stem] = {line: tests for line, tests in lines.items() if "import" not in tests}
        path.write_text(json.dumps({"tests": found, "seconds": self._seconds}))


class Nearest:
    """Plugin of a mutant's run: only the tests that execute its line, the quickest first."""

    def __init__(self, tests: Sequence[str] | None, seconds: dict[str, float]) -> None:
        self._tests, self._seconds = tests if tests is None else set(tests), seconds
        self.files = ["tests/safety"] if tests is None else sorted({test.partition("::")[0] for test in tests})

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._tests is not None:
            items[:] = [item for item in items if item.nodeid in self._tests]
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))


class Knowledge:
    """What the first run found."""

    def __init__(self, path: Path) -> None:
        found: dict[str, Any] = json.loads(path.read_text())
        self._tests, self.seconds = found["tests"], found["seconds"]

    def tests_of(self, file: str, first: int, last: int) -> list[str] | None:
        """Tests that execute one of the lines; None: an import does, and every test stands on it."""
        lines = self._tests.get(file, {})
        found = [lines[str(line)] for line in range(first, last + 1) if str(line) in lines]
        return sorted({test for tests in found for test in tests}) if found else None


def make_package(folder: Path) -> Path:
    """A copy of what the safety tests import, laid out as installed; it hides the installed one."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "teleopd" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "teleopd" / "__init__.py").touch()
    return folder


def state_of_tests() -> str:
    """Hash of the tests and of what they test: a verdict holds as long as neither changes."""
    digest = hashlib.sha256()
    for folder in (ROOT / "tests" / "safety", *(ROOT / name for name in FOLDERS)):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def forked(package: Path, plugin: Callable[[], Any], after: Callable[[Any], None] | None = None) -> int:
    """Start the tests in a fork that imports the package from the copy; returns its process id.

    `plugin` is made in the fork, and `after` called with it there, when the tests have passed.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        sink = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(sink, stream)
        os.chdir(ROOT)
        os.environ["HYPOTHESIS_PROFILE"] = "mutants"
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(package))
        made = plugin()
        status = int(pytest.main([*ARGUMENTS, *made.files], plugins=[made]))
        if status == 0 and after is not None:
            after(made)
    finally:
        os._exit(status)


def ended(child: int, began_s: float, longest_s: float = LONGEST_S) -> bool | None:
    """Whether a fork's tests passed; None while they run. One that takes too long is killed and has not passed."""
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(status) == 0
    if time.monotonic() - began_s < longest_s:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False
