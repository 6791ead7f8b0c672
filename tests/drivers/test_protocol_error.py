"""What `wire.py` raises: a reason to count by, and a sentence to show."""

from __future__ import annotations

import pytest

from teleopd.drivers.source import ProtocolError, SourceError
from teleopd.drivers.xsens import wire


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
