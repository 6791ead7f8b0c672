"""Every fault of the list is injected by a test that exists; what is still missing is listed."""

from __future__ import annotations

import ast
import functools
import tomllib
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent.parent
TABLE: dict[str, list[dict[str, Any]]] = tomllib.loads((Path(__file__).parent / "fault_list.toml").read_text())
ROWS = [(group, row) for group, rows in TABLE.items() for row in rows]
pytestmark = pytest.mark.checkout


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the test functions in a file."""
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )  # fmt: skip


def wrong_with(row: dict[str, Any]) -> list[str]:
    """What a row says that is not so."""
    found = [f"there is no test {name}" for name in row["tests"] if not _exists(name)]
    if set(row) - {"fault", "tests", "missing"}:
        found.append(f"unknown keys {sorted(set(row) - {'fault', 'tests', 'missing'})}")
    if not row["tests"] and not row.get("missing"):
        found.append("no test, and nothing is said to be missing")
    return found


def _exists(name: str) -> bool:
    file, _, function = name.partition("::")
    return function in names_in(TESTS / file)


@pytest.mark.parametrize(("group", "row"), ROWS, ids=lambda part: part if isinstance(part, str) else part["fault"])
def test_a_fault_is_injected_somewhere(group: str, row: dict[str, Any]):
    assert wrong_with(row) == []


def test_what_is_still_missing_says_what_it_is():
    """`pytest -s` lists it: a row without an injection is a gap that is stated, never one that is hidden."""
    missing = [(group, row["fault"], row["missing"]) for group, row in ROWS if "missing" in row]
    print(f"\n{len(missing)} of {len(ROWS)} faults are not, or not wholly, injected anywhere")
    for group, fault, why in missing:
        print(f"  {group}, {fault}: {why}")
    assert all(why.strip() for _, _, why in missing)


def test_no_fault_is_listed_twice_and_no_group_is_gone():
    faults = [row["fault"] for _, row in ROWS]
    assert len(set(faults)) == len(faults)
    assert list(TABLE) == ["network", "policy", "processes", "robot", "host", "mqtt", "console"]


def test_a_test_that_does_not_exist_is_noticed():
    here = f"scenarios/{Path(__file__).name}"
    assert wrong_with({"fault": "x", "tests": [f"{here}::test_a_test_that_does_not_exist_is_noticed"]}) == []
    assert wrong_with({"fault": "x", "tests": [f"{here}::test_gone", "nowhere/test_a.py::test_b"]}) == [
        f"there is no test {here}::test_gone", "there is no test nowhere/test_a.py::test_b",
    ]  # fmt: skip
    assert wrong_with({"fault": "x", "tests": []}) == ["no test, and nothing is said to be missing"]
