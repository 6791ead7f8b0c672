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

from mutant_runs import ROOT, Coverage, Knowledge, Nearest, ended, forked, make_package, state_of_tests

FILES = ("gate", "limits", "overlap", "joint_steps", "thresholds", "failsafe", "supervisor", "conditions", "obstacles",
         "operator_inbox", "stalls", "robot_watch", "policy_watch", "ramp", "remote", "operator")  # fmt: skip
FIRST_RUN_S = 1800.0
_BLOCKED, _RAMPED = "self._blocked_by(False, now_ns)", "self._blocked_by(ramp_over, now_ns)"
_IDLES = "self._obstacles.to_idle(now_ns)"
_STALE = "cause 0, a stale source, is in the way of engaging only"
EQUIVALENT: dict[str, str] = {
    "gate: self._turn = 0: 0 -> 1": "which of two equal buffers is filled first",
    **{f"gate: self._blend_from_ns = -1: {change}": "any entry sets it; once it is over, it is over at every tick"
       for change in ("-1 -> 1", "1 -> 2", "1 -> 0")},
    "gate: self._blend_from_ns = now_ns if emit is Emit.POLICY else -1: 1 -> 2": "any negative number",
    **{f"gate: self._emit, self._source = Emit.NOTHING, 0: 0 -> {other}": "the first command is an entry anyway"
       for other in ("1", "-1")},
    "gate: self, emit: Emit, q: Array, kp: Array, kd: Array, state: LowState | None, now_ns: int, source: int = 0: "
    "0 -> -1": "a name for the only policy",
    "gate: elapsed_s = (now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0: 0.0 -> -1.0": "cut off at 0",
    "gate: scale[scale > 1.0 - 1e-12] = 1.0  # rounding of a position that lies on the interval's end: "
    "scale > 1.0 - 1e-12 -> scale >= 1.0 - 1e-12": "exactly 1e-12 below 1",
    "gate: return False  # and the same position: no joint differs: False -> True": "counts the joints that differ",
    "failsafe: return (causes & -causes).bit_length() - 1: causes & -causes -> causes | -causes":
    "minus the lowest bit, which is as long",
    "limits: for joint, value in zip(model.joint_names, given, strict=True):: True -> False": "the shape was checked",
    **{f"ramp: elapsed_s = (now_ns - self._started_ns) / 1e9: 1000000000.0 -> {other}": "a billionth of a gentle motion"
       for other in ("1000000001.0", "999999999.0")},
    **{f"remote: self._since_ns = self._released_ns = 0  # no press yet: 0 -> {other}": "set by the first press"
       for other in ("1", "-1")},
    **{f"stalls: NEVER_NS = 1 << 62: {change}": "older than any threshold all the same"
       for change in ("1 -> 2", "62 -> 63", "62 -> 61")},
    **{f"stalls: if excused_ns > 0:: {change}": "a nanosecond at most"
       for change in ("excused_ns > 0 -> excused_ns >= 0", "0 -> 1", "0 -> -1")},
    "stalls: if last > first:: last > first -> last >= first": "takes nothing away",
    **{f"stalls: self._excused: deque[tuple[int, int]] = deque(maxlen=64): 64 -> {other}":
       "the budget of a second is 25 of the shortest" for other in ("65", "63")},
    **{f"operator: self._written_ns = 0: 0 -> {other}": "the first word is a change" for other in ("1", "-1")},
    "operator: self._stop_damped = False: False -> True": "set by the first press",
    "overlap: self._gaps: Array = np.zeros(0): 0 -> 1": "never read before it is set",
    "overlap: if self._before is None or not np.array_equal(self._before, q):: self._before is None -> "
    "self._before is not None": "measures again what it knows",
    "overlap: if (gaps < least).any():: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
    "overlap: if (tried < least).any():: tried < least -> tried <= least": "exactly the limit less 1 nm",
    "overlap: for i in np.flatnonzero(gaps < least):: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
    **{f"supervisor: _ACT_ORDER = {{Act.DISENGAGE: 0, Act.ARM: 1, Act.READY: 2, Act.RESET: 3}}: {change}": why
       for change, why in (("0 -> -1", "the first all the same"), ("0 -> 1", "no mode heeds both DISENGAGE and ARM"),
                           ("1 -> 0", "no mode heeds both DISENGAGE and ARM"), ("3 -> 4", "the last all the same"),
                           ("1 -> 2", "a ramp that has just begun is not over, so that ARM is refused"),
                           ("2 -> 1", "a ramp that has just begun is not over, so that ARM is refused"))},
    **{f"supervisor: {line}": "what is sent is compared by rank"
       for line in ("NOTHING = 0: 0 -> -1", "POLICY = 3: 3 -> 4")},
    "supervisor: self._active = 0: 0 -> 1": "the source is not judged in the first tick",
    "supervisor: self._held = self._held_before = True  # a deadman held since before the start is no press: "
    "True -> False": "the first tick is in BOOT or DAMPED, where a press does nothing",
    **{f"supervisor: self._engaged_source = 0: 0 -> {other}": "set as it engages" for other in ("1", "-1")},
    **{f"supervisor: self._ramp_ns = 0: 0 -> {other}": "set as READY begins" for other in ("1", "-1")},
    **{f"supervisor: self._engaged, self._pressed_before = False, True  # only with latched_engage: {change}":
       "the first tick is in BOOT or DAMPED, which engages nothing" for change in ("False -> True", "True -> False")},
    **{f"supervisor: gap_ns = now_ns - self._last_ns if self._last_ns else 0: 0 -> {other}":
       "a nanosecond before the first tick" for other in ("1", "-1")},
    **{f"supervisor: if act is Act.READY and mode is Mode.IDLE and {_BLOCKED} < 0:: {change}": why for change, why in (
        (f"{_BLOCKED} < 0 -> {_BLOCKED} <= 0", _STALE), ("0 -> 1", _STALE), ("False -> True", "IDLE knows no ramp"))},
    **{f"supervisor: if {_BLOCKED} >= 0:: {change}": why for change, why in (
        (f"{_BLOCKED} >= 0 -> {_BLOCKED} > 0", _STALE), ("0 -> 1", _STALE), ("False -> True", "DAMPED knows no ramp"))},
    **{f"supervisor: ramp_over and blocked < 0, blocked, self._refused + self._inbox.refused,: {change}": _STALE
       for change in ("blocked < 0 -> blocked <= 0", "0 -> 1")},
    f"supervisor: elif mode is Mode.ARMED and self._pressing() and {_BLOCKED} < 0:: False -> True":
    "ARMED knows no ramp",
    **{f"supervisor: elif self._robot.messages >= self._check_messages and {_IDLES} < 0:: {change}": _STALE
       for change in (f"{_IDLES} < 0 -> {_IDLES} <= 0", "0 -> 1")},
    **{f"supervisor: if ramp_over and {_RAMPED} < 0:: {change}": _STALE
       for change in (f"{_RAMPED} < 0 -> {_RAMPED} <= 0", "0 -> 1")},
    "joint_steps: return q, np.where(np.abs(q - wanted) > 1e-9, self._speed, np.nan): np.abs(q - wanted) > 1e-09 -> "
    "np.abs(q - wanted) >= 1e-09": "exactly a nanoradian",
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
