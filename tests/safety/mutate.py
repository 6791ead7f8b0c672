"""Tests of the tests: change one operator, comparison or number of the safety layer, and demand a failing test.

    python tests/safety/mutate.py                      every mutant of the files below (some hours)
    python tests/safety/mutate.py --sample 40 --seed 3 some of them
    python tests/safety/mutate.py --only gate          one file

Exits 1 when a mutant survives that is not on the list of those proved equivalent. The working tree is not touched: each
mutant lives in a copy of the package in a temporary folder.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("gate", "limits", "overlap", "joint_steps", "thresholds", "failsafe", "supervisor", "conditions", "obstacles",
         "operator_inbox", "stalls", "robot_watch", "policy_watch", "ramp", "remote", "operator")  # fmt: skip
FOLDERS = ("robots", "safety")
EQUIVALENT: dict[str, str] = {
    "gate: self._turn = 0: 0 -> 1": "which of two equal buffers is filled first",
    "overlap: self._gaps: Array = np.zeros(0): 0 -> 1": "never read before it is set",
    "overlap: if self._before is None or not np.array_equal(self._before, q):: self._before is None -> "
    "self._before is not None": "measures again what it knows",
    "overlap: if (gaps < least).any():: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
    "overlap: if (tried < least).any():: tried < least -> tried <= least": "exactly the limit less 1 nm",
    "overlap: for i in np.flatnonzero(gaps < least):: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
}
"""'file: source line: original -> mutated' of mutants that no test can kill, and why."""
COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
FLIP: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change."""

    file: str
    line: int
    text: str
    """The source line, stripped."""
    before: str
    after: str
    source: str

    @property
    def title(self) -> str:
        return f"{self.file}: {self.text}: {self.before} -> {self.after}"


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """The node, changed in each way that applies."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for table in (COMPARE, FLIP):
            other = table.get(type(node.ops[0]))
            if other is not None:
                yield ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def annotations(node: ast.AST) -> list[ast.expr]:
    """The type hints a node carries: nothing happens by them."""
    return [hint for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)) if hint is not None]


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of one file. Annotations and the table's provenance texts are left alone."""
    text = (ROOT / "safety" / f"{file}.py").read_text()
    lines = text.splitlines()
    tree = ast.parse(text)
    hints = {id(part) for node in ast.walk(tree) for hint in annotations(node) for part in ast.walk(hint)}
    for node in [node for node in ast.walk(tree) if id(node) not in hints]:
        for changed in list(variants(node)):
            before = ast.unparse(node)
            Swap(node, changed).visit(tree)
            source = ast.unparse(tree)
            Swap(changed, node).visit(tree)
            line = getattr(node, "lineno", 0)
            shown = lines[line - 1].strip() if line else ""
            yield Mutant(file, line, shown, before, ast.unparse(changed), source)


class Swap(ast.NodeTransformer):
    """Replaces one node by identity."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def survives(mutant: Mutant, package: Path) -> bool:
    """Whether all tests pass with it. A mutant that hangs is killed and counts as found."""
    path = package / "teleopd" / "safety" / f"{mutant.file}.py"
    original = path.read_text()
    path.write_text(mutant.source)
    environment = {**os.environ, "PYTHONPATH": str(package), "HYPOTHESIS_PROFILE": "mutants"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-n0", "-p", "no:cacheprovider", "-p",
               "no:warnings", "-m", "not checkout and not long", *nearest_first(mutant.file)]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(original)


def nearest_first(file: str) -> list[str]:
    """All test files of the safety layer, those of this module's name first: most mutants die there, in a second."""
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "safety").glob("test_*.py"))
    return sorted(found, key=lambda path: not Path(path).name.startswith(f"test_{file}"))


def make_package(folder: Path) -> Path:
    """A copy of what the safety tests import, laid out as installed; it hides the installed one."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "teleopd" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "teleopd" / "__init__.py").touch()
    return folder


def main() -> int:
    """Run them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="only so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FILES, action="append", help="only these files")
    arguments = parser.parse_args()
    found = [mutant for file in arguments.only or FILES for mutant in mutants(file)]
    if arguments.sample:
        found = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        package = make_package(Path(folder))
        if not survives(Mutant("gate", 0, "", "", "", (ROOT / "safety" / "gate.py").read_text()), package):
            print("the tests fail without any mutant")
            return 1
        for number, mutant in enumerate(found, 1):
            lives = mutant.title not in EQUIVALENT and survives(mutant, package)
            survivors += [mutant] if lives else []
            if lives or sys.stdout.isatty():
                print(f"{number}/{len(found)} {'SURVIVED' if lives else 'killed'} line {mutant.line} {mutant.title}",
                      flush=True)  # fmt: skip
    print(f"{len(found)} mutants, {len(survivors)} survived, {len(EQUIVALENT)} listed as equivalent")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
