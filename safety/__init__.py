"""The only door to the robot's motors. May import `teleopd.robots` and nothing else of the project."""
