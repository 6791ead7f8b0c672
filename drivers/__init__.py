"""Motion capture devices: device bytes in, `HumanPose` out. Imports nothing of the project but `teleopd.drivers`."""
