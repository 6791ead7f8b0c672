"""What `wire.py` raises: a reason to count by, and a sentence to show."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from teleopd.drivers.natnet import wire as natnet
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.network import wire as network
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.source import ProtocolError, SourceError
from teleopd.drivers.tap.capture import NOWHERE, Arrival
from teleopd.drivers.tap.decode import Decoder
from teleopd.drivers.vmc import wire as vmc
from teleopd.drivers.vmc.source import VmcSource
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.source import XsensSource

ROOT = Path(__file__).resolve().parents[2]


def test_reason_and_sentence():
    error = ProtocolError("truncated", "datagram of 3 B is too short")
    assert (error.reason, str(error)) == ("truncated", "datagram of 3 B is too short")
    assert isinstance(error, SourceError)


def test_a_sentence_alone_counts_as_malformed():
    error = ProtocolError("starts with b'x'")
    assert (error.reason, str(error)) == ("malformed", "starts with b'x'")


def test_the_xsens_wire_raises_it():
    with pytest.raises(ProtocolError) as found:
        wire.read_header(b"MXTP02")
    assert found.value.reason == "truncated"


def sources():
    """The driver modules of the checkout."""
    return sorted((ROOT / "drivers").rglob("*.py"))


@pytest.mark.checkout
def test_there_is_one_error_for_bytes_that_are_wrong():
    """No driver derives its own: `teleop decode`, the counters and the metrics then name the same reasons."""
    derived = [
        f"{path.name}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "ProtocolError" for base in node.bases)
    ]
    assert derived == []


@pytest.mark.checkout
def test_every_error_has_a_reason_to_count_by():
    """A word of a metric's label, followed by a sentence."""
    reasons = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ProtocolError":
                assert len(node.args) == 2, f"{path.name}:{node.lineno} has no reason"
                if isinstance(node.args[0], ast.Constant):
                    reasons.add(node.args[0].value)
    assert {"truncated", "oversized", "wrong_count", "malformed", "non_finite", "quaternion_norm"} <= reasons
    assert all(re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", reason) for reason in reasons), reasons


@pytest.mark.parametrize(
    ("device", "source", "decode", "raw"),
    [
        ("xsens", lambda: XsensSource(port=0), wire.decode, b"MXTP02" + bytes(4)),
        ("xsens", lambda: XsensSource(port=0), wire.decode, b"QXTP02" + bytes(30)),
        ("network", lambda: NetworkSource(port=0), network.decode, b"{}"),
        ("network", lambda: NetworkSource(port=0), network.decode, b'{"schema":"teleopd.pose/9"}'),
        ("vmc", lambda: VmcSource(port=0), vmc.decode, b"noise"),
        ("optitrack", lambda: NatNetSource(host="10.0.0.1"), lambda raw: natnet.decode(raw, (4, 1)), b"\7\0\xff\xff"),
        ("optitrack", lambda: NatNetSource(host="10.0.0.1"), lambda raw: natnet.decode(raw, (4, 1)), b"\x55\0\0\0"),
    ],
)
def test_wire_counters_and_decode_name_the_same_reason(device, source, decode, raw):
    with pytest.raises(ProtocolError) as found:
        decode(raw)
    heard = source()
    heard.receive(memoryview(raw), ("10.0.0.1", 1510), 10**9)
    line = Decoder(device).line(0, Arrival(0, 0, NOWHERE, NOWHERE, raw), 0)
    assert line["reason"] == found.value.reason
    assert heard.counters.rejected == {line["reason"]: 1}
    assert heard.counters.last_rejection == line["error"] == str(found.value)
