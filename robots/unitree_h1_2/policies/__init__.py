"""Policy cards of the Unitree H1-2."""
