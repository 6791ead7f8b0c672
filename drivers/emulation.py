"""What every emulated device needs: a clip at the device's rate, a port, a plan of faults, a pose that stands still."""

from __future__ import annotations

from typing import Protocol

from teleopd.drivers.faults import FaultPlan, Faults
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.resampling import resample
from teleopd.drivers.source import SourceError

RATE_HZ = (1.0, 1000.0)


class EmulatorError(SourceError, ValueError):
    """An emulator setting outside its range."""


class FaultOptions(Protocol):
    """Settings that every emulator on datagrams has."""

    @property
    def loss(self) -> float: ...
    @property
    def jitter_ms(self) -> float: ...
    @property
    def dup(self) -> float: ...
    @property
    def reorder(self) -> float: ...
    @property
    def seed(self) -> int: ...


def fault_plan(options: FaultOptions) -> FaultPlan:
    """What goes wrong on the way; raises FaultError for a share or a delay outside its range."""
    return FaultPlan(Faults(options.loss, options.jitter_ms, options.dup, options.reorder), options.seed)


def check_rate(rate_hz: float, allowed: tuple[float, float] = RATE_HZ) -> None:
    """Raises EmulatorError for a rate outside the range, both ends included [Hz]."""
    if not allowed[0] <= rate_hz <= allowed[1]:
        raise EmulatorError(f"rate is {rate_hz} Hz; give {allowed[0]:.0f} to {allowed[1]:.0f}")


def at_rate(clip: MotionClip, rate_hz: float | None) -> MotionClip:
    """The clip with so many frames a second; None: as many as it has. Raises EmulatorError for an impossible rate."""
    rate_hz = clip.fps if rate_hz is None else rate_hz
    check_rate(rate_hz)
    return resample(clip, rate_hz)


def port_or(port: int | None, default: int) -> int:
    """A port to send to; raises EmulatorError for one that is none."""
    port = default if port is None else port
    check_port(port)
    return port


def check_port(port: int) -> None:
    """Raises EmulatorError for a port that is none."""
    if not 1 <= port <= 65535:
        raise EmulatorError(f"port {port} is not between 1 and 65535")


def shown_frame(number: int, fps: float, freeze_at_s: float | None, freeze_s: float) -> int:
    """Index of the clip frame whose pose is sent as frame `number`: one and the same while the pose stands still."""
    if freeze_at_s is None:
        return number
    first = round(freeze_at_s * fps)
    return first if first <= number < first + round(freeze_s * fps) else number
