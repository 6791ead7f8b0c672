"""The demonstration's emulated device."""

from __future__ import annotations

import pytest

from teleopd.launch.commands import demo


@pytest.mark.parametrize("device", sorted(demo.WIRES))
def test_the_device_goes_on_until_the_service_has_ended(device):
    """A stream that ended first would be reported as lost at the end of every demonstration."""
    wire = demo.WIRES[device]
    command = demo._emulator(device, "wave", 9, wire, "unitree_g1")._command
    lead_out_s = float(command[command.index("--lead-out") + 1])
    assert command[3:5] == ["emulate", device]
    service_s = demo.LEAD_IN_S + demo.LEAD_OUT_S + demo.END_S  # beside the motion itself, until it begins to end
    to_stand_and_damp_s = 15.0
    assert wire.lead_in_s + lead_out_s > service_s + to_stand_and_damp_s
