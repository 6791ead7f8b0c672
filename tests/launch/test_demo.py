"""The demonstration's emulated device."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from teleopd.launch.commands import demo
from teleopd.launch.config import RunConfig


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


@pytest.mark.parametrize(
    ("received", "modes", "missing"),
    [
        (0, ("CHECK", "READY", "ARMED", "DAMPED"), "no frame of the emulated device arrived"),
        (900, ("BOOT", "CHECK", "IDLE", "READY", "DAMPED"), "the robot came as far as READY"),
        (900, (), "the robot came as far as BOOT"),
        (900, ("READY", "ARMED", "ACTIVE", "DAMPED"), ""),
    ],
)
def test_a_demonstration_in_which_nobody_was_followed_says_so_and_fails(
    received: int, modes: tuple[str, ...], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    def ran(config: RunConfig) -> int:
        report = {"frames": {"received": received}, "modes": [[1.0, mode, None] for mode in modes]}
        Path(config.report).write_text(json.dumps(report))
        return 0

    monkeypatch.setattr(demo, "serve", ran)
    monkeypatch.setattr(demo, "_emulator", lambda *_: contextlib.nullcontext())
    assert demo.Demo(source="xsens", motion="wave", out=tmp_path).run() == int(bool(missing))
    said = " ".join(capsys.readouterr().err.split())
    assert missing in said and ("nobody was followed" in said) == bool(missing)
