"""Policy cards of the Unitree G1 (and weights of our own, once trained)."""
