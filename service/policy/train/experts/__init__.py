"""Experts that a decoupled student learns from: a walking network, our standing controller, and who of them acts."""
