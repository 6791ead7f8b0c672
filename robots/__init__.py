"""What a robot is, and how to talk to it. Imports nothing of the project but `teleopd.robots`."""
