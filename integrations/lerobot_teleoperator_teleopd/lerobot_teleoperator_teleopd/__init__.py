"""Makes a running teleopd service a LeRobot teleoperator of type 'teleopd'."""

from lerobot_teleoperator_teleopd.config_teleopd import TeleopdConfig
from lerobot_teleoperator_teleopd.teleoperator import Teleopd

__all__ = ["Teleopd", "TeleopdConfig"]
