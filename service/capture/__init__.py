"""Demonstration capture: shared-memory rings -> one MCAP per episode -> arrays."""
