"""The tree's rules, checked on source text without importing anything of the project."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.checkout

FOLDERS = ("drivers", "robots", "safety", "service", "launch")
MAY_IMPORT = {
    "drivers": {"drivers"},
    "robots": {"robots"},
    "safety": {"safety", "robots"},
    "service": {"service", "drivers", "robots", "safety"},
    "launch": set(FOLDERS),
}
SOURCES = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
ROBOT_IO = ("robots/ipc", "robots/links", "robots/model.py", "robots/link.py", "robots/rates.py", "safety")
"""What robot-io imports: none of it may pull in physics, inference, a web server or an event loop."""
HEAVY = {"asyncio", "mujoco", "onnxruntime", "viser", "aiohttp", "av", "rich", "tyro", "mink"}


def imports_of(path: Path) -> list[str]:
    """Dotted names a file imports anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write teleopd.<folder>"
            found.append(node.module or "")
    return found


def violations(path: Path, folder: str) -> list[str]:
    """What is wrong with a file's imports, as sentences."""
    wrong = []
    for name in imports_of(path):
        first, _, rest = name.partition(".")
        if first in FOLDERS:
            wrong.append(f"imports '{name}': write teleopd.{name}")
        if first == "teleopd" and rest.partition(".")[0] not in MAY_IMPORT[folder]:
            wrong.append(f"imports '{name}': {folder}/ may import only {sorted(MAY_IMPORT[folder])}")
        if folder == "drivers" and first == "mujoco":
            wrong.append("drivers/ may not import mujoco")
        if name.startswith("teleopd.service.policy.train") and "policy/train" not in str(path):
            wrong.append("training code may not be imported at run time")
    return wrong


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards_only(path: Path):
    assert violations(path, path.relative_to(ROOT).parts[0]) == []


def test_the_rule_catches_an_upward_and_a_bare_import(tmp_path: Path):
    bad = tmp_path / "bad.py"
    bad.write_text("import teleopd.service.streams\nimport robots.model\n")
    assert violations(bad, "safety") == [
        "imports 'teleopd.service.streams': safety/ may import only ['robots', 'safety']",
        "imports 'robots.model': write teleopd.robots.model",
    ]


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if str(p.relative_to(ROOT)).startswith(ROBOT_IO)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_motor_path_stays_light(path: Path):
    assert {name.partition(".")[0] for name in imports_of(path)} & HEAVY == set()


def test_robot_io_process_loads_nothing_heavy():
    """Counted in a fresh interpreter: what `import` really pulls in, not what one file says."""
    code = "import sys, teleopd.service.robot_io_process; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = set(subprocess.run([_python(), "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert loaded & (HEAVY - {"asyncio"}) == set()


def test_packages_listed_are_the_folders_with_init():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        "teleopd." + ".".join(p.parent.relative_to(ROOT).parts)
        for folder in FOLDERS
        for p in (ROOT / folder).rglob("__init__.py")
    }
    with_code = {"teleopd." + ".".join(p.parent.relative_to(ROOT).parts) for p in SOURCES}
    assert listed == present == with_code


def test_typings_links_point_at_the_folders():
    for folder in FOLDERS:
        link = ROOT / "typings" / "teleopd" / folder
        assert link.is_symlink() and link.resolve() == ROOT / folder
        assert (ROOT / folder / "py.typed").exists()
    assert not (ROOT / "teleopd").exists(), "a real teleopd/ folder would shadow the installed namespace"


def test_only_the_gate_claims_the_seal():
    claimants = [str(p.relative_to(ROOT)) for p in SOURCES if re.search(r"\bclaim_seal\b", p.read_text())]
    assert claimants == ["robots/model.py", "safety/gate.py"]


def test_only_the_gate_constructs_a_joint_command():
    builders = [str(p.relative_to(ROOT)) for p in SOURCES if re.search(r"\bJointCommand\(", p.read_text())]
    assert builders == ["safety/gate.py"]


def test_no_switch_turns_the_gate_off():
    """Nothing in the tree offers to run without safety; simulation goes through the gate too."""
    forbidden = re.compile(r"(no|skip|without|disable|bypass)_(safety|gate)|safety_check *[:=]|gate_enabled", re.I)
    guilty = [str(p.relative_to(ROOT)) for p in SOURCES if forbidden.search(p.read_text())]
    assert guilty == []


def test_no_wall_clock_and_no_clock_in_safety():
    """Safety takes now_ns as a parameter; wall time appears nowhere in the control path."""
    for path in SOURCES:
        text, name = path.read_text(), str(path.relative_to(ROOT))
        if name.startswith("safety/"):
            assert not re.search(r"\btime\.(time|monotonic|perf_counter)", text), f"{name} reads a clock"
        if name.startswith(("robots/", "safety/", "drivers/")):
            assert not re.search(r"\btime\.time(_ns)?\(", text), f"{name} reads the wall clock"


def test_the_repository_holds_only_what_we_wrote():
    """No weights, captures, meshes or large binaries are tracked."""
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    forbidden = (".bvh", ".pkl", ".pt", ".stl", ".STL", ".pcap", ".pcapng", ".urdf", ".bin")
    made_by_us = "tests/drivers/corpus/"  # of our own encoders: tests/drivers/fuzzing/corpus.py writes it anew
    found = [f for f in tracked.stdout.split() if f.endswith(forbidden)]
    assert [f for f in found if not f.startswith(made_by_us)] == []
    assert sum((ROOT / f).stat().st_size for f in found) < 300_000


def _python() -> str:
    import sys

    return sys.executable
