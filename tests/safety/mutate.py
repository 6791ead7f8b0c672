"""Tests of the tests: change one operator, comparison or number of the safety layer, and demand a failing test.

    python tests/safety/mutate.py                      every mutant of the files below (some hours)
    python tests/safety/mutate.py --sample 40 --seed 3 some of them
    python tests/safety/mutate.py --only gate          one file

Exits 1 when a mutant survives that is not on the list of those proved equivalent. The working tree is not touched: each
mutant lives in a copy of the package in a temporary folder. A run that was broken off goes on where it was, as long as
neither the tests nor what they test has changed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from equivalent_mutants import EQUIVALENT
from mutant_runs import ROOT, Coverage, Knowledge, Nearest, ended, forked, make_package, state_of_tests

FILES = ("gate", "limits", "overlap", "joint_steps", "thresholds", "failsafe", "supervisor", "conditions", "obstacles",
         "operator_inbox", "stalls", "robot_watch", "policy_watch", "ramp", "remote", "operator")  # fmt: skip
FIRST_RUN_S = 1800.0
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
    last_line: int
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
            yield Mutant(file, line, getattr(node, "end_lineno", line), shown, before, ast.unparse(changed), source)


class Swap(ast.NodeTransformer):
    """Replaces one node by identity."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


class Runner:
    """Judges mutants, several at a time; remembers verdicts in a file, so that a long run may be broken off."""

    def __init__(self, folder: Path, jobs: int, memory: Path) -> None:
        self._packages = [make_package(folder / str(i)) for i in range(jobs)]
        self._state, self._memory = state_of_tests(), memory
        self._verdicts: dict[str, bool] = {}
        if memory.exists():
            self._verdicts = {key: lives for key, lives in (json.loads(line) for line in memory.open())}
        self._knowledge = self._first_run(folder / "tests.json")

    def _first_run(self, file: Path) -> Knowledge:
        package = self._packages[0]
        child, began = forked(package, lambda: Coverage(package), lambda plugin: plugin.write(file)), time.monotonic()
        while ended(child, began, FIRST_RUN_S) is None:
            time.sleep(0.1)
        if not file.exists():
            sys.exit("the tests fail without any mutant")
        return Knowledge(file)

    def judge(self, found: Sequence[Mutant]) -> Iterator[tuple[Mutant, bool]]:
        """Each mutant, and whether all tests pass with it."""
        waiting, free = list(reversed(found)), list(self._packages)
        running: list[tuple[int, float, Mutant, Path]] = []
        while waiting or running:
            while waiting and free:
                mutant = waiting.pop()
                known = self._verdicts.get(self._key(mutant))
                if known is not None:
                    yield mutant, known
                    continue
                package = free.pop()
                running.append((self._start(mutant, package), time.monotonic(), mutant, package))
            time.sleep(0.01)
            for one in list(running):
                child, began, mutant, package = one
                lives = ended(child, began)
                if lives is not None:
                    running.remove(one)
                    free.append(package)
                    self._path(mutant, package).write_text(self._path(mutant, ROOT).read_text())
                    self._remember(mutant, lives)
                    yield mutant, lives

    def _start(self, mutant: Mutant, package: Path) -> int:
        self._path(mutant, package).write_text(mutant.source)
        tests = self._knowledge.tests_of(mutant.file, mutant.line, mutant.last_line)
        return forked(package, lambda: Nearest(tests, self._knowledge.seconds))

    def _path(self, mutant: Mutant, root: Path) -> Path:
        return root / ("safety" if root == ROOT else "teleopd/safety") / f"{mutant.file}.py"

    def _key(self, mutant: Mutant) -> str:
        return hashlib.sha256(f"{self._state}{mutant.file}{mutant.source}".encode()).hexdigest()

    def _remember(self, mutant: Mutant, lives: bool) -> None:
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        with self._memory.open("a") as file:
            file.write(json.dumps([self._key(mutant), lives]) + "\n")


def main() -> int:
    """Run them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="only so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FILES, action="append", help="only these files")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="mutants judged at a time")
    parser.add_argument("--memory", type=Path, default=ROOT / "build" / "mutants.jsonl", help="file of verdicts so far")
    arguments = parser.parse_args()
    found = [mutant for file in arguments.only or FILES for mutant in mutants(file)]
    titles = {mutant.title for mutant in found}
    for key in EQUIVALENT:
        file = key.partition(":")[0]
        if key not in titles and (file not in FILES or file in (arguments.only or FILES)):
            sys.exit(f"equivalent_mutants.py lists what is no mutant: '{key}'; name one of {file}.py, or take it out")
    if arguments.sample:
        found = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))
    survivors, shown = [], sys.stdout.isatty()
    judged = [mutant for mutant in found if mutant.title not in EQUIVALENT]
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder), arguments.jobs, arguments.memory)
        for number, (mutant, lives) in enumerate(runner.judge(judged), 1):
            survivors += [mutant] if lives else []
            if lives or shown:
                print(f"{number}/{len(judged)} {'SURVIVED' if lives else 'killed'} line {mutant.line} {mutant.title}",
                      flush=True)  # fmt: skip
    print(f"{len(found)} mutants, {len(survivors)} survived, {len(found) - len(judged)} listed as equivalent")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
