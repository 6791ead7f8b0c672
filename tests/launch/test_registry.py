"""Names a user may type."""

from __future__ import annotations

import subprocess
import sys

import pytest

from teleopd.launch import registry
from teleopd.launch.registry import UnknownName

KINDS = ("robot", "source", "link", "emulator")


@pytest.mark.parametrize("kind", KINDS)
def test_everything_registered_can_be_loaded(kind: str):
    assert registry.names(kind) == sorted(registry.names(kind))
    for name in registry.names(kind):
        assert registry.load(kind, name) is not None
        module, colon, attribute = registry.reference(kind, name).partition(":")
        assert module.startswith("teleopd.")
        assert colon and attribute


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ask", [registry.load, registry.check, registry.reference])
def test_an_unknown_name_lists_the_valid_ones(kind: str, ask):
    valid = ", ".join(registry.names(kind))
    with pytest.raises(UnknownName) as error:
        ask(kind, "qqqqqq")
    assert str(error.value) == f"unknown {kind} 'qqqqqq'; valid: {valid}"


def test_a_slip_of_the_finger_names_the_nearest():
    valid = ", ".join(registry.names("source"))
    with pytest.raises(UnknownName) as error:
        registry.load("source", "xsnes")
    assert str(error.value) == f"unknown source 'xsnes'; did you mean 'xsens'? Valid: {valid}"


def test_what_third_parties_add_is_found_but_never_replaces_ours(monkeypatch: pytest.MonkeyPatch):
    class Point:
        def __init__(self, name: str, value: str) -> None:
            self.name, self.value = name, value

    theirs = {"teleopd.sources": [Point("vive", "collections:OrderedDict"), Point("xsens", "evil:Source")]}
    monkeypatch.setattr(registry, "entry_points", lambda group: theirs.get(group, []))
    assert "vive" in registry.names("source")
    from collections import OrderedDict

    assert registry.load("source", "vive") is OrderedDict
    assert registry.reference("source", "xsens") == "teleopd.drivers.xsens.source:XsensSource"


def test_checking_a_name_imports_no_driver():
    code = (
        "import sys; from teleopd.launch import registry; registry.check('source', 'xsens'); "
        "registry.check('robot', 'unitree_g1'); "
        "print([m for m in sys.modules if m.startswith(('teleopd.drivers.', 'teleopd.robots.unitree'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
