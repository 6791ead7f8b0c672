"""One module per command of `teleop`: a dataclass of its flags and what it runs."""
