"""Does every dependency of the package, extras included, resolve to a wheel on each supported Python?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
GLIBC_MINORS = range(17, 36)
"""Up to glibc 2.35: Ubuntu 22.04 and Debian 12, the oldest systems with a supported Python."""
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS))


def requirements() -> list[str]:
    """Every requirement of the package and its extras, without references to itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return [r for r in listed if not r.startswith("teleopd")]


def resolve(python: str) -> tuple[bool, str]:
    """Whether pip finds a set of wheels for `python`, and what it said."""
    with tempfile.TemporaryDirectory() as target:
        platforms = [f"--platform={p}" for p in PLATFORMS]
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
                   "--only-binary=:all:", f"--python-version={python}", *platforms, f"--target={target}",
                   *requirements()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return done.returncode == 0, "\n".join(errors)


def main() -> int:
    failed = 0
    for python in PYTHONS:
        ok, said = resolve(python)
        print(f"Python {python}: {'every dependency has a wheel' if ok else 'FAILED'}")
        if not ok:
            print(said)
            failed += 1
    print(f"{len(PYTHONS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
