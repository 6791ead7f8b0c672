"""Options of the teleoperator, as `--teleop.NAME=VALUE`."""

from __future__ import annotations

from dataclasses import dataclass

from lerobot.teleoperators.config import TeleoperatorConfig


@TeleoperatorConfig.register_subclass("teleopd")
@dataclass(kw_only=True)
class TeleopdConfig(TeleoperatorConfig):
    """A service that runs on this computer for this user."""

    robot: str = "unitree_g1"
    """Robot that is served."""
    action: str = "command"
    """'command': what the safety gate let through last; 'reference': what the operator asked for."""
    joint_names: str = "unitree"
    """'unitree': kLeftHipPitch.q, as LeRobot's own G1 says; 'mjcf': left_hip_pitch_joint.q."""
    oldest_s: float = 0.5
    """Older values are refused [s]."""
