"""What robot-io publishes."""

from __future__ import annotations

from teleopd.robots.ipc.codec import Codec
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import OPERATOR_FIELDS, Cause, OperatorCommand, SafetyStatus, safety_status_fields


def test_the_layouts_hold_every_field_cause_and_gate_step():
    status = Codec(SafetyStatus, safety_status_fields(29))
    assert status.dtype["cause_counts"].shape == (32,) and max(Cause) < 32
    assert status.dtype["gate_counts"].shape == (len(GATE_STEPS),)
    assert status.dtype["joint_interventions"].shape == status.dtype["q_command"].shape == (29,)
    assert Codec(OperatorCommand, OPERATOR_FIELDS).size == 45
