"""What an export was asked for, checked once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from teleopd.service.capture.export.errors import ExportError
from teleopd.service.capture.export.layout import ACTIONS, DEFAULT_STATE, Names, check_state
from teleopd.service.capture.export.resample import Want
from teleopd.service.capture.video import CAMERA

Format = Literal["lerobot", "npz", "csv", "hdf5"]
Action = Literal["target", "command", "reference"]
Motion = Literal["measured", "reference", "shaped"]

FORMATS: tuple[Format, ...] = ("lerobot", "npz", "csv", "hdf5")
VERDICTS = ("keep", "maybe", "drop")
RATE_HZ = (1.0, 500.0)
"""Slowest and fastest rate; nothing is recorded faster."""
MOTION_STREAMS = {"reference": "reference", "measured": "reference", "shaped": "shaped_reference"}
"""Of `Motion`: the stream that gives the root."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One export's choices; files made with different ones do not mix."""

    fmt: Format
    rate_hz: float = 50.0
    """Frames a second."""
    state: tuple[str, ...] = DEFAULT_STATE
    """Parts of the observation, columns of the stream `state`."""
    state_rule: Literal["nearest", "linear"] = "nearest"
    """The nearest measured sample, or the line between two."""
    action: Action = "target"
    """What the policy wanted (`target`), what the safety gate let through (`command`), or what the operator asked the
    policy for (`reference`)."""
    motion: Motion = "measured"
    """npz: measured joints on the root of the reference, the reference itself, or what the policy tracked."""
    joint_names: Names = "mjcf"
    """left_knee_joint.q, or kLeftKnee.q as Unitree writes it."""
    on_gap: Literal["refuse", "split"] = "refuse"
    """What happens to an episode with a gap."""
    include: tuple[str, ...] = ("keep",)
    """Verdicts that are exported; episodes without one always are."""
    cameras: tuple[str, ...] = ()
    """Cameras of the data set, for lerobot."""

    def __post_init__(self) -> None:
        """Raises ExportError for what cannot be."""
        if self.fmt not in FORMATS:
            raise ExportError(f"there is no format '{self.fmt}'; there are {', '.join(FORMATS)}")
        if not RATE_HZ[0] <= self.rate_hz <= RATE_HZ[1]:
            raise ExportError(f"a rate of {self.rate_hz:g} Hz; give {RATE_HZ[0]:g} to {RATE_HZ[1]:g} Hz")
        if self.fmt == "lerobot" and self.rate_hz != int(self.rate_hz):
            raise ExportError(f"a rate of {self.rate_hz:g} Hz; LeRobot counts whole frames a second, as 30 or 50")
        if self.action not in ACTIONS:
            raise ExportError(f"there is no action '{self.action}'; there are {', '.join(ACTIONS)}")
        check_state(self.state)
        if self.cameras and self.fmt != "lerobot":
            raise ExportError(f"format {self.fmt} has no pictures; cameras go into lerobot only")
        for verdict in self.include:
            if verdict not in VERDICTS:
                raise ExportError(f"there is no verdict '{verdict}'; there are {', '.join(VERDICTS)}")

    def wants(self) -> tuple[Want, ...]:
        """The streams and columns that the format needs."""
        if self.fmt != "npz":
            cameras = tuple(Want(f"{CAMERA}{name}", (), "nearest") for name in self.cameras)
            state, action = Want("state", self.state, self.state_rule), Want(self.action, ACTIONS[self.action], "next")
            return (state, action, *cameras)
        root = MOTION_STREAMS[self.motion]
        if self.motion == "measured":
            return Want("state", ("joint_pos",), "linear"), Want(root, ("root_pos_w", "root_quat_w"), "linear")
        return (Want(root, ("root_pos_w", "root_quat_w", "joint_pos"), "linear"),)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)
