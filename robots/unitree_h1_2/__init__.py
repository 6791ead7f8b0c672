"""The Unitree H1-2."""
